// The factors of a product, both of the same precision.

@group(0) @binding(1) var<storage, read> left: array<u32>;
@group(0) @binding(2) var<storage, read> right: array<u32>;

fn left_value(i: u32) -> f32 {
    return value_in(left[word_of(i)], i);
}

fn right_value(i: u32) -> f32 {
    return value_in(right[word_of(i)], i);
}

fn left_values(at: vec4u) -> vec4f {
    return vec4f(left_value(at.x), left_value(at.y), left_value(at.z), left_value(at.w));
}

fn right_values(at: vec4u) -> vec4f {
    return vec4f(right_value(at.x), right_value(at.y), right_value(at.z), right_value(at.w));
}
