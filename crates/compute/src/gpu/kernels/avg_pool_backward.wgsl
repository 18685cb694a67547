// Each pixel takes up its share of the gradients of the windows that hold it.

@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_image: array<f32>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = value_index(workgroup, workgroups, lane);
    if i >= p.len {
        return;
    }
    let channel = i % p.channels;
    let x = i / p.channels % p.width;
    let y = i / p.channels / p.width % p.height;
    let sample = i / p.channels / p.width / p.height;
    var sum = 0.0;
    for (var ky = 0u; ky < p.window_height && ky <= y; ky++) {
        let oy = (y - ky) / p.stride_down;
        if oy * p.stride_down != y - ky || oy >= p.output_height {
            continue;
        }
        for (var kx = 0u; kx < p.window_width && kx <= x; kx++) {
            let ox = (x - kx) / p.stride_right;
            if ox * p.stride_right != x - kx || ox >= p.output_width {
                continue;
            }
            let pixel = (sample * p.output_height + oy) * p.output_width + ox;
            sum += grad_output[pixel * p.channels + channel] * p.factor;
        }
    }
    grad_image[i] = sum;
}
