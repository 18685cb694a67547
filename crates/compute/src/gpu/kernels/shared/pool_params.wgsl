// The geometry of pooling; `len` counts the values that are written.

struct Params {
    len: u32,
    height: u32,
    width: u32,
    channels: u32,
    output_height: u32,
    output_width: u32,
    window_height: u32,
    window_width: u32,
    stride_down: u32,
    stride_right: u32,
    // 1 / pixels of a window.
    factor: f32,
    has_choice: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

// Index of the window's first value for output value `i`.
fn window_start(i: u32) -> u32 {
    let channel = i % p.channels;
    let pixel = i / p.channels;
    let ox = pixel % p.output_width;
    let line = pixel / p.output_width;
    let oy = line % p.output_height;
    let sample = line / p.output_height;
    let first_line = sample * p.height + oy * p.stride_down;
    return (first_line * p.width + ox * p.stride_right) * p.channels + channel;
}
