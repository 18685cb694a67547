// Loss and gradient against probabilities, with predictions divided by a temperature; a row a workgroup.

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
    var target_largest = targets[first];
    var target_place = 0u;
    for (var j = lane; j < p.width; j += LANES) {
        if prediction[first + j] > largest {
            largest = prediction[first + j];
            place = j;
        }
        if targets[first + j] > target_largest {
            target_largest = targets[first + j];
            target_place = j;
        }
    }
    place = first_maximum_of_lanes(lane, largest, place);
    target_place = first_maximum_of_lanes(lane, target_largest, target_place);
    largest = prediction[first + place] / p.temperature;
    var sum = 0.0;
    var mass = 0.0;
    var expected = 0.0;
    for (var j = lane; j < p.width; j += LANES) {
        let u = prediction[first + j] / p.temperature - largest;
        let e = exp_nonpositive(u);
        grad[first + j] = e;
        sum += e;
        mass += targets[first + j];
        expected += targets[first + j] * u;
    }
    sum = sum_of_lanes(lane, sum);
    mass = sum_of_lanes(lane, mass);
    expected = sum_of_lanes(lane, expected);
    for (var j = lane; j < p.width; j += LANES) {
        let difference = grad[first + j] / sum * mass - targets[first + j];
        grad[first + j] = difference * p.temperature * factor();
    }
    if lane == 0 {
        let nats = (log(sum) * mass - expected) * (p.temperature * p.temperature);
        tally(row, nats, place == target_place);
    }
}
