//! The known-answer test.

use tabswarm_compute::{known_answer, probe};
use tabswarm_model::ArithmeticClass;
use tabswarm_model::digest::Digest;
use wasm_bindgen::prelude::*;

/// The classes whose known answers this browser gives, in all bits.
pub(crate) fn passed() -> Vec<ArithmeticClass> {
    let is_right = |class: &ArithmeticClass| {
        known_answer::digest(*class) == Ok(known_answer::expected(*class))
    };
    probe::supported_classes()
        .into_iter()
        .filter(is_right)
        .collect()
}

/// The digest of the known-answer test's gradients in an arithmetic class, `portable` or `fused`.
///
/// # Errors
/// For another word, and for a class that this browser does not have.
#[wasm_bindgen]
pub fn known_answer(arithmetic_class: &str) -> Result<String, JsError> {
    let digest = known_answer::digest(read_class(arithmetic_class)?)
        .map_err(|error| JsError::new(&error.to_string()))?;
    Ok(Digest(digest).to_string())
}

/// An arithmetic class by its word.
pub(crate) fn read_class(word: &str) -> Result<ArithmeticClass, JsError> {
    let classes = [ArithmeticClass::Portable, ArithmeticClass::Fused];
    let found = classes.into_iter().find(|class| class.as_str() == word);
    found.ok_or_else(|| JsError::new("an arithmetic class is \"portable\" or \"fused\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_passes() {
        assert_eq!(passed().first(), Some(&ArithmeticClass::Portable));
    }
}
