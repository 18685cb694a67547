// As conv2d.wgsl, with blocks in registers.

// Where the windows of four pixels begin: line and column within the image, outside of which they wrap around, and
// the index of the line among those of all samples.
struct Windows {
    y: vec4u,
    x: vec4u,
    line: vec4u,
}

fn windows_of(pixels: vec4u) -> Windows {
    let lines = pixels / p.output_width;
    let samples = lines / p.output_height;
    let y = (lines - samples * p.output_height) * p.stride_down - p.padding_above;
    let x = (pixels - lines * p.output_width) * p.stride_right - p.padding_left;
    return Windows(y, x, samples * p.height + y);
}

fn is_inside(windows: Windows, ky: u32, kx: u32) -> vec4<bool> {
    return (windows.y + ky < vec4u(p.height)) & (windows.x + kx < vec4u(p.width));
}

fn taps(windows: Windows, inside: vec4<bool>, ky: u32, kx: u32) -> vec4u {
    let at = ((windows.line + ky) * p.width + windows.x + kx) * p.channels + group * p.group_inputs;
    return select(vec4u(), at, inside);
}

fn pixels_at(at: vec4u, inside: vec4<bool>) -> vec4f {
    return select(vec4f(), left_values(at), inside);
}

@compute @workgroup_size(ROWS * COLUMNS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) invocation: u32) {
    group = workgroup.z;
    let tile = p.first_tile + workgroup.x;
    let rows = block_rows(tile, invocation);
    let columns = block_columns(tile, invocation);
    let upper = windows_of(min(rows, vec4u(p.rows - 1)));
    let lower = windows_of(min(rows + 4, vec4u(p.rows - 1)));
    let first_weight = p.weight_start + group * p.group_outputs;
    var near = first_weight + min(columns, vec4u(p.columns - 1));
    var far = first_weight + min(columns + 4 * COLUMNS, vec4u(p.columns - 1));
    let channels = p.group_inputs;
    let step = p.output_channels;
    var sums = Sums();
    for (var ky = 0u; ky < p.window_height; ky++) {
        for (var kx = 0u; kx < p.window_width; kx++) {
            let upper_inside = is_inside(upper, ky, kx);
            let lower_inside = is_inside(lower, ky, kx);
            var upper_at = taps(upper, upper_inside, ky, kx);
            var lower_at = taps(lower, lower_inside, ky, kx);
            for (var c = 0u; c < channels; c++) {
                var wide = vec4f();
                if WIDE {
                    wide = right_values(far);
                    far += step;
                }
                take(&sums, pixels_at(upper_at, upper_inside), pixels_at(lower_at, lower_inside), right_values(near), wide);
                near += step;
                upper_at += 1;
                lower_at += 1;
            }
        }
    }
    put_block(&sums, rows.x, columns.x);
}
