//! A tiny run on tiny data for the tests of this crate.

use tabswarm_model::dataset::{Chunk, InputKind, Manifest, TargetKind};
use tabswarm_model::digest::Digest;

/// Parameters of the run's model.
pub(crate) const PARAMETERS: usize = 4 * 3 + 3;

/// The run's JSON with an update codec, or one in rounds of two shards of two inner steps.
pub(crate) fn run_json(kind: &str) -> String {
    let (codec, sync) = match kind {
        "local" => ("exact", r#"{"mode":"local","inner_steps":2,"shards":2}"#),
        codec => (codec, r#"{"mode":"sync"}"#),
    };
    let reproducible = codec == "exact";
    format!(
        r#"{{"name":"tiny","seed":1,
        "data":{{"format":"idx","path":"tiny"}},
        "model":{{"input":[4],"layers":[{{"kind":"dense","units":3}}],"loss":"softmax_cross_entropy"}},
        "train":{{"epochs":2,"micro_batch":2,"global_batch":8}},
        "optimizer":{{"kind":"sgd","learning_rate":0.1}},
        "sync":{sync},
        "numeric":{{"reproducible":{reproducible},"class":"portable","codec":"{codec}"}}}}"#
    )
}

/// Samples of the data set: two steps of 8 and one of 4.
const SAMPLES: u32 = 20;
/// Samples of a full chunk.
const CHUNK_SAMPLES: u32 = 8;

/// The bytes of the data set's chunks.
pub(crate) fn chunks() -> Vec<Vec<u8>> {
    let starts = (0..SAMPLES).step_by(CHUNK_SAMPLES as usize);
    starts
        .map(|start| {
            let samples = start..(start + CHUNK_SAMPLES).min(SAMPLES);
            let chunk = Chunk::Labeled {
                inputs: samples
                    .clone()
                    .flat_map(|sample| (sample * 11).to_le_bytes())
                    .collect(),
                labels: samples
                    .map(|sample| (sample % 3).try_into().unwrap())
                    .collect(),
            };
            chunk.to_bytes()
        })
        .collect()
}

/// The data set's manifest.
pub(crate) fn manifest() -> Manifest {
    Manifest {
        sample_shape: vec![4],
        classes: 3,
        samples: SAMPLES,
        chunk_samples: CHUNK_SAMPLES,
        chunks: chunks().iter().map(|bytes| Digest::of(bytes)).collect(),
        vocabulary: None,
        targets: TargetKind::Labels,
        inputs: InputKind::Bytes,
        preparation: None,
    }
}
