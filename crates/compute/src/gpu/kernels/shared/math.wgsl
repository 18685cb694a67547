// Functions of one value. The exponential only ever sees arguments that are not positive, so nothing overflows.

// Numbers of the activations, as `activation_code` has them.
const IDENTITY: u32 = 0;
const RELU: u32 = 1;
const GELU: u32 = 2;
const SIGMOID: u32 = 3;
const TANH: u32 = 4;

// Value and slope of a function; a slope is only defined where it does not follow from the value.
struct Activated {
    value: f32,
    slope: f32,
}

fn exp_nonpositive(x: f32) -> f32 {
    // Subnormal results are zero; whatever is no number stays so.
    return select(exp(x), 0.0, x < -87.0);
}

// exp(x) - 1 for x <= 0, with a small relative error near 0: there by its Taylor polynomial.
fn exp_minus_1(x: f32) -> f32 {
    let polynomial = x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0))))));
    return select(exp_nonpositive(x) - 1.0, polynomial, x > -0.35);
}

fn gelu(x: f32) -> Activated {
    // x · sigmoid(v) with v = 2 √(2/π) · (x + 0.044715 x³), cut where the sigmoid is 0 or 1.
    let magnitude = min(abs(x), 16.0);
    let cubic = 0.071354814 * (magnitude * magnitude);
    let e = exp_nonpositive(-(magnitude * (1.5957692 + cubic)));
    let near_1 = 1.0 / (1.0 + e);
    let near_0 = e * near_1;
    let is_negative = x < 0.0;
    let sigmoid = select(near_1, near_0, is_negative);
    let complement = select(near_0, near_1, is_negative);
    let value = x * sigmoid;
    return Activated(value, sigmoid + value * complement * (1.5957692 + 3.0 * cubic));
}

fn sigmoid(x: f32) -> f32 {
    let e = exp_nonpositive(-abs(x));
    let near_1 = 1.0 / (1.0 + e);
    return select(near_1, e * near_1, x < 0.0);
}

fn tanh_of(x: f32) -> f32 {
    let e = exp_minus_1(-2.0 * abs(x));
    let magnitude = -e / (2.0 + e);
    return select(magnitude, -magnitude, x < 0.0);
}

fn activate(code: u32, x: f32) -> Activated {
    switch code {
        case RELU: {
            // Not `max`: what is no number stays so.
            return Activated(select(x, 0.0, 0.0 > x), 0.0);
        }
        case GELU: {
            return gelu(x);
        }
        case SIGMOID: {
            return Activated(sigmoid(x), 0.0);
        }
        case TANH: {
            return Activated(tanh_of(x), 0.0);
        }
        default: {
            return Activated(x, 0.0);
        }
    }
}
