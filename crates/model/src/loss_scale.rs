//! The scale of the loss where GPUs compute in half precision, decided by the server and the same for all workers of a
//! step.
//!
//! Half precision has no numbers between 0 and 6·10⁻⁸, where many gradients of activations are. The loss is multiplied with
//! a power of two before it is differentiated, and the gradient of the parameters divided by it. The scale is as large as
//! can be: one that leads to a value which half precision can't hold is halved, and the step skipped; after many steps
//! without that it is doubled. Micikevicius et al., "Mixed precision training", 2018, section 3.2, and its successors.
//!
//! CPUs, which compute in single precision, need not know of it: a power of two changes the exponents of all numbers on
//! the way and no other bit, and dividing by it takes that back.
//!
//! It is kept where reproducible runs have the exponents of fixed point, one a tensor, which such a run has no other use
//! for: all of them are the scale's exponent, and all counters how many good steps there were with it.

use crate::fixed_point::{self, Exponents};

/// The first exponent. Others begin with 15 or 16 and the mean of the samples' losses; gradients here are those of
/// their sum, and so some 2^4 to 2^8 times larger.
pub const FIRST_EXPONENT: i8 = 12;
/// The loss as it is. A gradient that does not fit half precision then is none of the scale's fault.
pub const MIN_EXPONENT: i8 = 0;
/// Scaled further, small numbers are safe and only large ones at risk.
pub const MAX_EXPONENT: i8 = 24;
/// Good steps before a larger scale is tried, which costs a step where it is too large: one in a thousand, at most.
pub const GOOD_STEPS: u32 = 1_000;

/// Those of a run's first step; a model has so many tensors.
pub fn first(tensors: usize) -> Exponents {
    of(FIRST_EXPONENT, 0, tensors)
}

/// The scale's exponent.
pub fn exponent(exponents: &Exponents) -> i8 {
    of_lease(exponents.current()).1
}

/// The scale and its exponent for a lease with such exponents; without any the loss is as it is.
pub fn of_lease(exponents: &[i8]) -> (f32, i8) {
    let exponent = exponents.first().copied().unwrap_or(MIN_EXPONENT);
    let exponent = exponent.clamp(MIN_EXPONENT, MAX_EXPONENT);
    (fixed_point::scale(exponent), exponent)
}

/// After a step in which everything fitted.
#[must_use]
pub fn after_good_step(exponents: &Exponents) -> Exponents {
    let (exponent, tensors) = (exponent(exponents), exponents.current().len());
    let good_steps = exponents.rises().first().map_or(0, |steps| steps + 1);
    if good_steps < GOOD_STEPS {
        of(exponent, good_steps, tensors)
    } else {
        of((exponent + 1).min(MAX_EXPONENT), 0, tensors)
    }
}

/// After something did not fit; none where it would not with any scale.
pub fn after_overflow(exponents: &Exponents) -> Option<Exponents> {
    let smaller = exponent(exponents) - 1;
    (smaller >= MIN_EXPONENT).then(|| of(smaller, 0, exponents.current().len()))
}

fn of(exponent: i8, good_steps: u32, tensors: usize) -> Exponents {
    let restored = Exponents::restore(vec![exponent; tensors], vec![good_steps; tensors]);
    restored.expect("the lengths are equal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_halved_at_once_and_doubled_after_many_good_steps() {
        let mut scale = after_overflow(&first(3)).unwrap();
        assert_eq!(scale.current(), [FIRST_EXPONENT - 1; 3]);
        for _ in 1..GOOD_STEPS {
            scale = after_good_step(&scale);
            assert_eq!(exponent(&scale), FIRST_EXPONENT - 1);
        }
        scale = after_good_step(&scale);
        assert_eq!(
            (exponent(&scale), scale.rises()),
            (FIRST_EXPONENT, &[0; 3][..])
        );
        // A bad step begins the count again.
        scale = after_good_step(&scale);
        assert_eq!(after_overflow(&scale).unwrap().rises(), [0; 3]);
    }

    #[test]
    fn the_scale_has_bounds() {
        let mut scale = first(1);
        while let Some(smaller) = after_overflow(&scale) {
            scale = smaller;
        }
        assert_eq!(exponent(&scale), MIN_EXPONENT);
        for _ in 0..100 * GOOD_STEPS {
            scale = after_good_step(&scale);
        }
        assert_eq!(exponent(&scale), MAX_EXPONENT);
    }
}
