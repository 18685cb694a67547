//! The sums of a lease: quantized micro-batch gradients as integers, independent of order.

use tabswarm_model::Layout;
use tabswarm_model::fixed_point::{
    MAX_LEASE_MICRO_BATCHES, MICRO_BATCH_LIMIT, fitting_exponent, scale,
};
use thiserror::Error;

use crate::cpu::magnitude::largest_magnitude;
use crate::cpu::quantize::add_quantized;

/// Why a gradient was not added. The sums are as they were.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccumulateError {
    /// A value of some tensor is too large for the tensor's exponent.
    #[error("the gradient does not fit the step's exponents, {fits:?} would")]
    Overflow {
        /// For each tensor the largest exponent with which this gradient fits.
        fits: Vec<i8>,
    },
    /// A value is infinite or not a number.
    #[error("the gradient of {tensor} holds an infinite value or not a number")]
    NonFinite {
        /// Name of the tensor.
        tensor: String,
    },
    /// The gradient or the exponents belong to another layout.
    #[error("got {what} of length {got}, expected {expected}")]
    Length {
        /// `"a gradient"` or `"exponents"`.
        what: &'static str,
        /// Length given.
        got: usize,
        /// Length expected.
        expected: usize,
    },
    /// The sums hold as many micro-batches as they have room for.
    #[error(
        "a lease has at most {MAX_LEASE_MICRO_BATCHES} micro-batches; send it and reset the sums"
    )]
    Full,
}

/// Sums the quantized gradients of a lease's micro-batches.
#[derive(Debug)]
pub struct LeaseAccumulator {
    layout: Layout,
    sums: Vec<i32>,
    micro_batches: u32,
}

impl LeaseAccumulator {
    /// Zero sums for the parameters of `layout`.
    pub fn new(layout: &Layout) -> Self {
        Self {
            layout: layout.clone(),
            sums: vec![0; layout.len()],
            micro_batches: 0,
        }
    }

    /// Back to zero, for the next lease.
    pub fn reset(&mut self) {
        self.sums.fill(0);
        self.micro_batches = 0;
    }

    /// Adds `round(gradient · 2^exponent)`, one exponent per tensor. Adds nothing on an error.
    ///
    /// # Errors
    /// See [`AccumulateError`].
    pub fn add(&mut self, gradient: &[f32], exponents: &[i8]) -> Result<(), AccumulateError> {
        self.check_lengths(gradient, exponents)?;
        if self.micro_batches == MAX_LEASE_MICRO_BATCHES {
            return Err(AccumulateError::Full);
        }
        self.check_fit(gradient, exponents)?;
        for (tensor, &exponent) in self.layout.tensors().iter().zip(exponents) {
            let sums = &mut self.sums[tensor.range()];
            add_quantized(&gradient[tensor.range()], scale(exponent), sums);
        }
        self.micro_batches += 1;
        Ok(())
    }

    /// The sums, in the order of the flat parameter vector.
    pub fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// Number of gradients added since the last reset.
    pub fn micro_batches(&self) -> u32 {
        self.micro_batches
    }

    fn check_lengths(&self, gradient: &[f32], exponents: &[i8]) -> Result<(), AccumulateError> {
        let check = |what, got, expected| {
            if got == expected {
                Ok(())
            } else {
                Err(AccumulateError::Length {
                    what,
                    got,
                    expected,
                })
            }
        };
        check("a gradient", gradient.len(), self.layout.len())?;
        check("exponents", exponents.len(), self.layout.tensors().len())
    }

    /// Every tensor is looked at before anything is added, so that one answer names all exponents.
    fn check_fit(&self, gradient: &[f32], exponents: &[i8]) -> Result<(), AccumulateError> {
        let mut fits_all = true;
        for (tensor, &exponent) in self.layout.tensors().iter().zip(exponents) {
            let largest = largest_magnitude(&gradient[tensor.range()]).ok_or_else(|| {
                AccumulateError::NonFinite {
                    tensor: tensor.name.clone(),
                }
            })?;
            // Scaling by a power of two is exact or infinite, and from 2^23 on every f32 is an integer.
            fits_all &= largest * scale(exponent) <= MICRO_BATCH_LIMIT as f32;
        }
        if fits_all {
            return Ok(());
        }
        let fit = |range: std::ops::Range<usize>| {
            fitting_exponent(largest_magnitude(&gradient[range]).unwrap_or(f32::MAX))
        };
        let fits = self
            .layout
            .tensors()
            .iter()
            .map(|tensor| fit(tensor.range()))
            .collect();
        Err(AccumulateError::Overflow { fits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tabswarm_model::fixed_point::MAX_EXPONENT;
    use tabswarm_model::layout::Init;

    fn layout() -> Layout {
        let mut layout = Layout::default();
        layout.push("first".to_owned(), vec![3, 7], Init::Zero);
        layout.push("second".to_owned(), vec![2], Init::Zero);
        layout
    }

    fn gradient(f: impl Fn(usize) -> f32) -> Vec<f32> {
        (0..23).map(f).collect()
    }

    #[test]
    fn sums_do_not_depend_on_the_order_of_gradients() {
        let gradients = [
            gradient(|i| (i as f32 * 0.77).sin()),
            gradient(|i| 1.0 - i as f32 / 23.0),
            gradient(|i| (i as f32).mul_add(-0.01, 0.3)),
        ];
        let sums = [[0, 1, 2], [2, 0, 1], [1, 2, 0]].map(|order| {
            let mut accumulator = LeaseAccumulator::new(&layout());
            for idx in order {
                accumulator.add(&gradients[idx], &[20, 23]).unwrap();
            }
            accumulator.sums().to_vec()
        });
        assert_eq!(sums[0], sums[1]);
        assert_eq!(sums[0], sums[2]);
        assert!(sums[0].iter().any(|&sum| sum != 0));
    }

    #[test]
    fn an_overflow_adds_nothing_and_names_every_exponent() {
        let mut accumulator = LeaseAccumulator::new(&layout());
        accumulator.add(&gradient(|_| 1.0), &[4, 4]).unwrap();
        let before = accumulator.sums().to_vec();
        let error = accumulator.add(&gradient(|i| if i == 20 { -2.5 } else { 0.0 }), &[24, 24]);
        assert_eq!(
            error,
            Err(AccumulateError::Overflow {
                fits: vec![22, MAX_EXPONENT]
            })
        );
        assert_eq!(accumulator.sums(), before);
        assert_eq!(accumulator.micro_batches(), 1);
        accumulator
            .add(&gradient(|i| if i == 20 { -2.5 } else { 0.0 }), &[22, 100])
            .unwrap();
        accumulator.reset();
        assert!(accumulator.sums().iter().all(|&sum| sum == 0));
    }

    #[test]
    fn the_limit_itself_fits_and_the_next_value_does_not() {
        let mut accumulator = LeaseAccumulator::new(&layout());
        accumulator.add(&gradient(|_| 1.0), &[24, 24]).unwrap();
        assert_eq!(accumulator.sums()[0], 1 << 24);
        let error = accumulator.add(&gradient(|_| 1.0_f32.next_up()), &[24, 23]);
        assert_eq!(error, Err(AccumulateError::Overflow { fits: vec![23, 23] }));
    }

    #[test]
    fn non_finite_gradients_name_their_tensor() {
        let mut accumulator = LeaseAccumulator::new(&layout());
        for bad in [f32::NAN, f32::INFINITY] {
            let error = accumulator.add(&gradient(|i| if i == 22 { bad } else { 1e30 }), &[0, 0]);
            assert_eq!(
                error,
                Err(AccumulateError::NonFinite {
                    tensor: "second".to_owned()
                })
            );
        }
        assert!(accumulator.sums().iter().all(|&sum| sum == 0));
    }

    #[test]
    fn a_lease_is_full_at_its_limit_and_sums_stay_in_range() {
        let mut accumulator = LeaseAccumulator::new(&layout());
        let gradient = gradient(|_| -1.0);
        for _ in 0..MAX_LEASE_MICRO_BATCHES {
            accumulator.add(&gradient, &[24, 24]).unwrap();
        }
        assert_eq!(accumulator.sums()[0], -(1 << 30));
        assert_eq!(
            accumulator.add(&gradient, &[24, 24]),
            Err(AccumulateError::Full)
        );
    }

    #[test]
    fn foreign_lengths_are_refused() {
        let mut accumulator = LeaseAccumulator::new(&layout());
        let short = accumulator.add(&[0.0; 22], &[0, 0]);
        assert!(matches!(
            short,
            Err(AccumulateError::Length {
                got: 22,
                expected: 23,
                ..
            })
        ));
        let exponents = accumulator.add(&[0.0; 23], &[0]);
        assert!(matches!(
            exponents,
            Err(AccumulateError::Length {
                got: 1,
                expected: 2,
                ..
            })
        ));
    }
}
