// In place, the gradient before an activation from the one after it and what the forward pass saved.

struct Params {
    len: u32,
    activation: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> saved: array<u32>;
@group(0) @binding(2) var<storage, read_write> grad: array<f32>;

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
    let y = value_in(saved[word_of(i)], i);
    switch p.activation {
        case RELU: {
            grad[i] = select(0.0, grad[i], y > 0.0);
        }
        case GELU: {
            grad[i] *= y;
        }
        case SIGMOID: {
            grad[i] *= y * (1.0 - y);
        }
        case TANH: {
            grad[i] *= 1.0 - y * y;
        }
        default: {}
    }
}
