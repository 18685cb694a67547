//! Dropping values at random, the same ones on every machine.

use tabswarm_model::noise::{NOISE_GROUP, NOISE_LANES, Noise};

use super::wide::wide;

/// Words of a group, as the type of their indices.
const GROUP: u32 = 2 * NOISE_LANES;

wide! {
    /// `output[i] = input[i] · scale` where word `first + i` of the noise is at least `threshold`, else +0.
    ///
    /// The gradient goes through the same function.
    pub(crate) fn drop_out(
        noise: Noise,
        first: u32,
        threshold: u32,
        scale: f32,
        input: &[f32],
        output: &mut [f32],
    ) {
        let (first_group, skipped) = (first / GROUP, (first % GROUP) as usize);
        let begun = input.len().min(NOISE_GROUP - skipped);
        let (begun_from, from) = input.split_at(begun);
        let (begun_to, to) = output.split_at_mut(begun);
        let words = &noise.group(first_group)[skipped..];
        for ((to, from), &word) in begun_to.iter_mut().zip(begun_from).zip(words) {
            *to = if word >= threshold { from * scale } else { 0.0 };
        }
        let groups = from.chunks(NOISE_GROUP).zip(to.chunks_mut(NOISE_GROUP));
        for (group, (from, to)) in (first_group + 1..).zip(groups) {
            for ((to, from), word) in to.iter_mut().zip(from).zip(noise.group(group)) {
                *to = if word >= threshold { from * scale } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_follows_its_own_word() {
        let noise = Noise([5, 6]);
        let input: Vec<f32> = (0..100).map(|i| i as f32 - 20.5).collect();
        let mut output = vec![f32::NAN; 100];
        let mut part = |range: std::ops::Range<usize>| {
            let first = u32::try_from(range.start).unwrap();
            let to = &mut output[range.clone()];
            drop_out(noise, first, 1 << 30, 4.0 / 3.0, &input[range], to);
        };
        for range in [0..3, 3..10, 10..71, 71..96, 96..100] {
            part(range);
        }
        for ((idx, x), y) in (0..).zip(&input).zip(&output) {
            let is_kept = noise.word(idx) >= 1 << 30;
            let expected = if is_kept { x * (4.0 / 3.0) } else { 0.0 };
            assert_eq!(y.to_bits(), expected.to_bits());
        }
    }
}
