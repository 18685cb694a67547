//! Reproducible initial parameters.

use crate::layout::{Init, Layout};
use crate::random::Stream;

/// The parameters of version 0: a function of the layout and the run's seed.
pub fn initial_params(layout: &Layout, seed: u64) -> Vec<f32> {
    let mut params = Vec::with_capacity(layout.len());
    for (tensor_idx, tensor) in layout.tensors().iter().enumerate() {
        match tensor.init {
            Init::Uniform { bound } => {
                let mut stream = Stream::new("init", seed, tensor_idx as u64);
                params.extend((0..tensor.len).map(|_| (stream.unit_f32() * 2.0 - 1.0) * bound));
            }
            Init::Normal { std } => {
                let mut stream = Stream::new("init", seed, tensor_idx as u64);
                params.extend((0..tensor.len).map(|_| stream.normal_f32() * std));
            }
            Init::Zero => params.resize(params.len() + tensor.len, 0.0),
            Init::One => params.resize(params.len() + tensor.len, 1.0),
        }
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let mut layout = Layout::default();
        layout.push("a".into(), vec![100, 10], Init::Uniform { bound: 0.1 });
        layout.push("b".into(), vec![10], Init::Zero);
        layout.push("c".into(), vec![10], Init::Uniform { bound: 0.1 });
        layout
    }

    #[test]
    fn depends_on_the_seed_alone() {
        assert_eq!(initial_params(&layout(), 3), initial_params(&layout(), 3));
        assert_ne!(initial_params(&layout(), 3), initial_params(&layout(), 4));
    }

    #[test]
    fn normal_values_have_their_deviation() {
        let mut layout = Layout::default();
        layout.push("a".into(), vec![20_000], Init::Normal { std: 0.02 });
        let params = initial_params(&layout, 1);
        let moment = |power: i32| {
            let sum: f64 = params
                .iter()
                .map(|&x| f64::from(x / 0.02).powi(power))
                .sum();
            sum / 20_000.0
        };
        assert!(moment(1).abs() < 0.03, "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.04, "variance {}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.3, "kurtosis {}", moment(4));
    }

    #[test]
    fn stays_within_the_bound_and_is_centered() {
        let params = initial_params(&layout(), 1);
        let weights = &params[..1000];
        assert!(weights.iter().all(|w| w.abs() <= 0.1));
        let mean = weights.iter().sum::<f32>() / 1000.0;
        assert!(mean.abs() < 0.006, "mean {mean}");
        assert!(params[1000..1010].iter().all(|&b| b == 0.0));
        assert_ne!(params[..10], params[1010..]);
    }
}
