//! Self-attention, with every score written out.

use tabswarm_model::graph::Op;
use tabswarm_model::graph::shape::AttentionShape;

use super::Reference;

/// Where one head's values are in the buffers of a batch.
#[derive(Clone, Copy)]
struct Head {
    shape: AttentionShape,
    sample: usize,
    idx: usize,
}

/// Queries, keys and values stand in this order at each position.
#[derive(Clone, Copy)]
enum Part {
    Query,
    Key,
    Value,
}

impl Head {
    fn all(shape: AttentionShape, samples: usize) -> impl Iterator<Item = Self> {
        let heads = move |sample| (0..shape.heads).map(move |idx| Self { shape, sample, idx });
        (0..samples).flat_map(heads)
    }

    fn qkv(&self, part: Part, position: usize, d: usize) -> usize {
        let width = self.shape.width();
        let row = self.sample * self.shape.positions + position;
        row * 3 * width + part as usize * width + self.idx * self.shape.head_width + d
    }

    fn output(&self, position: usize, d: usize) -> usize {
        let row = self.sample * self.shape.positions + position;
        row * self.shape.width() + self.idx * self.shape.head_width + d
    }

    fn statistics(&self, position: usize) -> usize {
        ((self.sample * self.shape.heads + self.idx) * self.shape.positions + position) * 2
    }

    fn scores(&self, qkv: &[f64], i: usize) -> Vec<f64> {
        let scale = 1.0 / (self.shape.head_width as f64).sqrt();
        let score = |j| {
            let products = (0..self.shape.head_width)
                .map(|d| qkv[self.qkv(Part::Query, i, d)] * qkv[self.qkv(Part::Key, j, d)]);
            products.sum::<f64>() * scale
        };
        (0..self.shape.seen(i)).map(score).collect()
    }
}

impl Reference<'_> {
    pub(super) fn attention(&mut self, op: &Op) {
        match *op {
            Op::Attention {
                shape,
                qkv,
                output,
                statistics,
            } => {
                let values = self.at(qkv).to_vec();
                for head in Head::all(shape, self.samples) {
                    for i in 0..shape.positions {
                        let scores = head.scores(&values, i);
                        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                        let exps: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
                        let factor = 1.0 / exps.iter().sum::<f64>();
                        for d in 0..shape.head_width {
                            let products = exps.iter().enumerate();
                            let products =
                                products.map(|(j, e)| e * values[head.qkv(Part::Value, j, d)]);
                            self.buffers[output.0][head.output(i, d)] =
                                products.sum::<f64>() * factor;
                        }
                        let at = head.statistics(i);
                        self.buffers[statistics.0][at] = max;
                        self.buffers[statistics.0][at + 1] = factor;
                    }
                }
            }
            Op::AttentionBackward { .. } => self.attention_backward(op),
            _ => unreachable!("{} is not attention", op.name()),
        }
    }

    fn attention_backward(&mut self, op: &Op) {
        let Op::AttentionBackward {
            shape,
            qkv,
            output,
            statistics,
            grad_output,
            grad_qkv,
        } = *op
        else {
            unreachable!("called for attention only")
        };
        let scale = 1.0 / (shape.head_width as f64).sqrt();
        let (values, y) = (self.at(qkv), self.at(output));
        let (saved, dy) = (self.at(statistics), self.at(grad_output));
        let mut grad = vec![0.0; values.len()];
        for head in Head::all(shape, self.samples) {
            for i in 0..shape.positions {
                let at = head.statistics(i);
                let along = |f: &dyn Fn(usize) -> f64| (0..shape.head_width).map(f).sum::<f64>();
                let t = along(&|d| dy[head.output(i, d)] * y[head.output(i, d)]);
                for (j, score) in head.scores(values, i).into_iter().enumerate() {
                    let p = (score - saved[at]).exp() * saved[at + 1];
                    let dp =
                        along(&|d| dy[head.output(i, d)] * values[head.qkv(Part::Value, j, d)]);
                    let ds = p * (dp - t) * scale;
                    for d in 0..shape.head_width {
                        let [query, key, value] = [
                            head.qkv(Part::Query, i, d),
                            head.qkv(Part::Key, j, d),
                            head.qkv(Part::Value, j, d),
                        ];
                        grad[query] += ds * values[key];
                        grad[key] += ds * values[query];
                        grad[value] += p * dy[head.output(i, d)];
                    }
                }
            }
        }
        self.buffers[grad_qkv.0] = grad;
    }
}
