//! The engine's gradients against finite differences and against the double-precision reference, on every
//! path that this machine has.

#[path = "gradients/cases.rs"]
mod cases;
#[path = "reference/finite_differences.rs"]
mod finite_differences;
#[path = "reference/plans.rs"]
mod plans;
mod reference;
#[path = "gradients/refusals.rs"]
mod refusals;

use std::sync::Arc;

use reference::{Reference, with_expected};
use tabswarm_compute::bits::Case;
use tabswarm_compute::{Batch, BatchStats, Engine, Path, Targets};

/// Random graphs that every path is tried on.
const RANDOM_GRAPHS: u64 = 150;

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn paths() -> impl Iterator<Item = Path> {
    Path::ALL.into_iter().filter(|path| path.is_available())
}

/// An engine that has computed the case's gradient, and is made for a few more samples.
fn engine(case: &Case, path: Path) -> (Engine, BatchStats) {
    let graph = Arc::clone(&case.graph);
    let mut engine =
        Engine::with_path(graph, path, case.samples + 3).expect("the path is available");
    engine
        .set_params(&case.params)
        .expect("parameters that fit");
    let stats = engine.gradient(case.batch()).expect("a batch that fits");
    (engine, stats)
}

#[test]
fn every_path_agrees_with_the_reference() {
    for (name, case) in cases::all() {
        check(&name, &case);
    }
}

#[test]
fn every_path_agrees_with_the_reference_on_random_graphs() {
    for seed in 0..RANDOM_GRAPHS {
        check(&format!("random graph {seed}"), &Case::random(seed));
    }
}

fn check(name: &str, case: &Case) {
    let (params, inputs) = (double(&case.params), double(&case.inputs));
    let mut reference = Reference::new(&case.graph, &params).with_noise(case.noise);
    let loss = with_expected(case, |expected| {
        reference.loss_and_gradient(&inputs, expected)
    });
    let loss_alone = with_expected(case, |expected| {
        Reference::new(&case.graph, &params).loss(&inputs, expected)
    });
    for path in paths() {
        let (mut engine, stats) = engine(case, path);
        let is_near = |stats: BatchStats, loss: f64| {
            let nats = stats.loss_q20 as f64 / f64::from(1 << 20);
            (nats - loss).abs() < 1e-5 * (case.samples as f64 + loss)
        };
        assert!(is_near(stats, loss), "{name}: {path:?}: {stats:?} {loss}");
        assert_eq!(stats.samples as usize, case.samples);
        for tensor in case.graph.layout.tensors() {
            let got = &engine.gradient_buffer()[tensor.range()];
            let expected = &reference.gradient[tensor.range()];
            let error = distance(got, expected);
            let tensor = &tensor.name;
            assert!(error < 1e-5, "{name}: {path:?} {tensor}: error {error}");
        }
        let alone = engine.evaluate(case.batch()).expect("a batch that fits");
        assert!(
            is_near(alone, loss_alone),
            "{name}: {path:?}: {alone:?} {loss_alone}"
        );
        if !case.graph.needs_noise() {
            assert_eq!(alone, stats, "{name}: {path:?}");
        }
    }
}

/// The L2 norm of the difference in units of that of the expected values, or of a thousandth where they are
/// smaller: gradients that cancel to nothing have no relative error.
fn distance(got: &[f32], expected: &[f64]) -> f64 {
    let differences = got.iter().zip(expected).map(|(&g, e)| f64::from(g) - e);
    let norm = |squares: f64| squares.sqrt();
    let expected = norm(expected.iter().map(|e| e * e).sum());
    norm(differences.map(|d| d * d).sum()) / expected.max(1e-3)
}

#[test]
fn all_paths_of_a_class_give_the_same_bits() {
    let random =
        (0..RANDOM_GRAPHS).map(|seed| (format!("random graph {seed}"), Case::random(seed)));
    for (name, case) in cases::all().into_iter().chain(random) {
        let mut by_class: Vec<(Path, Vec<u32>, BatchStats)> = Vec::new();
        for path in paths() {
            let (engine, stats) = engine(&case, path);
            let bits = engine.gradient_buffer().iter().map(|g| g.to_bits());
            let bits: Vec<u32> = bits.collect();
            let twin = by_class
                .iter()
                .find(|(other, ..)| other.class() == path.class());
            if let Some((other, expected, expected_stats)) = twin {
                assert!(bits == *expected, "{name}: {path:?} differs from {other:?}");
                assert_eq!(stats, *expected_stats, "{name}: {path:?} {other:?}");
            }
            by_class.push((path, bits, stats));
        }
    }
}

#[test]
fn smaller_batches_and_old_memory_do_not_show() {
    for (name, case) in cases::all() {
        let (mut engine, _) = engine(&case, Path::Generic);
        let expected = engine.gradient_buffer().to_vec();
        let one = Batch {
            inputs: &case.inputs[..case.graph.input_features()],
            targets: match case.batch().targets {
                Targets::Classes(labels) => Targets::Classes(&labels[..case.graph.loss.rows]),
                Targets::Values(values) => {
                    Targets::Values(&values[..case.graph.loss.rows * case.graph.loss.width])
                }
            },
            noise: Some(case.noise),
        };
        engine.gradient(one).unwrap();
        engine.gradient(case.batch()).unwrap();
        assert!(engine.gradient_buffer() == expected, "{name}");
    }
}

#[test]
fn predictions_are_probabilities_or_values() {
    for (name, case) in cases::all() {
        let (mut engine, _) = engine(&case, Path::Generic);
        let loss = case.graph.loss;
        let predictions = engine.predict(&case.inputs, case.samples).unwrap();
        assert_eq!(predictions.len(), case.samples * loss.rows * loss.width);
        let is_softmax = !matches!(
            loss.kind,
            tabswarm_model::graph::LossKind::MeanSquaredError { .. }
        );
        for row in predictions.chunks_exact(loss.width).filter(|_| is_softmax) {
            assert!(row.iter().all(|p| (0.0..=1.0).contains(p)), "{name}");
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{name}");
        }
    }
}
