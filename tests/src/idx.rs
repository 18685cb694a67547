//! A generated data set in IDX files: images of bars, one class per place of the bar.

use std::fs;
use std::io;
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Edge length of an image in pixels.
pub const EDGE: usize = 8;
/// Classes.
pub const CLASSES: u16 = 4;

/// Pixels and labels of generated samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// (samples, 64).
    pub pixels: Vec<u8>,
    /// One per sample, below [`CLASSES`].
    pub labels: Vec<u8>,
}

impl Images {
    /// Noisy images that follow from the seed.
    pub fn generate(samples: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut images = Self {
            pixels: Vec::with_capacity(samples * EDGE * EDGE),
            labels: Vec::with_capacity(samples),
        };
        for _ in 0..samples {
            let [noise, label, ..] = rng.next_u32().to_le_bytes();
            let label = label % CLASSES.to_le_bytes()[0];
            let row = usize::from(label) * 2;
            for pixel in 0..EDGE * EDGE {
                let [dark, ..] = rng.next_u32().to_le_bytes();
                let is_bar = pixel / EDGE == row && dark > noise / 2;
                images
                    .pixels
                    .push(if is_bar { 255 - dark / 4 } else { dark / 3 });
            }
            images.labels.push(label);
        }
        images
    }

    /// Writes the two files of a part (`train` or `t10k`).
    ///
    /// # Errors
    /// As the file system says.
    pub fn write(&self, folder: &Path, part: &str) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let edge = u32::try_from(EDGE).expect("small");
        let samples = u32::try_from(self.labels.len()).expect("few");
        let images = file(&[samples, edge, edge], &self.pixels);
        fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images)?;
        let labels = file(&[samples], &self.labels);
        fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels)
    }
}

/// An IDX file of bytes: magic, big-endian sizes, data.
fn file(sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let axes = u8::try_from(sizes.len()).expect("few");
    let mut bytes = vec![0, 0, 8, axes];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend_from_slice(data);
    bytes
}
