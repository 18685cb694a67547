//! The forms of `model.loss`.

use super::{IMAGES, VALID, edited, edited_in};
use crate::graph::LossKind;
use crate::run_file::{LossSpec, Run};

const WORD: &str = r#"loss = "softmax_cross_entropy""#;

#[test]
fn soft_targets_have_a_temperature() {
    for (written, temperature) in [
        (
            r#"loss = { kind = "softmax_cross_entropy", targets = "soft", temperature = 2.5 }"#,
            2.5,
        ),
        (
            r#"loss = { kind = "softmax_cross_entropy", targets = "soft", temperature = 4 }"#,
            4.0,
        ),
        (
            r#"loss = { kind = "softmax_cross_entropy", targets = "soft" }"#,
            1.0,
        ),
    ] {
        let run = Run::from_toml(&edited(WORD, written)).unwrap();
        assert_eq!(run.model.loss, LossSpec::SoftTargets { temperature });
        let kind = run.graph().loss.kind;
        assert_eq!(kind, LossKind::SoftTargets { temperature });
        assert_eq!(Run::from_json(&run.to_json()), Ok(run));
    }
}

#[test]
fn the_long_form_says_the_same() {
    let long = r#"loss = { kind = "softmax_cross_entropy", targets = "classes" }"#;
    let model = |text: &str| Run::from_toml(text).unwrap().model;
    assert_eq!(model(&edited(WORD, long)), model(VALID));
    let long = edited_in(IMAGES, r#"loss = "mse""#, r#"loss = { kind = "mse" }"#);
    assert_eq!(model(&long), model(IMAGES));
}
