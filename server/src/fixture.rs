//! A small run and its data files, for unit tests.

use std::path::Path;

use tabswarm_model::Run;

/// Two classes of 2×3 images.
pub(crate) const RUN_TOML: &str = r#"
name = "tiny"
seed = 1
data = { format = "idx", path = "tiny" }
optimizer = { kind = "adam", learning_rate = 0.01 }
[model]
input = [2, 3]
layers = [{ kind = "flatten" }, { kind = "dense", units = 4 }, { kind = "relu" }, { kind = "dense", units = 2 }]
loss = "softmax_cross_entropy"
[train]
epochs = 2
micro_batch = 4
global_batch = 8
"#;

/// The run of [`RUN_TOML`].
pub(crate) fn run() -> Run {
    Run::from_toml(RUN_TOML).unwrap()
}

/// A run on a text of five different characters.
pub(crate) const TEXT_RUN_TOML: &str = r#"
name = "tale"
seed = 1
data = { format = "text", path = "tale", vocabulary = "characters", context = 4, validation = 0.1 }
optimizer = { kind = "adam", learning_rate = 0.01 }
[model]
input = [4]
layers = [{ kind = "embedding", vocabulary = 5, width = 3 }, { kind = "dense", units = 5 }]
loss = "softmax_cross_entropy"
[train]
epochs = 2
micro_batch = 4
global_batch = 8
"#;

/// The run of [`TEXT_RUN_TOML`].
pub(crate) fn text_run() -> Run {
    Run::from_toml(TEXT_RUN_TOML).unwrap()
}

/// A text of the characters `a`, `b`, `c`, `d` and `é`.
pub(crate) fn text(length: usize) -> String {
    (0..length)
        .map(|n| ['a', 'b', 'c', 'd', 'é'][(n * n + n / 3) % 5])
        .collect()
}

/// An IDX file of bytes.
pub(crate) fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, u8::try_from(dims.len()).unwrap()];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend_from_slice(data);
    bytes
}

/// An IDX file of floats.
pub(crate) fn idx_floats(dims: &[u32], data: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = data.iter().flat_map(|value| value.to_be_bytes()).collect();
    let mut bytes = idx(dims, &data);
    bytes[2] = 0x0d;
    bytes
}

/// The run of [`RUN_TOML`] on soft targets.
pub(crate) fn soft_run() -> Run {
    let loss = r#"loss = { kind = "softmax_cross_entropy", targets = "soft", temperature = 2.0 }"#;
    let text = RUN_TOML.replace(r#"loss = "softmax_cross_entropy""#, loss);
    Run::from_toml(&text).unwrap()
}

/// Writes soft targets beside the images of [`write_dataset`]: an even sample is probably of class 0.
pub(crate) fn write_soft_targets(folder: &Path, train: u32, test: u32) {
    for (prefix, samples) in [("train", train), ("t10k", test)] {
        let rows: Vec<f32> = (0..samples)
            .flat_map(|n| {
                if n % 2 == 0 {
                    [0.75, 0.25]
                } else {
                    [0.125, 0.875]
                }
            })
            .collect();
        let path = folder.join(format!("{prefix}-targets-idx2-float"));
        std::fs::write(path, idx_floats(&[samples, 2], &rows)).unwrap();
    }
}

/// Writes the four files of a data set of 2×3 images with labels 0 and 1.
pub(crate) fn write_dataset(folder: &Path, train: u32, test: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for (prefix, samples) in [("train", train), ("t10k", test)] {
        let pixels: Vec<u8> = (0..samples * 6)
            .map(|n| (n * 37 % 251).to_le_bytes()[0])
            .collect();
        let labels: Vec<u8> = (0..samples).map(|n| (n % 2).to_le_bytes()[0]).collect();
        let images = idx(&[samples, 2, 3], &pixels);
        std::fs::write(folder.join(format!("{prefix}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(
            folder.join(format!("{prefix}-labels-idx1-ubyte")),
            idx(&[samples], &labels),
        )
        .unwrap();
    }
}
