//! The parameters as safetensors, one tensor per parameter tensor: written, and read to begin another run with.

use std::collections::{BTreeSet, HashMap};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tabswarm_model::Layout;
use thiserror::Error;

use crate::{Trained, to_bytes};

/// The bytes of a safetensors file.
pub(crate) fn file(trained: &Trained<'_>) -> Vec<u8> {
    let views = trained.graph.layout.tensors().iter().map(|tensor| {
        (
            tensor.name.as_str(),
            tensor.shape.clone(),
            to_bytes(&trained.params[tensor.range()]),
        )
    });
    let tensors: Vec<_> = views.collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (*name, view.expect("the layout gives shape and length"))
    });
    let metadata = trained.metadata().into_iter();
    let format = [("format".to_owned(), "pt".to_owned())];
    let metadata: HashMap<String, String> = metadata
        .map(|(key, value)| (key.to_owned(), value))
        .chain(format)
        .collect();
    safetensors::serialize(views, Some(metadata)).expect("names are unique and the header is small")
}

/// Bytes of a file beyond those of the values: names, shapes and metadata.
const MAX_HEAD_BYTES: usize = 16 << 20;

/// Longest file with the parameters of a layout.
pub fn max_file_bytes(layout: &Layout) -> usize {
    layout.len() * size_of::<f32>() + MAX_HEAD_BYTES
}

/// Why a file does not hold a model's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParametersError {
    /// Not a safetensors file.
    #[error("it is no safetensors file: {problem}")]
    Format {
        /// What the library says.
        problem: String,
    },
    /// Other tensors than the model's.
    #[error(
        "it lacks {missing:?} and has {unknown:?}, which the model does not have; both lists are cut at {MAX_LISTED}"
    )]
    Names {
        /// Tensors of the model that are not in the file.
        missing: Vec<String>,
        /// Tensors of the file that the model does not have.
        unknown: Vec<String>,
    },
    /// A tensor of another type or shape.
    #[error("{name} is {got_dtype} of shape {got:?}, the model needs F32 of shape {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Its type.
        got_dtype: String,
        /// Its shape.
        got: Vec<usize>,
        /// The model's.
        expected: Vec<usize>,
    },
    /// Infinite or not a number.
    #[error("value {idx} of {name} is not finite")]
    NotFinite {
        /// The tensor.
        name: String,
        /// Index within it.
        idx: usize,
    },
}

/// Names that an error lists at most.
const MAX_LISTED: usize = 5;

/// The parameters of a safetensors file, flat in the order of the layout.
///
/// # Errors
/// [`ParametersError`] where the file's tensors are not exactly the layout's.
pub fn parameters(file: &[u8], layout: &Layout) -> Result<Vec<f32>, ParametersError> {
    let tensors = SafeTensors::deserialize(file).map_err(|error| ParametersError::Format {
        problem: error.to_string(),
    })?;
    check_names(&tensors, layout)?;
    let mut values = Vec::with_capacity(layout.len());
    for spec in layout.tensors() {
        let name = || spec.name.clone();
        let view = tensors.tensor(&spec.name).expect("its name was checked");
        if view.dtype() != Dtype::F32 || view.shape() != spec.shape {
            return Err(ParametersError::Shape {
                name: name(),
                got_dtype: format!("{:?}", view.dtype()),
                got: view.shape().to_vec(),
                expected: spec.shape.clone(),
            });
        }
        let (words, _) = view.data().as_chunks();
        let first = values.len();
        values.extend(words.iter().map(|&word| f32::from_le_bytes(word)));
        if let Some(idx) = values[first..].iter().position(|value| !value.is_finite()) {
            return Err(ParametersError::NotFinite { name: name(), idx });
        }
    }
    Ok(values)
}

fn check_names(tensors: &SafeTensors<'_>, layout: &Layout) -> Result<(), ParametersError> {
    let there: BTreeSet<&str> = tensors.names().into_iter().collect();
    let wanted = layout.tensors().iter().map(|spec| spec.name.as_str());
    let wanted: BTreeSet<&str> = wanted.collect();
    if there == wanted {
        return Ok(());
    }
    let listed = |one: &BTreeSet<&str>, other: &BTreeSet<&str>| {
        let names = one.difference(other).take(MAX_LISTED);
        names.map(|name| (*name).to_owned()).collect()
    };
    Err(ParametersError::Names {
        missing: listed(&wanted, &there),
        unknown: listed(&there, &wanted),
    })
}

#[cfg(test)]
mod tests {
    use tabswarm_model::Run;
    use tabswarm_model::init::initial_params;

    use super::*;

    #[test]
    fn every_tensor_comes_back_bit_by_bit() {
        let run = Run::from_toml(include_str!("../../../runs/char-gpt.toml")).unwrap();
        let layout = run.graph().layout;
        let params = initial_params(&layout, run.seed);
        let trained = Trained::new(&run, 12, &params).unwrap();
        let bytes = trained.safetensors();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.len(), layout.tensors().len());
        for tensor in layout.tensors() {
            let view = tensors.tensor(&tensor.name).unwrap();
            assert_eq!(view.shape(), tensor.shape);
            assert_eq!(view.data(), &*to_bytes(&params[tensor.range()]));
        }
        let (_, head) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = head.metadata().as_ref().unwrap();
        assert_eq!(metadata["tabswarm_step"], "12");
        assert_eq!(Run::from_json(&metadata["tabswarm_run"]).as_ref(), Ok(&run));
        assert_eq!(metadata["model_card"], trained.card());
    }

    #[test]
    fn what_was_written_can_be_read_and_nothing_else() {
        let run = |units: u32| {
            let text = include_str!("../../../runs/mnist-mlp.toml");
            Run::from_toml(&text.replace("units = 128", &format!("units = {units}"))).unwrap()
        };
        let (small, other) = (run(4), run(5));
        let layout = small.graph().layout;
        let params = initial_params(&layout, 3);
        let bytes = |run: &Run, params: &[f32]| Trained::new(run, 1, params).unwrap().safetensors();
        let file = bytes(&small, &params);
        assert!(file.len() <= max_file_bytes(&layout));
        assert_eq!(parameters(&file, &layout).as_ref(), Ok(&params));
        let refused = |file: &[u8]| parameters(file, &layout).unwrap_err().to_string();
        assert!(refused(b"GGUF").contains("no safetensors file"));
        assert!(refused(&file[..file.len() - 1]).contains("no safetensors file"));
        let misfit = initial_params(&other.graph().layout, 3);
        let shape = refused(&bytes(&other, &misfit));
        assert!(
            shape.contains("shape [784, 5]") && shape.contains("[784, 4]"),
            "{shape}"
        );
        let deep = Run::from_toml(include_str!("../../../runs/mnist-cnn.toml")).unwrap();
        let params_of_deep = initial_params(&deep.graph().layout, 3);
        let names = refused(&bytes(&deep, &params_of_deep));
        assert!(
            names.contains("layers.1.weight") && names.contains("layers.0.weight"),
            "{names}"
        );
        let mut broken = params.clone();
        broken[3] = f32::NAN;
        let infinite = refused(&bytes(&small, &broken));
        assert!(
            infinite.contains("value 3 of layers.1.weight"),
            "{infinite}"
        );
    }
}
