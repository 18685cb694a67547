// The matrix of an image's patches, (sample, oy, ox) by (ky, kx, c of the group), read where the image is: the left factor.

fn patch_at(pixel: u32, tap: u32) -> f32 {
    let ox = pixel % p.output_width;
    let line = pixel / p.output_width;
    let oy = line % p.output_height;
    let sample = line / p.output_height;
    let channel = tap % p.group_inputs;
    let place = tap / p.group_inputs;
    let kx = place % p.window_width;
    let ky = place / p.window_width;
    // Outside the image the difference wraps around to a large number.
    let y = oy * p.stride_down + ky - p.padding_above;
    let x = ox * p.stride_right + kx - p.padding_left;
    if y >= p.height || x >= p.width {
        return 0.0;
    }
    return left_value(((sample * p.height + y) * p.width + x) * p.channels + group * p.group_inputs + channel);
}
