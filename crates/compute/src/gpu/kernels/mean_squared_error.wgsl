// Loss and gradient against values, or against classes that stand for vectors with a single 1; a row a workgroup.

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.y * workgroups.x + workgroup.x;
    if row >= p.rows {
        return;
    }
    let first = row * p.width;
    let label = u32(targets[select(0u, row, p.has_classes != 0)]);
    var largest = prediction[first];
    var place = 0u;
    var squares = 0.0;
    for (var j = lane; j < p.width; j += LANES) {
        let y = prediction[first + j];
        if y > largest {
            largest = y;
            place = j;
        }
        var wanted = select(0.0, 1.0, j == label);
        if p.has_classes == 0 {
            wanted = targets[first + j];
        }
        squares += (y - wanted) * (y - wanted);
        grad[first + j] = (y - wanted) * p.slope * factor();
    }
    place = first_maximum_of_lanes(lane, largest, place);
    let sum = sum_of_lanes(lane, squares);
    if lane == 0 {
        tally(row, sum / f32(p.width), p.has_classes != 0 && place == label);
    }
}
