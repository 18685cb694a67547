//! Parameters as bytes.

use std::borrow::Cow;

/// Little-endian bytes of values.
pub(crate) fn to_bytes(values: &[f32]) -> Vec<u8> {
    bytes_of(values).into_owned()
}

/// Little-endian bytes of values, borrowed where memory has them in that order already.
pub(crate) fn bytes_of(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(values))
    } else {
        Cow::Owned(
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        )
    }
}
