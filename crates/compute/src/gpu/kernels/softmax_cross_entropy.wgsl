// Loss and gradient against class indices; a row a workgroup.

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
    var largest = prediction[first];
    var place = 0u;
    for (var j = lane; j < p.width; j += LANES) {
        if prediction[first + j] > largest || (prediction[first + j] == largest && j < place) {
            largest = prediction[first + j];
            place = j;
        }
    }
    place = first_maximum_of_lanes(lane, largest, place);
    largest = prediction[first + place];
    var sum = 0.0;
    for (var j = lane; j < p.width; j += LANES) {
        let e = exp_nonpositive(prediction[first + j] - largest);
        grad[first + j] = e;
        sum += e;
    }
    sum = sum_of_lanes(lane, sum);
    let label = u32(targets[row]);
    for (var j = lane; j < p.width; j += LANES) {
        grad[first + j] = (grad[first + j] / sum - select(0.0, 1.0, j == label)) * factor();
    }
    if lane == 0 {
        tally(row, log(sum) - (prediction[first + min(label, p.width - 1)] - largest), place == label);
    }
}
