//! Update rules against values computed by hand.

use super::*;

/// Two steps of each rule from p = 1 with gradients 0.5 and -0.25, computed by hand.
#[test]
fn two_steps_by_hand() {
    let rows: &[(OptimizerSpec, [f32; 2])] = &[
        // 1 - 0.1·0.5 = 0.95; 0.95 + 0.1·0.25 = 0.975
        (OptimizerSpec::sgd(0.1, 0.0), [0.95, 0.975]),
        // g = 0.5 + 0.1·1 = 0.6 -> 0.94; g = -0.25 + 0.094 = -0.156 -> 0.9556
        (OptimizerSpec::sgd(0.1, 0.1), [0.94, 0.9556]),
        // v = 0.5 -> 0.95; v = 0.45 - 0.25 = 0.2 -> 0.93
        (OptimizerSpec::momentum(0.1, 0.9, 0.0), [0.95, 0.93]),
        // v = 0.5: 1 - 0.1·(0.5 + 0.45) = 0.905; v = 0.2: 0.905 - 0.1·(-0.25 + 0.18) = 0.912
        (OptimizerSpec::nesterov(0.1, 0.9, 0.0), [0.905, 0.912]),
        // Step 1 moves by lr (m̂/√v̂ = 1). Step 2: m = 0.9·0.05 - 0.025 = 0.02, m̂ = 0.02/0.19;
        // v = 0.999·0.00025 + 0.0000625 = 0.00031225, v̂ = v/0.001999; m̂/√v̂ = 0.266337
        (
            OptimizerSpec::adam(0.1, [0.9, 0.999], 1e-8, 0.0),
            [0.9, 0.873_366_3],
        ),
        // p·(1 - 0.1·0.1) first: 0.99 - 0.1 = 0.89; 0.8811 - 0.0266337 = 0.8544663
        (
            OptimizerSpec::adamw(0.1, [0.9, 0.999], 1e-8, 0.1),
            [0.89, 0.854_466_3],
        ),
    ];
    for (spec, expected) in rows {
        let mut optimizer = Optimizer::new(*spec, 1);
        let mut params = [1.0_f32];
        let got = [0.5, -0.25].map(|gradient| {
            optimizer.step(&mut params, &[gradient], spec.learning_rate);
            params[0]
        });
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 2e-6, "{spec:?}: {got} {expected}");
        }
    }
}

#[test]
fn restored_state_continues_with_the_same_bits() {
    let spec = OptimizerSpec::adam(0.01, [0.9, 0.999], 1e-8, 0.01);
    let gradient = |step: usize| -> Vec<f32> {
        (0..5)
            .map(|i| ((i * 7 + step * 3) % 11) as f32 / 11.0 - 0.4)
            .collect()
    };
    let mut straight = Optimizer::new(spec, 5);
    let mut params = vec![0.3_f32; 5];
    for step in 0..4 {
        straight.step(&mut params, &gradient(step), 0.01);
    }
    let mut first = Optimizer::new(spec, 5);
    let mut resumed_params = vec![0.3_f32; 5];
    for step in 0..2 {
        first.step(&mut resumed_params, &gradient(step), 0.01);
    }
    let slots = first.slots().to_vec();
    let mut second = Optimizer::restore(spec, 5, slots, first.adam_state()).unwrap();
    for step in 2..4 {
        second.step(&mut resumed_params, &gradient(step), 0.01);
    }
    assert_eq!(params, resumed_params);
    assert_eq!(straight, second);
}

#[test]
fn state_of_the_wrong_shape_is_refused() {
    let spec = OptimizerSpec::momentum(0.1, 0.9, 0.0);
    let state = AdamState::default();
    assert!(Optimizer::restore(spec, 3, vec![vec![0.0; 2]], state).is_none());
    assert!(Optimizer::restore(spec, 3, vec![], state).is_none());
}

#[test]
fn clipping_scales_to_the_norm_and_leaves_short_gradients() {
    let mut long = [3.0_f32, 4.0];
    assert_eq!(clip_global_norm(&mut long, 1.0), 5.0);
    assert_eq!(long, [0.6, 0.8]);
    let mut short = [0.3_f32, 0.4];
    clip_global_norm(&mut short, 1.0);
    assert_eq!(short, [0.3, 0.4]);
}

#[test]
fn a_step_from_another_optimizer_is_the_step_it_would_take() {
    let len = 2 * BLOCK_VALUES + 3;
    let gradient: Vec<f32> = (0..len).map(|i| (i % 13) as f32 / 13.0 - 0.4).collect();
    for spec in [
        OptimizerSpec::sgd(0.1, 0.1),
        OptimizerSpec::momentum(0.1, 0.9, 0.1),
        OptimizerSpec::nesterov(0.1, 0.9, 0.1),
        OptimizerSpec::adam(0.1, [0.9, 0.999], 1e-8, 0.1),
        OptimizerSpec::adamw(0.1, [0.9, 0.999], 1e-8, 0.1),
    ] {
        let mut optimizer = Optimizer::new(spec, len);
        let mut params = vec![0.5_f32; len];
        optimizer.step(&mut params, &gradient, 0.1);
        let before = optimizer.clone();
        let mut trial = Optimizer::new(spec, len);
        let mut tried = params.clone();
        trial.step_from(&optimizer, &mut tried, &gradient, 0.05);
        assert_eq!(optimizer, before, "{spec:?}");
        optimizer.step(&mut params, &gradient, 0.05);
        assert_eq!(tried, params, "{spec:?}");
        assert_eq!(trial, optimizer, "{spec:?}");
    }
}
