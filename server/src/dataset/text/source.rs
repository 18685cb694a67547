//! Files of text: found, read piece by piece, and what is wrong with them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tabswarm_model::dataset::Vocabulary;
use tabswarm_model::run_file::TextUnit;
use thiserror::Error;

use crate::dataset::fault;
use crate::dataset::ingest::IngestError;

/// The file that is meant where `data.path` is a folder.
const USUAL_NAME: &str = "data.txt";
/// What is read at once.
const BLOCK_BYTES: usize = 64 << 10;

/// Why a text can't be used.
#[derive(Debug, Error)]
pub(crate) enum TextError {
    /// It is not there.
    #[error(
        "{} does not exist; run `cargo xtask setup` to fetch the data sets, or put the text there",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A folder does not say which text is meant.
    #[error(
        "{} has no {USUAL_NAME}, and {texts} other files that end in .txt; write the text's name in data.path",
        folder.display()
    )]
    Unclear {
        /// The folder.
        folder: PathBuf,
        /// Number of texts in it.
        texts: usize,
    },
    /// The system can't read it.
    #[error("{} can't be read: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// It has too many sequences to count.
    #[error("{} has more than 4294967295 sequences of {context}; use a shorter text or a larger data.context", path.display())]
    TooManySequences {
        /// Which.
        path: PathBuf,
        /// Tokens of a sequence.
        context: usize,
    },
    /// It is not what it was when it was read before.
    #[error("{} changed while it was read; do not change it while a run is created", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// It is in another encoding.
    #[error(
        "{} is not UTF-8: the byte at offset {offset} does not belong there; convert it, for example with iconv -t UTF-8, or write vocabulary = \"bytes\"",
        path.display()
    )]
    Encoding {
        /// Which.
        path: PathBuf,
        /// Bytes before the first wrong one.
        offset: usize,
    },
    /// There is not one sequence in a part.
    #[error(
        "{} has {tokens} {}, of which {part} are for {purpose}: a sequence of data.context = {context} and its last label take {}; use a longer text, a smaller data.context or another data.validation",
        path.display(),
        unit_name(*unit),
        context + 1
    )]
    TooShort {
        /// Which.
        path: PathBuf,
        /// Its length.
        tokens: u64,
        /// Of the part that is too short.
        part: u64,
        /// `training` or `validation`.
        purpose: &'static str,
        /// Tokens of a sequence.
        context: usize,
        /// What a token is.
        unit: TextUnit,
    },
    /// No token for some characters.
    #[error("{} has more than 65536 different characters, which is the most that a model can tell apart", path.display())]
    TooManyCharacters {
        /// Which.
        path: PathBuf,
    },
    /// The model has another vocabulary.
    #[error(
        "{} has {got} different {}, but the model has a vocabulary of {expected}; write vocabulary = {got} in the embedding layer and as many units in a last dense layer",
        path.display(),
        unit_name(*unit)
    )]
    Vocabulary {
        /// Which.
        path: PathBuf,
        /// Of the text.
        got: usize,
        /// Of the model.
        expected: usize,
        /// What a token is.
        unit: TextUnit,
    },
}

fn unit_name(unit: TextUnit) -> &'static str {
    match unit {
        TextUnit::Characters => "characters",
        TextUnit::Bytes => "bytes",
    }
}

/// The text at a path, or in the folder there.
pub(in crate::dataset) fn find(path: &Path) -> Result<PathBuf, TextError> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if !path.is_dir() {
        let path = path.to_owned();
        return Err(TextError::Missing { path });
    }
    let usual = path.join(USUAL_NAME);
    if usual.is_file() {
        return Ok(usual);
    }
    let is_text = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|e| e == "txt");
    let entries = fs::read_dir(path).map_err(|source| io_error(path, source))?;
    let mut texts: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(is_text)
        .collect();
    match texts.pop() {
        Some(only) if texts.is_empty() => Ok(only),
        last => Err(TextError::Unclear {
            folder: path.to_owned(),
            texts: texts.len() + usize::from(last.is_some()),
        }),
    }
}

/// A piece of a text.
pub(super) enum Block<'a> {
    /// Whole characters.
    Characters(&'a str),
    Bytes(&'a [u8]),
}

impl Block<'_> {
    /// Calls `visit` with each token, which is none where the vocabulary lacks it.
    pub(super) fn tokens(
        &self,
        vocabulary: &Vocabulary,
        visit: &mut dyn FnMut(Option<u16>) -> Result<(), IngestError>,
    ) -> Result<(), IngestError> {
        match self {
            Self::Characters(text) => text.chars().try_for_each(|c| visit(vocabulary.token(c))),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|&b| visit(Some(b.into()))),
        }
    }
}

/// The vocabulary of a text, and its number of tokens.
pub(in crate::dataset) fn learn(
    path: &Path,
    unit: TextUnit,
) -> Result<(Vocabulary, u64), IngestError> {
    let (mut seen, mut count) = (BTreeSet::new(), 0_u64);
    // Almost every character is one that came before: the set is asked for each new ASCII one only.
    let mut is_known = [false; 128];
    scan(path, unit, &mut |block| {
        match block {
            Block::Bytes(bytes) => count += bytes.len() as u64,
            Block::Characters(text) => {
                for character in text.chars() {
                    count += 1;
                    match is_known.get_mut(character as usize) {
                        Some(known) if *known => continue,
                        Some(known) => *known = true,
                        None => {}
                    }
                    seen.insert(character);
                }
            }
        }
        Ok(())
    })?;
    if unit == TextUnit::Bytes {
        return Ok((Vocabulary::Bytes, count));
    }
    let characters: String = seen.into_iter().collect();
    let path = path.to_owned();
    let vocabulary = Vocabulary::of(&characters);
    Ok((
        vocabulary.ok_or(TextError::TooManyCharacters { path })?,
        count,
    ))
}

/// Calls `visit` with the pieces of a text in order.
pub(super) fn scan(
    path: &Path,
    unit: TextUnit,
    visit: &mut dyn FnMut(&Block<'_>) -> Result<(), IngestError>,
) -> Result<(), IngestError> {
    let mut file = fault::open(path)?;
    let mut buffer = vec![0; BLOCK_BYTES];
    // Bytes at the buffer's beginning that are the beginning of a character, and those before them in the file.
    let (mut kept, mut offset) = (0, 0);
    loop {
        let read = file
            .read(&mut buffer[kept..])
            .map_err(|source| io_error(path, source))?;
        let bytes = &buffer[..kept + read];
        if unit == TextUnit::Bytes {
            visit(&Block::Bytes(bytes))?;
        } else {
            let valid = match std::str::from_utf8(bytes) {
                Ok(_) => bytes.len(),
                Err(error) if error.error_len().is_none() && read > 0 => error.valid_up_to(),
                Err(error) => {
                    return Err(TextError::Encoding {
                        path: path.to_owned(),
                        offset: offset + error.valid_up_to(),
                    }
                    .into());
                }
            };
            let text = std::str::from_utf8(&bytes[..valid]).expect("it was looked at");
            visit(&Block::Characters(text))?;
            kept = bytes.len() - valid;
            offset += valid;
            let end = bytes.len();
            buffer.copy_within(valid..end, 0);
        }
        if read == 0 {
            return Ok(());
        }
    }
}

fn io_error(path: &Path, source: io::Error) -> TextError {
    TextError::Io {
        path: path.to_owned(),
        source,
    }
}
