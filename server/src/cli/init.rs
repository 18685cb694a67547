//! `tabswarm run init`: a commented run file to begin with.

use anyhow::bail;
use clap::{Args, ValueEnum};
use tabswarm_model::Run;

use super::print;

/// Models to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    /// A multilayer perceptron on images.
    Mlp,
    /// A convolutional network on images.
    Cnn,
    /// A transformer on a text.
    Gpt,
    /// A small network on the rows of a table.
    Csv,
}

impl Template {
    fn text(self) -> &'static str {
        match self {
            Self::Mlp => include_str!("templates/mlp.toml"),
            Self::Cnn => include_str!("templates/cnn.toml"),
            Self::Gpt => include_str!("templates/gpt.toml"),
            Self::Csv => include_str!("templates/csv.toml"),
        }
    }
}

/// What to begin with.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The kind of model.
    #[arg(long, value_enum)]
    template: Template,
    /// The run's name.
    #[arg(long, default_value = "my-run")]
    name: String,
}

impl InitArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let text = file(self.template, &self.name);
        // The only thing that can be wrong with it.
        if let Err(error) = Run::from_toml(&text) {
            bail!("--name can't be used: {error}");
        }
        print(&text)
    }
}

fn file(template: Template, name: &str) -> String {
    // Written as a TOML string, whatever it is.
    let name = format!("{name:?}");
    template.text().replacen("\"NAME\"", &name, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_a_valid_run_file() {
        for template in Template::value_variants() {
            let text = file(*template, "first-try");
            let run = Run::from_toml(&text).unwrap_or_else(|error| panic!("{template:?}: {error}"));
            assert_eq!(run.name, "first-try");
            assert!(!text.contains("NAME"), "{template:?}");
            let comments = text.lines().filter(|line| line.trim().starts_with('#'));
            assert!(comments.count() >= 12, "{template:?} is hardly explained");
        }
    }

    #[test]
    fn a_name_does_not_become_something_else() {
        let text = file(Template::Mlp, "a\"\nseed = 9 #");
        let error = Run::from_toml(&text).unwrap_err().to_string();
        assert!(error.starts_with("name: "), "{error}");
    }
}
