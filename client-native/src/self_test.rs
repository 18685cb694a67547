//! The known-answer test: no worker joins before it has shown that its arithmetic gives the right bits.

use tabswarm_compute::{ArithmeticClass, ComputeError, known_answer, probe};
use tabswarm_protocol::client::Class;
use thiserror::Error;

/// Why this machine can't be a worker.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelfTestError {
    /// The engine does not run.
    #[error("the self-test of the {} arithmetic class could not run", .class.as_str())]
    Engine {
        /// Which class.
        class: ArithmeticClass,
        /// What the engine says.
        source: ComputeError,
    },
    /// It runs and gives other bits.
    #[error(
        "this machine computes wrong gradients in the {} arithmetic class (digest {got}, expected {expected}); \
         nothing it computes would be accepted. Please report this with the CPU's model",
        .class.as_str()
    )]
    WrongAnswer {
        /// Which class.
        class: ArithmeticClass,
        /// Digest of what it gives.
        got: String,
        /// Digest of what is right.
        expected: String,
    },
}

/// The arithmetic classes in which this machine gives the right bits.
pub(crate) fn tested_classes() -> Result<Vec<Class>, SelfTestError> {
    probe::supported_classes().into_iter().map(tested).collect()
}

fn tested(class: ArithmeticClass) -> Result<Class, SelfTestError> {
    let got =
        known_answer::digest(class).map_err(|source| SelfTestError::Engine { class, source })?;
    check(class, got, known_answer::expected(class))?;
    Ok(match class {
        ArithmeticClass::Portable => Class::Portable,
        ArithmeticClass::Fused => Class::Fused,
    })
}

fn check(class: ArithmeticClass, got: [u8; 32], expected: [u8; 32]) -> Result<(), SelfTestError> {
    if got == expected {
        return Ok(());
    }
    let hex = |digest: [u8; 32]| tabswarm_model::digest::Digest(digest).to_string();
    Err(SelfTestError::WrongAnswer {
        class,
        got: hex(got),
        expected: hex(expected),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_is_portable() {
        assert_eq!(tested_classes().unwrap()[0], Class::Portable);
    }

    #[test]
    fn wrong_bits_are_fatal_and_say_which() {
        let error = check(ArithmeticClass::Portable, [1; 32], [2; 32])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("wrong gradients in the portable arithmetic class"),
            "{error}"
        );
        assert!(error.contains("digest 0101"), "{error}");
    }
}
