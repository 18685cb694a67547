//! Texts: read, turned into tokens, and divided into a training and a validation part.

mod source;
#[cfg(test)]
mod tests;

use std::path::Path;

use tabswarm_model::Run;
use tabswarm_model::dataset::{
    CHUNK_SAMPLES, Chunk, InputKind, Manifest, TargetKind, Tokens, Vocabulary,
};
use tabswarm_model::digest::Digest;
use tabswarm_model::run_file::TextSpec;

pub(crate) use self::source::TextError;
use self::source::scan;
pub(super) use self::source::{find, learn};
use super::ingest::{Counts, IngestError, Ingested, Sets};
use super::split::Part;
use super::writer::Shelf;

/// Reads the text at a path, or in the folder there, and stores its training part and its end, for validation.
///
/// The text is read twice and never held: once to count its tokens and to learn which there are, and once to
/// write them.
pub(super) fn ingest(
    run: &Run,
    spec: &TextSpec,
    path: &Path,
    sets: Sets<'_>,
) -> Result<Ingested, IngestError> {
    let path = find(path)?;
    let (vocabulary, tokens) = learn(&path, spec.unit)?;
    let training = tokens - part(tokens, spec.validation);
    check_lengths(&path, spec, [training, tokens - training])?;
    let expected = run.graph().vocabulary.unwrap_or_default();
    if vocabulary.len() != expected {
        let (got, unit) = (vocabulary.len(), spec.unit);
        let wrong = TextError::Vocabulary {
            path,
            got,
            expected,
            unit,
        };
        return Err(wrong.into());
    }
    let mut shelf = Shelf::new(sets);
    let parts = [
        (Part::Training, training),
        (Part::Validation, tokens - training),
    ];
    let mut parts = parts.map(|(part, tokens)| PartWriter::new(part, tokens, spec, &vocabulary));
    let changed = || TextError::Changed { path: path.clone() };
    let mut at = 0;
    scan(&path, spec.unit, &mut |block| {
        block.tokens(&vocabulary, &mut |token| {
            let token = token.ok_or_else(changed)?;
            let part = usize::from(at >= training);
            at += 1;
            parts[part].push(token, &mut shelf)
        })
    })?;
    if at != tokens {
        return Err(changed().into());
    }
    let [train, validation] = &mut parts;
    let samples = [&*train, validation].map(|part| u64::from(part.manifest.samples));
    let counts = Counts {
        samples: [samples[0], samples[1], 0],
        classes: Vec::new(),
    };
    let (dataset, manifest) = train.finish(&mut shelf, &path)?;
    let (test_set, _) = validation.finish(&mut shelf, &path)?;
    shelf.keep()?;
    Ok(Ingested {
        dataset,
        manifest,
        test_set,
        counts,
    })
}

/// A sequence and its last label have to fit into either part, and the sequences into 32 bits.
fn check_lengths(path: &Path, spec: &TextSpec, parts: [u64; 2]) -> Result<(), TextError> {
    let context = spec.context;
    for (purpose, part) in ["training", "validation"].into_iter().zip(parts) {
        if part <= context as u64 {
            return Err(TextError::TooShort {
                path: path.to_owned(),
                tokens: parts[0] + parts[1],
                part,
                purpose,
                context,
                unit: spec.unit,
            });
        }
        if part / context as u64 > u64::from(u32::MAX) {
            return Err(TextError::TooManySequences {
                path: path.to_owned(),
                context,
            });
        }
    }
    Ok(())
}

/// A part of a text on its way to the store.
struct PartWriter {
    part: Part,
    /// Complete but for the chunks.
    manifest: Manifest,
    context: usize,
    /// Of the chunk that is being filled; its first one is the last one of the chunk before.
    tokens: Vec<u16>,
}

impl PartWriter {
    fn new(part: Part, tokens: u64, spec: &TextSpec, vocabulary: &Vocabulary) -> Self {
        let count = |n: u64| u32::try_from(n).expect("checked before");
        let manifest = Manifest {
            sample_shape: vec![spec.context],
            classes: count(vocabulary.len() as u64),
            samples: count((tokens - 1) / spec.context as u64),
            chunk_samples: CHUNK_SAMPLES,
            chunks: Vec::new(),
            vocabulary: Some(vocabulary.clone()),
            targets: TargetKind::Labels,
            inputs: InputKind::Bytes,
            preparation: None,
        };
        Self {
            part,
            manifest,
            context: spec.context,
            tokens: Vec::new(),
        }
    }

    fn push(&mut self, token: u16, shelf: &mut Shelf<'_>) -> Result<(), IngestError> {
        self.tokens.push(token);
        if self.tokens.len() == CHUNK_SAMPLES as usize * self.context + 1 {
            self.flush(shelf)?;
            self.tokens.push(token);
        }
        Ok(())
    }

    fn flush(&mut self, shelf: &mut Shelf<'_>) -> Result<(), IngestError> {
        let tokens = std::mem::take(&mut self.tokens);
        let vocabulary = self.manifest.vocabulary.as_ref();
        let is_narrow = vocabulary.is_some_and(|vocabulary| vocabulary.token_bytes() == 1);
        let tokens = if is_narrow {
            Tokens::Narrow(tokens.iter().map(|token| token.to_le_bytes()[0]).collect())
        } else {
            Tokens::Wide(tokens)
        };
        let digest = shelf.chunk(self.part, &Chunk::Text(tokens))?;
        self.manifest.chunks.push(digest);
        Ok(())
    }

    fn finish(
        &mut self,
        shelf: &mut Shelf<'_>,
        path: &Path,
    ) -> Result<(Digest, Manifest), IngestError> {
        // An incomplete sequence at the end is left out.
        let sequences = self.tokens.len().saturating_sub(1) / self.context;
        if sequences > 0 {
            self.tokens.truncate(sequences * self.context + 1);
            self.flush(shelf)?;
        }
        shelf.manifest(self.part, &self.manifest, path)
    }
}

/// The share of a text, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the product is between 0 and `tokens`"
)]
fn part(tokens: u64, share: f64) -> u64 {
    (tokens as f64 * share) as u64
}
