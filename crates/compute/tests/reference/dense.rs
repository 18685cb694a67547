//! Dense layers, row by row.

use tabswarm_model::graph::{DenseWeight, Op};

use super::Reference;

impl Reference<'_> {
    pub(super) fn dense(&mut self, op: &Op) {
        match *op {
            Op::Dense {
                weight,
                bias,
                input,
                output,
                activation,
                slope,
                ..
            } => {
                let (inputs, outputs) = self.sizes(weight);
                let mut before = Vec::new();
                for x in self.at(input).chunks_exact(inputs) {
                    for j in 0..outputs {
                        let product: f64 = (0..inputs).map(|k| x[k] * self.w(weight, k, j)).sum();
                        before.push(product + bias.map_or(0.0, |bias| self.param(bias)[j]));
                    }
                }
                self.activate(activation, &before, output, slope);
            }
            Op::DenseBackward {
                weight,
                bias,
                input,
                grad_output,
                grad_input,
                adds,
                ..
            } => {
                let (inputs, outputs) = self.sizes(weight);
                let mut grad_weight = vec![0.0; inputs * outputs];
                let mut grad_bias = vec![0.0; outputs];
                let mut grad_x = Vec::new();
                let rows = self.at(input).chunks_exact(inputs);
                for (x, dy) in rows.zip(self.at(grad_output).chunks_exact(outputs)) {
                    for j in 0..outputs {
                        grad_bias[j] += dy[j];
                        for k in 0..inputs {
                            grad_weight[self.place(weight, k, j)] += x[k] * dy[j];
                        }
                    }
                    let back = |k| (0..outputs).map(|j| dy[j] * self.w(weight, k, j)).sum();
                    grad_x.extend((0..inputs).map(back).collect::<Vec<f64>>());
                }
                self.write_gradient(weight.tensor, &grad_weight, adds);
                if let Some(bias) = bias {
                    self.write_gradient(bias, &grad_bias, false);
                }
                if let Some(grad_input) = grad_input {
                    self.buffers[grad_input.0] = grad_x;
                }
            }
            _ => unreachable!("{} is not dense", op.name()),
        }
    }

    /// Numbers of inputs and outputs.
    fn sizes(&self, weight: DenseWeight) -> (usize, usize) {
        let shape = &self.graph.layout.tensor(weight.tensor).shape;
        if weight.transposed {
            (shape[1], shape[0])
        } else {
            (shape[0], shape[1])
        }
    }

    /// Where the weight from input `k` to output `j` is.
    fn place(&self, weight: DenseWeight, k: usize, j: usize) -> usize {
        let (inputs, outputs) = self.sizes(weight);
        if weight.transposed {
            j * inputs + k
        } else {
            k * outputs + j
        }
    }

    fn w(&self, weight: DenseWeight, k: usize, j: usize) -> f64 {
        self.param(weight.tensor)[self.place(weight, k, j)]
    }
}
