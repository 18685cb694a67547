//! Adam and `AdamW`.

use crate::rounding::narrow;

/// Running products β₁ᵗ and β₂ᵗ: multiplied step by step, because `powi` differs between platforms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamState {
    /// [β₁ᵗ, β₂ᵗ] after `t` steps.
    pub beta_powers: [f64; 2],
}

impl Default for AdamState {
    fn default() -> Self {
        Self {
            beta_powers: [1.0, 1.0],
        }
    }
}

/// How weight decay enters.
#[derive(Debug, Clone, Copy)]
pub(super) enum Penalty {
    /// Added to the gradient.
    L2(f32),
    /// Parameters are multiplied by `kept` before the step.
    Decoupled { kept: f32 },
}

/// The scalars of one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdamStep {
    betas: [f32; 2],
    complements: [f32; 2],
    step_size: f32,
    root_correction: f32,
    epsilon: f32,
}

impl AdamState {
    /// Advances to the next step and gives its scalars.
    pub(super) fn advance(
        &mut self,
        betas: [f32; 2],
        epsilon: f32,
        learning_rate: f32,
    ) -> AdamStep {
        for (power, beta) in self.beta_powers.iter_mut().zip(betas) {
            *power *= f64::from(beta);
        }
        let [first, second] = self.beta_powers.map(|power| 1.0 - power);
        AdamStep {
            betas,
            complements: betas.map(|beta| narrow(1.0 - f64::from(beta))),
            step_size: narrow(f64::from(learning_rate) / first),
            root_correction: narrow(second.sqrt()),
            epsilon,
        }
    }
}

impl AdamStep {
    /// `m = β₁m + (1-β₁)g; v = β₂v + (1-β₂)g²; p -= lr/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + ε)`.
    pub(super) fn apply(
        self,
        params: &mut [f32],
        gradient: &[f32],
        moments: [&mut [f32]; 2],
        penalty: Penalty,
    ) {
        let [first, second] = moments;
        let (kept, decay) = match penalty {
            Penalty::L2(decay) => (1.0, decay),
            Penalty::Decoupled { kept } => (kept, 0.0),
        };
        let rows = params.iter_mut().zip(gradient).zip(first).zip(second);
        for (((p, &g), m), v) in rows {
            let start = *p * kept;
            let g = g + decay * start;
            *m = self.betas[0] * *m + self.complements[0] * g;
            *v = self.betas[1] * *v + self.complements[1] * (g * g);
            let denominator = v.sqrt() / self.root_correction + self.epsilon;
            *p = start - self.step_size * (*m / denominator);
        }
    }
}
