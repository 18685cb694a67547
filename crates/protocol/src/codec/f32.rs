//! The `f32` codec: little-endian values, nothing else.

use crate::error::CodecError;

/// Encodes values.
pub fn encode(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * 4);
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// Decodes exactly `len` finite values.
///
/// # Errors
/// Where the length differs or a value is not finite.
pub fn decode(bytes: &[u8], len: usize) -> Result<Vec<f32>, CodecError> {
    if bytes.len() != len.saturating_mul(4) {
        return Err(CodecError::Length {
            expected: len.saturating_mul(4),
            got: bytes.len(),
        });
    }
    let values: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    match values.iter().position(|value| !value.is_finite()) {
        Some(value_idx) => Err(CodecError::NonFinite { value_idx }),
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let values = [0.0, -0.0, 1.5, f32::MIN_POSITIVE / 2.0, f32::MAX];
        let back = decode(&encode(&values), values.len()).unwrap();
        assert!(
            back.iter()
                .zip(values)
                .all(|(a, b)| a.to_bits() == b.to_bits())
        );
    }

    #[test]
    fn wrong_lengths_and_non_finite_values_are_refused() {
        assert_eq!(
            decode(&[0; 7], 2),
            Err(CodecError::Length {
                expected: 8,
                got: 7
            })
        );
        assert!(decode(&[0; 4], usize::MAX).is_err());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let bytes = encode(&[1.0, bad]);
            assert_eq!(
                decode(&bytes, 2),
                Err(CodecError::NonFinite { value_idx: 1 })
            );
        }
    }
}
