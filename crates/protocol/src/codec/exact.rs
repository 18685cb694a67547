//! The `exact` codec: integers without loss, in blocks of one bit width each.
//!
//! Values are taken in blocks of [`EXACT_BLOCK_VALUES`] (the last block may be shorter). A block is one byte
//! `width` (0 to 32) and its values in zigzag form (0, -1, 1, -2, … become 0, 1, 2, 3, …) with `width` bits
//! each, least significant bit first, filled with zero bits to a whole byte. The width is the smallest that
//! holds the block's largest value, so a vector has exactly one encoding and encodings can be compared by
//! digest.

use crate::error::CodecError;
use crate::limits::EXACT_BLOCK_VALUES;

/// A full block at the largest width, and a word more.
const PADDED_BLOCK_BYTES: usize = EXACT_BLOCK_VALUES * 4 + 8;

const fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

const fn unzigzag(value: u32) -> i32 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

fn packed_bytes(values: usize, width: u32) -> usize {
    (values * width as usize).div_ceil(8)
}

fn width_of(all_bits: u32) -> u32 {
    u32::BITS - all_bits.leading_zeros()
}

/// Largest number of bytes that `len` values take.
pub fn max_bytes(len: usize) -> usize {
    len.saturating_mul(4)
        .saturating_add(len.div_ceil(EXACT_BLOCK_VALUES))
}

/// Encodes values.
pub fn encode(values: &[i32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(max_bytes(values.len()));
    encode_into(values, &mut bytes);
    bytes
}

/// Appends the encoding of values.
pub fn encode_into(values: &[i32], bytes: &mut Vec<u8>) {
    for block in values.chunks(EXACT_BLOCK_VALUES) {
        let width = width_of(block.iter().fold(0, |all, &value| all | zigzag(value)));
        bytes.push(width.to_le_bytes()[0]);
        if width > 0 {
            pack(block, width, bytes);
        }
    }
}

fn pack(block: &[i32], width: u32, bytes: &mut Vec<u8>) {
    // Each value is put behind the bits of the one before, and eight bytes are written that begin with its
    // first bit: no branch depends on where bytes end.
    let mut packed = [0; PADDED_BLOCK_BYTES];
    let (mut at, mut pending, mut pending_bits) = (0, 0_u64, 0);
    for &value in block {
        pending |= u64::from(zigzag(value)) << pending_bits;
        packed[at..at + 8].copy_from_slice(&pending.to_le_bytes());
        pending_bits += width;
        at += pending_bits as usize / 8;
        pending >>= pending_bits & !7;
        pending_bits &= 7;
    }
    bytes.extend_from_slice(&packed[..packed_bytes(block.len(), width)]);
}

/// Decodes exactly `len` values.
///
/// # Errors
/// Where the bytes are too few or too many, or not the one encoding of their values.
pub fn decode(bytes: &[u8], len: usize) -> Result<Vec<i32>, CodecError> {
    let blocks = len.div_ceil(EXACT_BLOCK_VALUES);
    // A block takes a byte at least: no allocation for a length that the bytes can't have.
    if bytes.len() < blocks {
        return Err(CodecError::Length {
            expected: blocks,
            got: bytes.len(),
        });
    }
    let mut values = vec![0; len];
    let mut rest = bytes;
    for (block_idx, block) in values.chunks_mut(EXACT_BLOCK_VALUES).enumerate() {
        let at = bytes.len() - rest.len();
        let [width, behind @ ..] = rest else {
            return Err(too_short(at + 1, bytes));
        };
        let bits = u32::from(*width);
        if bits > u32::BITS {
            return Err(CodecError::Width {
                block_idx,
                expected: 32,
                got: *width,
            });
        }
        let packed_len = packed_bytes(block.len(), bits);
        let Some((packed, behind)) = behind.split_at_checked(packed_len) else {
            return Err(too_short(at + 1 + packed_len, bytes));
        };
        if bits > 0 {
            unpack(packed, bits, block, block_idx)?;
        }
        rest = behind;
    }
    if !rest.is_empty() {
        return Err(CodecError::Length {
            expected: bytes.len() - rest.len(),
            got: bytes.len(),
        });
    }
    Ok(values)
}

fn too_short(expected: usize, bytes: &[u8]) -> CodecError {
    CodecError::Length {
        expected,
        got: bytes.len(),
    }
}

fn unpack(
    packed: &[u8],
    width: u32,
    block: &mut [i32],
    block_idx: usize,
) -> Result<(), CodecError> {
    // Each value is cut out of the eight bytes that begin with its first bit; behind the block are zeros, so
    // that the last ones have eight bytes, too.
    let mut padded = [0; PADDED_BLOCK_BYTES];
    padded[..packed.len()].copy_from_slice(packed);
    let mask = (1_u64 << width) - 1;
    let mut all_bits = 0;
    let mut bit = 0;
    for value in &mut *block {
        let at = bit / 8;
        let Some(&word) = padded[at..].first_chunk() else {
            unreachable!("the padding is as long as a word")
        };
        let raw = (u64::from_le_bytes(word) >> (bit % 8)) & mask;
        let [b0, b1, b2, b3, ..] = raw.to_le_bytes();
        let raw = u32::from_le_bytes([b0, b1, b2, b3]);
        all_bits |= raw;
        *value = unzigzag(raw);
        bit += width as usize;
    }
    let behind = packed
        .last()
        .map_or(0, |last| u32::from(*last) >> (bit % 8));
    if !bit.is_multiple_of(8) && behind != 0 {
        return Err(CodecError::Padding { block_idx });
    }
    let expected = width_of(all_bits).to_le_bytes()[0];
    let got = width.to_le_bytes()[0];
    if expected != got {
        return Err(CodecError::Width {
            block_idx,
            expected,
            got,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Vec<i32>> {
        let value = (0_u32..=31, any::<i32>()).prop_map(|(shift, value)| value >> shift);
        prop::collection::vec(value, 0..1_200)
    }

    #[test]
    fn extremes() {
        let values = [i32::MIN, i32::MAX, 0, -1, 1];
        assert_eq!(decode(&encode(&values), 5), Ok(values.to_vec()));
        assert_eq!(encode(&[0; 600]), [0, 0, 0]);
        assert_eq!(decode(&[], 0), Ok(vec![]));
    }

    #[test]
    fn other_encodings_of_the_same_values_are_refused() {
        // Width 2 where 1 suffices; a padding bit; a width beyond 32; a byte too many; a missing block.
        let width = |expected, got| CodecError::Width {
            block_idx: 0,
            expected,
            got,
        };
        assert_eq!(decode(&[2, 0b0100], 2), Err(width(1, 2)));
        assert_eq!(
            decode(&[1, 0b0110], 2),
            Err(CodecError::Padding { block_idx: 0 })
        );
        assert_eq!(decode(&[33, 0], 1), Err(width(32, 33)));
        assert_eq!(
            decode(&[0, 0], 1),
            Err(CodecError::Length {
                expected: 1,
                got: 2
            })
        );
        assert_eq!(
            decode(&[0], 300),
            Err(CodecError::Length {
                expected: 2,
                got: 1
            })
        );
        assert!(decode(&[0], usize::MAX).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(values in values()) {
            let bytes = encode(&values);
            prop_assert!(bytes.len() <= max_bytes(values.len()));
            prop_assert_eq!(decode(&bytes, values.len()), Ok(values));
        }

        #[test]
        fn any_bytes_are_the_encoding_of_what_they_decode_to(bytes in prop::collection::vec(any::<u8>(), 0..600), len in 0_usize..600) {
            if let Ok(values) = decode(&bytes, len) {
                prop_assert_eq!(encode(&values), bytes);
            }
        }

        #[test]
        fn truncation_is_noticed(values in values(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&values);
            prop_assume!(!bytes.is_empty());
            let cut = cut.index(bytes.len());
            prop_assert!(decode(&bytes[..cut], values.len()).is_err());
        }
    }
}
