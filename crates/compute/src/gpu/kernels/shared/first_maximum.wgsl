// Where the largest of a row's values is; the first if several are equal.

var<workgroup> best_values: array<f32, 256>;
var<workgroup> best_places: array<u32, 256>;

fn first_maximum_of_lanes(lane: u32, value: f32, place: u32) -> u32 {
    best_values[lane] = value;
    best_places[lane] = place;
    workgroupBarrier();
    for (var half = LANES / 2; half > 0; half /= 2) {
        if lane < half {
            let other = best_values[lane + half];
            let is_first = best_places[lane + half] < best_places[lane];
            if other > best_values[lane] || (other == best_values[lane] && is_first) {
                best_values[lane] = other;
                best_places[lane] = best_places[lane + half];
            }
        }
        workgroupBarrier();
    }
    let first = best_places[0];
    workgroupBarrier();
    return first;
}
