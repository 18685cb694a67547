//! Which samples are trained on: exact shares, a function of the run's seed and of a sample's place alone.
//!
//! A permutation of all places decides, so that nothing has to be remembered for each sample: a Feistel network
//! whose outputs beyond the range are put in again (Black and Rogaway, "Ciphers with arbitrary finite domains",
//! 2002).

use std::path::Path;

use tabswarm_model::run_file::Split;

use super::fault::Fault;

const ROUNDS: u8 = 6;

/// What a sample is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Workers learn from it.
    Training,
    /// The server evaluates on it while the run goes on.
    Validation,
    /// Nobody looks at it before the end.
    Test,
}

/// The division of a data set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Splitter {
    /// Of the rounds' function; follows from the run's seed.
    key: [u8; 32],
    samples: u64,
    validation: u64,
    test: u64,
    half_bits: u32,
}

impl Splitter {
    /// A division of so many samples of a file.
    pub(super) fn new(seed: u64, samples: u64, split: Split, path: &Path) -> Result<Self, Fault> {
        if samples > u64::from(u32::MAX) {
            let problem = format!("{samples} samples are too many");
            let remedy = "use at most 4294967295 of them";
            return Err(Fault::new(path.display(), problem, remedy));
        }
        let part = |share: f64| {
            if share > 0.0 {
                rounded(samples, share).max(1)
            } else {
                0
            }
        };
        let (validation, test) = (part(split.validation), part(split.test));
        if samples <= validation + test {
            let problem = format!("{samples} samples are too few to train on and to keep some");
            return Err(Fault::new(path.display(), problem, "use a larger data set"));
        }
        let bits = 64 - (samples - 1).leading_zeros();
        Ok(Self {
            key: blake3::derive_key("tabswarm data split v1", &seed.to_le_bytes()),
            samples,
            validation,
            test,
            half_bits: bits.div_ceil(2).max(1),
        })
    }

    /// What the sample at this place is for.
    pub(super) fn part(&self, sample: u64) -> Part {
        let rank = self.rank(sample);
        if rank < self.test {
            Part::Test
        } else if rank < self.test + self.validation {
            Part::Validation
        } else {
            Part::Training
        }
    }

    fn rank(&self, sample: u64) -> u64 {
        let mut rank = sample;
        loop {
            rank = self.permuted(rank);
            if rank < self.samples {
                return rank;
            }
        }
    }

    fn permuted(&self, place: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (place >> self.half_bits, place & mask);
        for round in 0..ROUNDS {
            // One block, so one compression.
            let mut input = [round; 9];
            input[..8].copy_from_slice(&right.to_le_bytes());
            let hash = blake3::keyed_hash(&self.key, &input);
            let mut word = [0; 8];
            word.copy_from_slice(&hash.as_bytes()[..8]);
            (left, right) = (right, left ^ (u64::from_le_bytes(word) & mask));
        }
        left << self.half_bits | right
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the product is between 0 and the number of samples"
)]
fn rounded(samples: u64, share: f64) -> u64 {
    (samples as f64 * share).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(seed: u64, samples: u64, validation: f64, test: f64) -> [u64; 3] {
        let split = Split { validation, test };
        let splitter = Splitter::new(seed, samples, split, Path::new("x")).unwrap();
        let mut counts = [0; 3];
        for sample in 0..samples {
            counts[splitter.part(sample) as usize] += 1;
        }
        counts
    }

    #[test]
    fn shares_are_exact_and_follow_from_the_seed() {
        assert_eq!(counts(1, 150, 0.2, 0.1), [105, 30, 15]);
        assert_eq!(counts(7, 10_001, 0.1, 0.0), [9_001, 1_000, 0]);
        assert_eq!(counts(1, 2, 0.1, 0.0), [1, 1, 0]);
        let split = Split {
            validation: 0.2,
            test: 0.1,
        };
        let parts = |seed| -> Vec<Part> {
            let splitter = Splitter::new(seed, 150, split, Path::new("x")).unwrap();
            (0..150).map(|sample| splitter.part(sample)).collect()
        };
        assert_eq!(parts(1), parts(1));
        assert_ne!(parts(1), parts(2));
        // Files are often sorted by class: each third has its part of the validation samples.
        let of = |range: std::ops::Range<usize>| {
            parts(1)[range]
                .iter()
                .filter(|&&part| part == Part::Validation)
                .count()
        };
        assert!((0..3).all(|third| (4..=16).contains(&of(third * 50..(third + 1) * 50))));
    }

    #[test]
    fn too_few_samples_are_refused() {
        let split = Split {
            validation: 0.5,
            test: 0.4,
        };
        for samples in [0, 1, 2] {
            assert!(
                Splitter::new(1, samples, split, Path::new("x")).is_err(),
                "{samples}"
            );
        }
    }
}
