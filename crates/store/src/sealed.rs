//! JSON files that notice damage.
//!
//! `{"format":2,"checksum":"<64 hexadecimal digits>","body":<JSON>}`, with exactly these bytes around the body.
//! The checksum is the blake3 digest of the format number in decimal, a line break and the body's bytes, so no
//! byte of the file can change unnoticed. In format 1 it was the digest of the body's bytes alone.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tabswarm_model::digest::Digest;
use thiserror::Error;

use crate::error::FORMAT;

const FORMAT_KEY: &str = "{\"format\":";
const CHECKSUM_KEY: &str = ",\"checksum\":\"";
const BODY_KEY: &str = "\",\"body\":";

/// Why a sealed text can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum SealError {
    /// It is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// It is whole, but of a later format.
    #[error("format {0} is newer than this program")]
    Newer(u32),
}

/// The sealed text of a value.
pub(crate) fn seal<T: Serialize>(value: &T) -> String {
    let body = serde_json::to_string(value).expect("stored forms have string keys only");
    seal_text(&body)
}

/// The sealed text of JSON that is there already.
pub(crate) fn seal_text(body: &str) -> String {
    let checksum = checksum(FORMAT, body);
    format!("{FORMAT_KEY}{FORMAT}{CHECKSUM_KEY}{checksum}{BODY_KEY}{body}}}")
}

/// The format that a file says it has, sealed or not.
pub(crate) fn format_of(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    let rest = text.strip_prefix(FORMAT_KEY)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..digits].parse().ok()
}

/// Whether a file looks sealed.
pub(crate) fn is_sealed(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| split(text).is_some())
}

/// The value in a sealed text.
pub(crate) fn unseal<T: DeserializeOwned>(bytes: &[u8], format: u32) -> Result<T, SealError> {
    let damaged = |problem: &str| SealError::Damaged(problem.to_owned());
    let text = std::str::from_utf8(bytes).map_err(|error| SealError::Damaged(error.to_string()))?;
    let (found, stored, body) =
        split(text).ok_or_else(|| damaged("it does not have the form of a sealed file"))?;
    if checksum(found, body).to_string() != stored {
        return Err(damaged("its checksum is wrong"));
    }
    if found > FORMAT {
        return Err(SealError::Newer(found));
    }
    if found != format {
        return Err(SealError::Damaged(format!(
            "it has format {found} instead of {format}"
        )));
    }
    serde_json::from_str(body).map_err(|error| SealError::Damaged(error.to_string()))
}

/// Format, checksum and body.
fn split(text: &str) -> Option<(u32, &str, &str)> {
    let format = format_of(text.as_bytes())?;
    let head = format!("{FORMAT_KEY}{format}{CHECKSUM_KEY}");
    let (stored, rest) = text.strip_prefix(&head)?.split_at_checked(64)?;
    let body = rest.strip_prefix(BODY_KEY)?.strip_suffix('}')?;
    Some((format, stored, body))
}

fn checksum(format: u32, body: &str) -> Digest {
    if format == 1 {
        return Digest::of(body.as_bytes());
    }
    Digest::of(format!("{format}\n{body}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bit_changes_unnoticed() {
        let sealed = seal(&vec![0.1_f64, 1e300, 3.0]);
        assert_eq!(
            unseal::<Vec<f64>>(sealed.as_bytes(), FORMAT).unwrap(),
            [0.1, 1e300, 3.0]
        );
        assert!(serde_json::from_str::<serde_json::Value>(&sealed).is_ok());
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let got = unseal::<Vec<f64>>(&bytes, FORMAT);
            assert!(matches!(got, Err(SealError::Damaged(_))), "bit {bit}");
        }
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        let later = format!(
            "{FORMAT_KEY}3{CHECKSUM_KEY}{}{BODY_KEY}[]}}",
            checksum(3, "[]")
        );
        assert_eq!(
            unseal::<Vec<u8>>(later.as_bytes(), FORMAT),
            Err(SealError::Newer(3))
        );
    }
}
