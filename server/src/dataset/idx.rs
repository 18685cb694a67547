//! IDX files, the format of MNIST: a big-endian header of dimensions, then bytes or big-endian `f32`.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// More is no data set of samples with small shapes but a damaged header.
const MAX_DIMS: u8 = 8;

/// What the values of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Unsigned bytes: images and labels, which come from elsewhere.
    Bytes,
    /// Single-precision floats: soft targets, which somebody made.
    Floats,
}

impl Kind {
    /// The third byte of the file.
    fn code(self) -> u8 {
        match self {
            Self::Bytes => 0x08,
            Self::Floats => 0x0d,
        }
    }

    fn value_bytes(self) -> u64 {
        match self {
            Self::Bytes => 1,
            Self::Floats => 4,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Floats => "floats",
        }
    }

    /// What to do about a file that is not there.
    fn how_to_get(self) -> &'static str {
        match self {
            Self::Bytes => "run `cargo xtask setup` to fetch the data sets, or put the file there",
            Self::Floats => {
                "put the teacher's probabilities there, or write targets = \"classes\" in model.loss"
            }
        }
    }

    /// What to do about a damaged file.
    fn how_to_get_again(self) -> &'static str {
        match self {
            Self::Bytes => "delete it and run `cargo xtask setup` to fetch it again",
            Self::Floats => "write it again",
        }
    }
}

/// Why a file is not what it should be.
#[derive(Debug, Error)]
pub(crate) enum IdxError {
    /// None of the usual names exists.
    #[error(
        "{} has no {name}; {}",
        folder.display(),
        kind.how_to_get()
    )]
    Missing {
        /// The data set's folder.
        folder: PathBuf,
        /// The usual name.
        name: String,
        /// What it should hold.
        kind: Kind,
    },
    /// The system can't read it.
    #[error("{} can't be read: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// It is compressed.
    #[error("{} is compressed; unpack it with gunzip", path.display())]
    Compressed {
        /// Which.
        path: PathBuf,
    },
    /// Its first bytes are not those of such an IDX file.
    #[error(
        "{} is no IDX file of {} with {expected_dims} dimensions: it starts with {got:02x?}; {}",
        path.display(),
        kind.as_str(),
        kind.how_to_get_again()
    )]
    Magic {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        kind: Kind,
        /// The dimensions that it should have.
        expected_dims: u8,
        /// Its first bytes.
        got: Vec<u8>,
    },
    /// Its length does not follow from its dimensions.
    #[error(
        "{} has {got} bytes, but its dimensions {dims:?} make {expected}: it is {}; {}",
        path.display(),
        if got < expected { "truncated" } else { "too long" },
        kind.how_to_get_again()
    )]
    Length {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        kind: Kind,
        /// From its header.
        dims: Vec<usize>,
        /// From the dimensions.
        expected: u64,
        /// As it is.
        got: u64,
    },
}

/// A file that is read row by row: `train-images-idx3-ubyte` or whatever the name is, also with a dot before `idx`.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Samples first.
    pub(crate) dims: Vec<usize>,
    path: PathBuf,
    kind: Kind,
    reader: BufReader<File>,
    row: Vec<u8>,
}

impl Rows {
    /// Opens a file and checks its header and its length.
    pub(crate) fn open(
        folder: &Path,
        name: &str,
        kind: Kind,
        expected_dims: u8,
    ) -> Result<Self, IdxError> {
        let path = found(folder, name, kind)?;
        let (dims, file) = open(&path, kind, expected_dims)?;
        Ok(Self {
            dims,
            path,
            kind,
            reader: BufReader::new(file),
            row: Vec::new(),
        })
    }

    /// The next row's bytes. Before the first one is asked for, the dimensions have to be those of a model.
    pub(crate) fn next(&mut self) -> Result<&[u8], IdxError> {
        if self.row.is_empty() {
            let sizes = self.dims[1..].iter().map(|&dim| dim as u64);
            let bytes = sizes.fold(self.kind.value_bytes(), u64::saturating_mul);
            self.row = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        }
        match self.reader.read_exact(&mut self.row) {
            Ok(()) => Ok(&self.row),
            Err(source) => Err(IdxError::Io {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

fn found(folder: &Path, name: &str, kind: Kind) -> Result<PathBuf, IdxError> {
    let dotted = name.replace("-idx", ".idx");
    let found = [name, &dotted]
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| IdxError::Missing {
        folder: folder.to_owned(),
        name: name.to_owned(),
        kind,
    })
}

/// The dimensions of a file, and the file after its header.
fn open(path: &Path, kind: Kind, expected_dims: u8) -> Result<(Vec<usize>, File), IdxError> {
    let path = || path.to_owned();
    let io_error = |source| IdxError::Io {
        path: path(),
        source,
    };
    let mut file = File::open(path()).map_err(io_error)?;
    let got = file.metadata().map_err(io_error)?.len();
    let header_len = 4 + 4 * usize::from(expected_dims.min(MAX_DIMS));
    let mut header = Vec::with_capacity(header_len);
    file.by_ref()
        .take(header_len as u64)
        .read_to_end(&mut header)
        .map_err(io_error)?;
    if header.starts_with(&[0x1f, 0x8b]) {
        return Err(IdxError::Compressed { path: path() });
    }
    if !header.starts_with(&[0, 0, kind.code(), expected_dims]) || header.len() < header_len {
        header.truncate(4);
        return Err(IdxError::Magic {
            path: path(),
            kind,
            expected_dims,
            got: header,
        });
    }
    let dims: Vec<usize> = header[4..]
        .chunks_exact(4)
        .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize)
        .collect();
    // Saturating: dimensions that overflow are longer than any file.
    let bytes = dims.iter().fold(kind.value_bytes(), |acc, &dim| {
        acc.saturating_mul(dim as u64)
    });
    let expected = bytes.saturating_add(header_len as u64);
    if expected != got {
        return Err(IdxError::Length {
            path: path(),
            kind,
            dims,
            expected,
            got,
        });
    }
    Ok((dims, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::scratch::Scratch;

    const NAME: &str = "train-labels-idx1-ubyte";

    #[test]
    fn both_spellings_are_read() {
        let scratch = Scratch::new("idx-spelling");
        for name in [NAME, "train-labels.idx1-ubyte"] {
            let path = scratch.path().join(name);
            std::fs::write(&path, fixture::idx(&[3], &[7, 8, 9])).unwrap();
            let mut rows = Rows::open(scratch.path(), NAME, Kind::Bytes, 1).unwrap();
            assert_eq!(rows.dims, [3]);
            for label in [7, 8, 9] {
                assert_eq!(rows.next().unwrap(), [label]);
            }
            assert!(rows.next().is_err());
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn floats_are_big_endian_and_not_taken_for_bytes() {
        let name = "train-targets-idx2-float";
        let scratch = Scratch::new("idx-floats");
        let open = |kind| Rows::open(scratch.path(), name, kind, 2);
        let missing = open(Kind::Floats).unwrap_err().to_string();
        assert!(
            missing.ends_with(
                "has no train-targets-idx2-float; put the teacher's probabilities there, \
                 or write targets = \"classes\" in model.loss"
            ),
            "{missing}"
        );
        let path = scratch.path().join(name);
        let values = [0.25_f32, 0.75, 1.0, 0.0];
        let whole = fixture::idx_floats(&[2, 2], &values);
        std::fs::write(&path, &whole).unwrap();
        let mut rows = open(Kind::Floats).unwrap();
        assert_eq!(rows.dims, [2, 2]);
        let first = [0.25_f32.to_be_bytes(), 0.75_f32.to_be_bytes()].concat();
        assert_eq!(rows.next().unwrap(), first);
        let bytes = open(Kind::Bytes).unwrap_err().to_string();
        assert!(
            bytes.contains(
                "no IDX file of bytes with 2 dimensions: it starts with [00, 00, 0d, 02]"
            ),
            "{bytes}"
        );
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let short = open(Kind::Floats).unwrap_err().to_string();
        assert!(
            short.ends_with(
                "has 27 bytes, but its dimensions [2, 2] make 28: it is truncated; write it again"
            ),
            "{short}"
        );
    }

    #[test]
    fn each_fault_has_one_clear_message() {
        let whole = fixture::idx(&[3], &[7, 8, 9]);
        let cases: [(Option<Vec<u8>>, &[&str]); 7] = [
            (
                None,
                &["has no train-labels-idx1-ubyte", "cargo xtask setup"],
            ),
            (
                Some(whole[..whole.len() - 1].to_vec()),
                &["truncated", "10 bytes", "make 11"],
            ),
            (
                Some([whole.as_slice(), &[0]].concat()),
                &["too long", "12 bytes"],
            ),
            (Some(whole[..6].to_vec()), &["no IDX file"]),
            (
                Some(fixture::idx(&[1, 3], &[7, 8, 9])),
                &["with 1 dimensions", "starts with [00, 00, 08, 02]"],
            ),
            (Some(vec![0x1f, 0x8b, 8, 0, 0]), &["gunzip"]),
            (Some(fixture::idx(&[u32::MAX], &[])), &["truncated"]),
        ];
        let scratch = Scratch::new("idx-faults");
        for (bytes, expected) in cases {
            if let Some(bytes) = &bytes {
                std::fs::write(scratch.path().join(NAME), bytes).unwrap();
            }
            let opened = Rows::open(scratch.path(), NAME, Kind::Bytes, 1);
            let message = opened.unwrap_err().to_string();
            for part in expected {
                assert!(
                    message.contains(part),
                    "{message:?} should contain {part:?}"
                );
            }
        }
    }
}
