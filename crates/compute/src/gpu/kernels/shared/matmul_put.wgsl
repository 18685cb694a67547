// What becomes of a product: scale, bias, activation.

var<private> target_first: u32;

fn put(row: u32, column: u32, sum: f32) {
    var value = sum * p.scale;
    if p.has_bias != 0 {
        value += bias[p.bias_start + column];
    }
    let activated = activate(p.activation, value);
    let at = target_first + row * p.target_row + column;
    if p.adds != 0 {
        products[at] += activated.value;
    } else {
        products[at] = activated.value;
    }
    if p.has_slope != 0 {
        slopes[at] = activated.slope;
    }
}
