//! Random words for dropout: a function of a key and an index, in any order and on any device.
//!
//! The generator is Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as
//! easy as 1, 2, 3", 2011). It adds, rotates and combines 32-bit words and nothing else, so that SIMD units and
//! GPUs run it in as many lanes as they have.

/// What the noise of a micro-batch depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseKey {
    /// The run's seed.
    pub seed: u64,
    /// Version of the parameters that the micro-batch is computed with.
    pub version: u64,
    /// Index of the micro-batch within its step.
    pub micro_batch: u32,
}

impl NoiseKey {
    /// The noise of one dropout layer, numbered by [`Op::Dropout`](crate::graph::Op::Dropout)'s `site`.
    pub fn site(&self, site: u32) -> Noise {
        let mut hasher = blake3::Hasher::new_derive_key("tabswarm dropout noise v1");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&self.version.to_le_bytes());
        hasher.update(&self.micro_batch.to_le_bytes());
        hasher.update(&site.to_le_bytes());
        let digest = hasher.finalize();
        let word = |at: usize| {
            let bytes = digest.as_bytes();
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Noise([word(0), word(4)])
    }
}

/// A stream of random words, addressed by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise(pub [u32; 2]);

/// Words come in groups: lane `l` of a group's first half and of its second half are the two words of one block.
/// So a SIMD unit of up to so many lanes stores whole registers and never shuffles.
pub const NOISE_LANES: u32 = 16;
/// Words of a group.
pub const NOISE_GROUP: usize = 2 * NOISE_LANES as usize;

impl Noise {
    /// The word at `index`: with `group = index / 32`, `lane = index mod 16`, it is the first (`index mod 32 <
    /// 16`) or second word of the block with counter `(group · 16 + lane, 0)`.
    pub fn word(self, index: u32) -> u32 {
        let counter = index / 2 / NOISE_LANES * NOISE_LANES + index % NOISE_LANES;
        let half = index / NOISE_LANES % 2;
        threefry::<20>(self.0, [counter, 0])[half as usize]
    }

    /// The words of the group with the indices `32 · group ..`.
    #[inline]
    pub fn group(self, group: u32) -> [u32; NOISE_GROUP] {
        let mut words = [0; NOISE_GROUP];
        let (first, second) = words.split_at_mut(NOISE_LANES as usize);
        let first_counter = group * NOISE_LANES;
        for ((a, b), counter) in first.iter_mut().zip(second).zip(first_counter..) {
            [*a, *b] = threefry::<20>(self.0, [counter, 0]);
        }
        words
    }
}

/// One block of Threefry-2x32.
#[inline(always)]
fn threefry<const ROUNDS: u32>(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
    const PARITY: u32 = 0x1bd1_1bda;
    let keys = [key[0], key[1], PARITY ^ key[0] ^ key[1]];
    let mut x = counter[0].wrapping_add(keys[0]);
    let mut y = counter[1].wrapping_add(keys[1]);
    for round in 0..ROUNDS {
        x = x.wrapping_add(y);
        y = y.rotate_left(ROTATIONS[(round % 8) as usize]) ^ x;
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            x = x.wrapping_add(keys[(injection % 3) as usize]);
            y = y.wrapping_add(keys[((injection + 1) % 3) as usize]);
            y = y.wrapping_add(injection);
        }
    }
    [x, y]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the authors' Random123 distribution (`kat_vectors`).
    #[test]
    fn known_answers_of_threefry() {
        let ones = [u32::MAX; 2];
        let pi = ([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]);
        assert_eq!(threefry::<20>([0; 2], [0; 2]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry::<20>(ones, ones), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(threefry::<20>(pi.0, pi.1), [0xc492_3a9c, 0x483d_f7a0]);
        assert_eq!(threefry::<13>([0; 2], [0; 2]), [0x9d1c_5ec6, 0x8bd5_0731]);
    }

    #[test]
    fn groups_hold_the_words_of_their_indices() {
        let noise = Noise([7, 9]);
        for group in [0, 1, 12_345] {
            let first = group * u32::try_from(NOISE_GROUP).unwrap();
            let words = noise.group(group).into_iter().zip(first..);
            assert!(words.into_iter().all(|(word, i)| word == noise.word(i)));
        }
    }

    #[test]
    fn every_part_of_the_key_matters() {
        let key = NoiseKey {
            seed: 1,
            version: 2,
            micro_batch: 3,
        };
        let sites = [
            key.site(0),
            key.site(1),
            NoiseKey { seed: 4, ..key }.site(0),
            NoiseKey { version: 4, ..key }.site(0),
            NoiseKey {
                micro_batch: 4,
                ..key
            }
            .site(0),
        ];
        for (idx, site) in sites.iter().enumerate() {
            assert!(sites[..idx].iter().all(|other| other != site), "{idx}");
        }
    }

    /// For clients in other languages.
    #[test]
    fn documented_words() {
        let key = NoiseKey {
            seed: 1,
            version: 0,
            micro_batch: 0,
        };
        let noise = key.site(0);
        let words = [0, 1, 16, 31, 32, 1_000].map(|i| noise.word(i));
        expect_test::expect![
            "[1e54ac6c, 70013e9d] [78922e03, e7c402ba, 6ddbbb2e, 1eaa2f34, 942334e3, 8e47253b]"
        ]
        .assert_eq(&format!("{:08x?} {words:08x?}", noise.0));
    }

    #[test]
    fn a_share_of_the_words_is_below_a_threshold() {
        let noise = Noise([3, 4]);
        let below = (0..100_000).filter(|&i| noise.word(i) < 1 << 30).count();
        assert!((24_600..25_400).contains(&below), "{below}");
    }
}
