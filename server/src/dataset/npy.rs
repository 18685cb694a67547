//! The header of an `.npy` file: `NumPy`'s format 1.0 to 3.0.

use std::fmt;
use std::io::Read;

use tabswarm_model::run_file::MAX_FEATURES;

use super::fault::{Fault, quoted};

/// Longest header: one of a plain array has some 120 bytes.
const MAX_HEADER_BYTES: usize = 16 << 10;
const MAX_DIMS: usize = 9;

/// What an array's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whole numbers from 0, of so many bytes.
    Unsigned(usize),
    /// Whole numbers.
    Signed(usize),
    /// Floating-point numbers.
    Float(usize),
}

impl Kind {
    /// Bytes of a value.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Unsigned(bytes) | Self::Signed(bytes) | Self::Float(bytes) => bytes,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, bytes) = match self {
            Self::Unsigned(bytes) => ("uint", bytes),
            Self::Signed(bytes) => ("int", bytes),
            Self::Float(bytes) => ("float", bytes),
        };
        write!(f, "{word}{}", bytes * 8)
    }
}

/// What an array is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Samples first.
    pub(super) shape: Vec<usize>,
    /// What its values are.
    pub(super) kind: Kind,
    is_big_endian: bool,
}

impl Header {
    /// Reads a header; `place` is for messages.
    pub(super) fn read(reader: &mut impl Read, place: &str) -> Result<Self, Fault> {
        let broken = |problem: String| {
            Fault::new(
                place,
                problem,
                "save the array with numpy.save or numpy.savez",
            )
        };
        let mut start = [0; 8];
        let mut exact = |buffer: &mut [u8]| {
            reader
                .read_exact(buffer)
                .map_err(|error| broken(format!("its header can't be read: {error}")))
        };
        exact(&mut start)?;
        let [magic @ .., major, _minor] = start;
        if &magic != b"\x93NUMPY" || !(1..=3).contains(&major) {
            return Err(broken("it is no array of NumPy".to_owned()));
        }
        let mut len = [0; 4];
        exact(&mut len[..if major == 1 { 2 } else { 4 }])?;
        let len = u32::from_le_bytes(len) as usize;
        if len > MAX_HEADER_BYTES {
            return Err(broken(format!(
                "its header has {len} bytes, at most {MAX_HEADER_BYTES} are read"
            )));
        }
        let mut text = vec![0; len];
        exact(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        Self::parse(&text, place)
    }

    fn parse(text: &str, place: &str) -> Result<Self, Fault> {
        let remedy = "save the array with numpy.save or numpy.savez";
        let unclear = || {
            Fault::new(
                place,
                format!("its header {} is unknown", quoted(text)),
                remedy,
            )
        };
        let after = |key: &str| {
            let at = text.find(&format!("'{key}':")).ok_or_else(unclear)?;
            Ok::<_, Fault>(text[at + key.len() + 3..].trim_start())
        };
        if after("fortran_order")?.starts_with("True") {
            let remedy = "save numpy.ascontiguousarray(array)";
            return Err(Fault::new(
                place,
                "its columns come before its rows",
                remedy,
            ));
        }
        let descr = after("descr")?;
        let descr = descr
            .strip_prefix('\'')
            .and_then(|rest| rest.split_once('\''));
        let descr = descr.ok_or_else(|| {
            Fault::new(
                place,
                "its values are records",
                "save an array of plain numbers",
            )
        })?;
        let (kind, is_big_endian) = kind(descr.0).ok_or_else(|| {
            let problem = format!("its values are of type {}", quoted(descr.0));
            let remedy =
                "save whole numbers or floats of 4 or 8 bytes, as with array.astype(\"f4\")";
            Fault::new(place, problem, remedy)
        })?;
        let shape = after("shape")?
            .strip_prefix('(')
            .and_then(|rest| rest.split_once(')'));
        let sizes = shape.ok_or_else(unclear)?.0.split(',').map(str::trim);
        let sizes: Result<Vec<usize>, _> = sizes
            .filter(|size| !size.is_empty())
            .map(str::parse)
            .collect();
        let shape = sizes.map_err(|_number| unclear())?;
        let features = shape
            .iter()
            .skip(1)
            .try_fold(1_usize, |acc, &n| acc.checked_mul(n));
        let fits = features.is_some_and(|n| (1..=MAX_FEATURES).contains(&n));
        if !fits || shape.len() > MAX_DIMS || shape.is_empty() {
            let problem = format!("its shape is {shape:?}");
            let remedy = format!("save an array of at most {MAX_FEATURES} values a sample");
            return Err(Fault::new(place, problem, remedy));
        }
        Ok(Self {
            shape,
            kind,
            is_big_endian,
        })
    }

    /// Bytes of a sample.
    pub(super) fn row_bytes(&self) -> usize {
        self.shape[1..].iter().product::<usize>() * self.kind.bytes()
    }

    /// Bytes of all samples.
    pub(super) fn total_bytes(&self) -> u64 {
        (self.shape[0] as u64).saturating_mul(self.row_bytes() as u64)
    }

    /// A stored number.
    pub(super) fn number(&self, raw: &[u8]) -> f64 {
        match self.kind {
            Kind::Unsigned(_) | Kind::Signed(_) => self.whole_number(raw) as f64,
            Kind::Float(bytes) => {
                let bits = self.bits(raw);
                if bytes == 4 {
                    f64::from(f32::from_bits(u32::try_from(bits).unwrap_or_default()))
                } else {
                    f64::from_bits(bits)
                }
            }
        }
    }

    /// A stored whole number.
    pub(super) fn whole_number(&self, raw: &[u8]) -> i128 {
        let bits = i128::from(self.bits(raw));
        let width = raw.len() * 8;
        let is_negative = matches!(self.kind, Kind::Signed(_)) && bits >> (width - 1) == 1;
        if is_negative {
            bits - (1 << width)
        } else {
            bits
        }
    }

    fn bits(&self, raw: &[u8]) -> u64 {
        let take = |acc, &byte: &u8| acc << 8 | u64::from(byte);
        if self.is_big_endian {
            raw.iter().fold(0, take)
        } else {
            raw.iter().rev().fold(0, take)
        }
    }
}

/// Kind and order of bytes of a type such as `<f4`.
fn kind(descr: &str) -> Option<(Kind, bool)> {
    let order = descr.chars().next()?;
    let kind = match descr.get(1..)? {
        "u1" | "u2" | "u4" | "u8" => Kind::Unsigned,
        "i1" | "i2" | "i4" | "i8" => Kind::Signed,
        "f4" | "f8" => Kind::Float,
        "b1" => return Some((Kind::Unsigned(1), false)),
        _ => return None,
    };
    let bytes = descr.get(2..)?.parse().ok()?;
    matches!(order, '<' | '>' | '|').then_some((kind(bytes), order == '>'))
}
