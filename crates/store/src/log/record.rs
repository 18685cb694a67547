//! Records: one entry, or a note of what is durable, behind a header with two checksums.
//!
//! Every record begins with its segment's mark, eight bytes that nobody outside can predict: a worker could
//! otherwise put the image of a record into an update, for a reader to find that scans on behind damage.

use tabswarm_coordinator::LogEntry;
use tabswarm_model::master::AppliedSums;
use tabswarm_protocol::codec::exact;

use super::control::{self, Kind};
use crate::error::StoreError;
use crate::limits::{MAX_CONTROL_BYTES, MAX_TENSOR_BYTES};

/// Length of a record's header.
pub(crate) const HEADER_BYTES: usize = 48;
const CHECKED: usize = HEADER_BYTES - 4;

/// Begins every record of a segment.
pub(crate) type Mark = [u8; 8];

/// How a step's sums are stored; the numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TensorForm {
    Nothing = 0,
    /// The `exact` codec: all sums fit an `i32`.
    Packed = 1,
    /// `i64`.
    Wide = 2,
    /// `f32`.
    F32 = 3,
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// What it is.
    pub(crate) kind: Kind,
    form: TensorForm,
    control_bytes: usize,
    tensor_bytes: usize,
    /// Of the entry; of a sync record, of the entry before it.
    pub(crate) sequence: u64,
    /// Everything up to here was on stable storage before the record was written.
    pub(crate) synced_through: u64,
    body_crc: u32,
}

impl Header {
    /// Length of the whole record.
    pub(crate) fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.control_bytes + self.tensor_bytes
    }

    /// Whether it holds a step's sums.
    pub(crate) fn has_tensor(&self) -> bool {
        self.form != TensorForm::Nothing
    }

    /// The header at the beginning of `bytes`, if there is one of this segment.
    pub(crate) fn parse(bytes: &[u8], mark: Mark) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let (checked, crc) = bytes.split_at(CHECKED);
        if checked[..8] != mark || crc32fast::hash(checked) != u32_at(crc, 0) {
            return None;
        }
        let form = [
            TensorForm::Nothing,
            TensorForm::Packed,
            TensorForm::Wide,
            TensorForm::F32,
        ]
        .into_iter()
        .find(|form| *form as u8 == checked[33]);
        let header = Self {
            kind: Kind::from_byte(checked[32])?,
            form: form?,
            control_bytes: usize::try_from(u32_at(checked, 8)).ok()?,
            tensor_bytes: usize::try_from(u32_at(checked, 12)).ok()?,
            sequence: u64_at(checked, 16),
            synced_through: u64_at(checked, 24),
            body_crc: u32_at(checked, 36),
        };
        let fits =
            header.control_bytes <= MAX_CONTROL_BYTES && header.tensor_bytes <= MAX_TENSOR_BYTES;
        fits.then_some(header)
    }

    fn write(&self, mark: Mark, at: &mut [u8]) {
        let length = |bytes: usize| {
            u32::try_from(bytes)
                .expect("limits are below 4 GiB")
                .to_le_bytes()
        };
        at[..HEADER_BYTES].fill(0);
        at[..8].copy_from_slice(&mark);
        at[8..12].copy_from_slice(&length(self.control_bytes));
        at[12..16].copy_from_slice(&length(self.tensor_bytes));
        at[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        at[24..32].copy_from_slice(&self.synced_through.to_le_bytes());
        at[32] = self.kind as u8;
        at[33] = self.form as u8;
        at[36..40].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32fast::hash(&at[..CHECKED]);
        at[CHECKED..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    }
}

/// The parts of a record whose checksums are right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// Its header.
    pub(crate) header: Header,
    control: &'a [u8],
    tensor: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at the beginning of `bytes`; none unless all of it is there as it was written.
    pub(crate) fn parse(bytes: &'a [u8], mark: Mark) -> Option<Self> {
        let header = Header::parse(bytes, mark)?;
        let body = bytes.get(HEADER_BYTES..header.record_bytes())?;
        let (control, tensor) = body.split_at(header.control_bytes);
        (crc32fast::hash(body) == header.body_crc).then_some(Self {
            header,
            control,
            tensor,
        })
    }

    /// The entry, but for a step's sums; none for a sync record.
    pub(crate) fn entry(&self) -> Result<Option<LogEntry>, String> {
        match self.header.kind {
            Kind::Sync => Ok(None),
            kind => control::decode(kind, self.header.sequence, self.control).map(Some),
        }
    }

    /// A step's sums, `len` of them; none where the log has decisions only.
    pub(crate) fn sums(&self, len: usize) -> Result<Option<AppliedSums>, String> {
        let wrong_length = || format!("{} bytes for {len} sums", self.tensor.len());
        let fits = |width: usize| self.tensor.len() == len * width;
        match self.header.form {
            TensorForm::Nothing => Ok(None),
            TensorForm::Packed => {
                let sums = exact::decode(self.tensor, len).map_err(|error| error.to_string())?;
                let sums = sums.into_iter().map(i64::from).collect();
                Ok(Some(AppliedSums::Exact(sums)))
            }
            TensorForm::Wide if fits(8) => {
                let (words, _) = self.tensor.as_chunks();
                let sums = words.iter().map(|&word| i64::from_le_bytes(word)).collect();
                Ok(Some(AppliedSums::Exact(sums)))
            }
            TensorForm::F32 if fits(4) => {
                let (words, _) = self.tensor.as_chunks();
                let sums: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
                if sums.iter().any(|sum| !sum.is_finite()) {
                    return Err("a sum is not finite".to_owned());
                }
                Ok(Some(AppliedSums::F32(sums)))
            }
            TensorForm::Wide | TensorForm::F32 => Err(wrong_length()),
        }
    }
}

/// Writes records; keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
    narrow: Vec<i32>,
}

impl Encoder {
    /// The record of an entry.
    pub(crate) fn entry(
        &mut self,
        mark: Mark,
        entry: &LogEntry,
        sums: Option<&AppliedSums>,
        synced_through: u64,
    ) -> Result<&[u8], StoreError> {
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES, 0);
        self.bytes = control::encode(&entry.change, std::mem::take(&mut self.bytes));
        let control_bytes = self.bytes.len() - HEADER_BYTES;
        let form = match sums {
            None => TensorForm::Nothing,
            Some(sums) => self.push_sums(sums),
        };
        let tensor_bytes = self.bytes.len() - HEADER_BYTES - control_bytes;
        for (bytes, limit) in [
            (control_bytes, MAX_CONTROL_BYTES),
            (tensor_bytes, MAX_TENSOR_BYTES),
        ] {
            if bytes > limit {
                return Err(StoreError::TooLarge {
                    sequence: entry.sequence,
                    bytes,
                    limit,
                });
            }
        }
        let header = Header {
            kind: Kind::of(&entry.change),
            form,
            control_bytes,
            tensor_bytes,
            sequence: entry.sequence,
            synced_through,
            body_crc: crc32fast::hash(&self.bytes[HEADER_BYTES..]),
        };
        header.write(mark, &mut self.bytes);
        Ok(&self.bytes)
    }

    /// A sync record: entry `sequence` and all before it are durable.
    pub(crate) fn sync(&mut self, mark: Mark, sequence: u64) -> &[u8] {
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES, 0);
        let header = Header {
            kind: Kind::Sync,
            form: TensorForm::Nothing,
            control_bytes: 0,
            tensor_bytes: 0,
            sequence,
            synced_through: sequence,
            body_crc: crc32fast::hash(&[]),
        };
        header.write(mark, &mut self.bytes);
        &self.bytes
    }

    fn push_sums(&mut self, sums: &AppliedSums) -> TensorForm {
        match sums {
            AppliedSums::Exact(sums) => {
                // Nearly always they fit: one pass that stops nowhere, and a look at the end.
                let mut is_wide = false;
                self.narrow.clear();
                self.narrow.extend(sums.iter().map(|&sum| {
                    let narrow = truncated(sum);
                    is_wide |= i64::from(narrow) != sum;
                    narrow
                }));
                if !is_wide {
                    exact::encode_into(&self.narrow, &mut self.bytes);
                    return TensorForm::Packed;
                }
                self.bytes
                    .extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
                TensorForm::Wide
            }
            AppliedSums::F32(sums) => {
                self.bytes
                    .extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
                TensorForm::F32
            }
        }
    }
}

/// The lower half of a sum.
#[expect(clippy::cast_possible_truncation, reason = "the caller compares")]
const fn truncated(sum: i64) -> i32 {
    sum as i32
}

/// Copies a whole record for another segment, with what is durable now.
pub(crate) fn copy(record: &[u8], mark: Mark, header: Header, synced_through: u64) -> Vec<u8> {
    let mut bytes = record.to_vec();
    let header = Header {
        synced_through,
        ..header
    };
    header.write(mark, &mut bytes);
    bytes
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|idx| bytes[at + idx]))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|idx| bytes[at + idx]))
}
