//! Layer norm, row by row.

use tabswarm_model::graph::Op;

use super::Reference;

impl Reference<'_> {
    pub(super) fn norm(&mut self, op: &Op) {
        match *op {
            Op::LayerNorm {
                gain,
                bias,
                epsilon,
                input,
                output,
                statistics,
                ..
            } => {
                let (gain, bias) = (self.param(gain), self.param(bias));
                let width = gain.len() as f64;
                let (mut normalized, mut saved) = (Vec::new(), Vec::new());
                for x in self.at(input).chunks_exact(gain.len()) {
                    let mean = x.iter().sum::<f64>() / width;
                    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width;
                    let rstd = 1.0 / (variance + f64::from(epsilon)).sqrt();
                    let scaled = x.iter().zip(gain).zip(bias);
                    normalized.extend(scaled.map(|((x, g), b)| (x - mean) * rstd * g + b));
                    saved.extend([mean, rstd]);
                }
                self.buffers[output.0] = normalized;
                self.buffers[statistics.0] = saved;
            }
            Op::LayerNormBackward {
                gain,
                bias,
                input,
                statistics,
                grad_output,
                grad_input,
                ..
            } => {
                let gains = self.param(gain);
                let width = gains.len();
                let (mut grad_gain, mut grad_bias) = (vec![0.0; width], vec![0.0; width]);
                let mut grad_x = Vec::new();
                let rows = self.at(input).chunks_exact(width);
                let rows = rows.zip(self.at(statistics).chunks_exact(2));
                for ((x, saved), dy) in rows.zip(self.at(grad_output).chunks_exact(width)) {
                    let [mean, rstd] = [saved[0], saved[1]];
                    let z: Vec<f64> = x.iter().map(|x| (x - mean) * rstd).collect();
                    let g: Vec<f64> = dy.iter().zip(gains).map(|(dy, gain)| dy * gain).collect();
                    let a = g.iter().sum::<f64>() / width as f64;
                    let b = g.iter().zip(&z).map(|(g, z)| g * z).sum::<f64>() / width as f64;
                    for j in 0..width {
                        grad_gain[j] += dy[j] * z[j];
                        grad_bias[j] += dy[j];
                        grad_x.push((g[j] - a - z[j] * b) * rstd);
                    }
                }
                self.write_gradient(gain, &grad_gain, false);
                self.write_gradient(bias, &grad_bias, false);
                if let Some(grad_input) = grad_input {
                    self.buffers[grad_input.0] = grad_x;
                }
            }
            _ => unreachable!("{} does not normalize", op.name()),
        }
    }
}
