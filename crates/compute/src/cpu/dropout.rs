//! Dropping values at random, the same ones on every machine.

use tabswarm_model::noise::{NOISE_GROUP, Noise};

use super::wide::wide;

wide! {
    /// `output[i] = input[i] · scale` where word `i` of the noise is at least `threshold`, else +0.
    ///
    /// The gradient goes through the same function.
    pub(crate) fn drop_out(
        noise: Noise,
        threshold: u32,
        scale: f32,
        input: &[f32],
        output: &mut [f32],
    ) {
        let groups = input.chunks(NOISE_GROUP).zip(output.chunks_mut(NOISE_GROUP));
        for (group, (from, to)) in (0..).zip(groups) {
            let words = noise.group(group);
            for ((to, from), word) in to.iter_mut().zip(from).zip(words) {
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
        drop_out(noise, 1 << 30, 4.0 / 3.0, &input, &mut output);
        for ((idx, x), y) in (0..).zip(&input).zip(&output) {
            let is_kept = noise.word(idx) >= 1 << 30;
            let expected = if is_kept { x * (4.0 / 3.0) } else { 0.0 };
            assert_eq!(y.to_bits(), expected.to_bits());
        }
    }
}
