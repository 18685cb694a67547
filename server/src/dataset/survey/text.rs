//! Texts.

use std::path::Path;

use tabswarm_model::run_file::TextUnit;

use super::Survey;
use crate::dataset::ingest::IngestError;
use crate::dataset::text::{TextError, learn};

/// Tokens of a sequence in a proposed run file.
const CONTEXT: u64 = 64;

pub(super) fn survey(path: &Path, shown: &str) -> Result<Survey, IngestError> {
    let (unit, word, vocabulary, samples, remarks) = match learn(path, TextUnit::Characters) {
        Ok((vocabulary, samples)) => (
            "characters",
            "characters",
            vocabulary.len(),
            samples,
            Vec::new(),
        ),
        Err(error @ IngestError::Text(TextError::Encoding { .. })) => {
            let (vocabulary, samples) = learn(path, TextUnit::Bytes)?;
            (
                "bytes",
                "bytes",
                vocabulary.len(),
                samples,
                vec![error.to_string()],
            )
        }
        Err(error) => return Err(error),
    };
    let context = CONTEXT.min(samples / 20).max(1);
    Ok(Survey {
        format: "text",
        samples,
        vocabulary: Some(vocabulary),
        remarks,
        run_file: format!(
            "[data]\nformat = \"text\"\npath = {shown:?}\nvocabulary = {unit:?}\ncontext = {context}  \
             # {word} of a sample\n\n[model]\ninput = [{context}]\nlayers = [\n    \
             {{ kind = \"embedding\", vocabulary = {vocabulary}, width = 64 }},\n    \
             {{ kind = \"positional_embedding\" }},\n    {{ kind = \"residual\", layers = [\n        \
             {{ kind = \"layer_norm\" }},\n        {{ kind = \"attention\", heads = 4 }},\n    ] }},\n    \
             {{ kind = \"dense\", units = {vocabulary} }},\n]\nloss = \"softmax_cross_entropy\"\n"
        ),
        ..Survey::default()
    })
}
