//! A snapshot's vectors as safetensors: one tensor per parameter tensor, so that other tools can read them.

use std::borrow::Cow;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tabswarm_model::layout::Layout;

use super::Snapshot;

/// Prefix of the master parameters' names.
pub(super) const MASTER: &str = "master";

/// Prefix of the names of an optimizer's state vector.
pub(super) fn slot_prefix(slot_idx: usize) -> String {
    format!("optimizer.{slot_idx}")
}

/// The bytes of a safetensors file.
pub(super) fn encode(snapshot: &Snapshot, layout: &Layout) -> Vec<u8> {
    let slots = snapshot.optimizer.slots().iter().enumerate();
    let vectors = std::iter::once((MASTER.to_owned(), &snapshot.params[..]))
        .chain(slots.map(|(idx, slot)| (slot_prefix(idx), slot.as_slice())));
    let little_endian: Vec<(String, Cow<'_, [u8]>)> = vectors
        .map(|(prefix, values)| (prefix, to_bytes(values)))
        .collect();
    let views = little_endian.iter().flat_map(|(prefix, bytes)| {
        layout.tensors().iter().map(move |tensor| {
            let range = tensor.offset * 4..(tensor.offset + tensor.len) * 4;
            let view = TensorView::new(Dtype::F32, tensor.shape.clone(), &bytes[range]);
            let view = view.expect("the layout gives shape and length");
            (format!("{prefix}.{}", tensor.name), view)
        })
    });
    safetensors::serialize(views, None).expect("names are unique and the header is small")
}

/// One vector of a safetensors file, all values finite.
pub(super) fn decode(bytes: &[u8], prefix: &str, layout: &Layout) -> Result<Vec<f32>, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut values = Vec::with_capacity(layout.len());
    for tensor in layout.tensors() {
        let name = format!("{prefix}.{}", tensor.name);
        let view = tensors
            .tensor(&name)
            .map_err(|error| format!("{name}: {error}"))?;
        if view.dtype() != Dtype::F32 || view.shape() != tensor.shape {
            return Err(format!(
                "{name} is {:?} of shape {:?} instead of F32 of shape {:?}",
                view.dtype(),
                view.shape(),
                tensor.shape
            ));
        }
        let (words, _) = view.data().as_chunks();
        values.extend(words.iter().map(|&word| f32::from_le_bytes(word)));
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(idx) => Err(format!("value {idx} of {prefix} is not finite")),
        None => Ok(values),
    }
}

fn to_bytes(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(values))
    } else {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
}
