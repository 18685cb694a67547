//! What a batch must be before anything is computed with it.

use tabswarm_model::Graph;
use tabswarm_model::graph::Targets as Wanted;

use crate::batch::{Batch, Targets};
use crate::cpu::magnitude::largest_magnitude;
use crate::error::ComputeError;

/// Checks inputs and gives their number of samples.
pub(super) fn inputs(
    graph: &Graph,
    inputs: &[f32],
    samples: usize,
    max_samples: usize,
) -> Result<usize, ComputeError> {
    let features = graph.input_features();
    if samples == 0 {
        return Err(ComputeError::EmptyBatch);
    }
    if samples > max_samples {
        return Err(ComputeError::TooManySamples {
            samples,
            max_samples,
        });
    }
    if inputs.len() != samples * features {
        return Err(ComputeError::InputLength {
            got: inputs.len(),
            samples,
            features,
        });
    }
    tokens(graph, inputs)?;
    Ok(samples)
}

/// Checks a whole batch and gives its number of samples.
pub(crate) fn batch(
    graph: &Graph,
    batch: &Batch<'_>,
    max_samples: usize,
) -> Result<usize, ComputeError> {
    let loss = &graph.loss;
    let (got, per_sample) = match (batch.targets, loss.targets()) {
        (Targets::Classes(labels), Wanted::Classes) => (labels.len(), loss.rows),
        (Targets::Values(values), Wanted::Values) => (values.len(), loss.rows * loss.width),
        (_, Wanted::Classes) => {
            let wanted = "class indices";
            return Err(ComputeError::TargetsKind { wanted });
        }
        (_, Wanted::Values) => {
            let wanted = "target values";
            return Err(ComputeError::TargetsKind { wanted });
        }
    };
    let samples = inputs(graph, batch.inputs, got.div_ceil(per_sample), max_samples)?;
    if got != samples * per_sample {
        let expected = samples * per_sample;
        return Err(ComputeError::TargetsLength { got, expected });
    }
    if let Targets::Classes(labels) = batch.targets {
        check_labels(graph, labels)?;
    }
    Ok(samples)
}

/// Checks that all values of a flat vector are finite, in layout order.
pub(crate) fn finite(graph: &Graph, flat: &[f32]) -> Result<(), ComputeError> {
    for tensor in graph.layout.tensors() {
        if largest_magnitude(&flat[tensor.range()]).is_none() {
            return Err(ComputeError::NonFinite {
                tensor: tensor.name.clone(),
            });
        }
    }
    Ok(())
}

fn check_labels(graph: &Graph, labels: &[u16]) -> Result<(), ComputeError> {
    let classes = graph.classes;
    let bad = labels
        .iter()
        .position(|&label| usize::from(label) >= classes);
    match bad {
        Some(row) => Err(ComputeError::Label {
            sample: row / graph.loss.rows,
            label: labels[row],
            classes,
        }),
        None => Ok(()),
    }
}

fn tokens(graph: &Graph, inputs: &[f32]) -> Result<(), ComputeError> {
    let Some(vocabulary) = graph.vocabulary else {
        return Ok(());
    };
    let limit = vocabulary as f32;
    // Not a number and infinity are not equal to their whole part, or not below the limit.
    let is_token = |&x: &f32| (0.0..limit).contains(&x) && libm::truncf(x).to_bits() == x.to_bits();
    match inputs.iter().position(|x| !is_token(x)) {
        Some(at) => Err(ComputeError::Token {
            sample: at / graph.input_features(),
            index: at % graph.input_features(),
            value: inputs[at].to_string(),
            vocabulary,
        }),
        None => Ok(()),
    }
}
