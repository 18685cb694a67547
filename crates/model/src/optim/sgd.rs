//! Stochastic gradient descent with and without momentum.

/// `p -= lr · (g + decay·p)`, `hyper` = [lr, decay].
pub(super) fn plain(params: &mut [f32], gradient: &[f32], hyper: [f32; 2]) {
    let [learning_rate, decay] = hyper;
    for (p, &g) in params.iter_mut().zip(gradient) {
        *p -= learning_rate * (g + decay * *p);
    }
}

/// `v = μ·v + g; p -= lr · v`, `hyper` = [lr, decay, μ].
pub(super) fn momentum(
    params: &mut [f32],
    gradient: &[f32],
    velocity: &mut [f32],
    hyper: [f32; 3],
) {
    let [learning_rate, decay, momentum] = hyper;
    for ((p, &g), v) in params.iter_mut().zip(gradient).zip(velocity) {
        *v = momentum * *v + (g + decay * *p);
        *p -= learning_rate * *v;
    }
}

/// `v = μ·v + g; p -= lr · (g + μ·v)`, `hyper` = [lr, decay, μ].
pub(super) fn nesterov(
    params: &mut [f32],
    gradient: &[f32],
    velocity: &mut [f32],
    hyper: [f32; 3],
) {
    let [learning_rate, decay, momentum] = hyper;
    for ((p, &g), v) in params.iter_mut().zip(gradient).zip(velocity) {
        let g = g + decay * *p;
        *v = momentum * *v + g;
        *p -= learning_rate * (g + momentum * *v);
    }
}
