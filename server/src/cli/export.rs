//! `tabswarm export`: a trained model as a file for other tools.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use super::print;
use super::run::Named;
use super::table::grouped;
use crate::export::Format;

/// Which model, in which form, where to.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    named: Named,
    /// What to write; safetensors come with a model card beside them, in a file ending in `.md`.
    #[arg(long, value_enum)]
    format: Format,
    /// The file; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The version: the newest, which is also taken if this is left out, or that of a snapshot.
    #[arg(long, value_name = "VERSION")]
    version: Option<u64>,
}

impl ExportArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.write(self.format, &self.out)?;
        if self.format == Format::Safetensors {
            self.write(Format::Card, &self.out.with_extension("md"))?;
        }
        Ok(())
    }

    fn write(&self, format: Format, file: &Path) -> anyhow::Result<()> {
        if file.exists() {
            bail!("{} exists: give another name with --out", file.display());
        }
        let format = format.as_str();
        let version = self.version;
        let version = version.map(|version| format!("&version={version}"));
        let version = version.unwrap_or_default();
        let path = self
            .named
            .path(&format!("/export?format={format}{version}"))?;
        let bytes = self.named.client.client()?.get_bytes(&path)?;
        let mut options = OpenOptions::new();
        let created = options.write(true).create_new(true).open(file);
        let written = created.and_then(|mut created| created.write_all(&bytes));
        written.with_context(|| format!("{} can't be written", file.display()))?;
        print(&format!(
            "{}: {} bytes",
            file.display(),
            grouped(bytes.len() as u64)
        ))
    }
}
