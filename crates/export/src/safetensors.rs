//! The parameters as safetensors, one tensor per parameter tensor.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};

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

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;
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
}
