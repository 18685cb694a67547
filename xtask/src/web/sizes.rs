//! What a volunteer downloads, against what a volunteer may be asked to download.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command;
use crate::digits::grouped;
use crate::workspace::Workspace;

use super::module::Flavor;

/// Brotli bytes of the page and the modules that a browser loads: one, and one more where a lane uses the GPU.
const BUDGET_BYTES: u64 = 700_000;

/// Bytes as stored and as sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    raw: u64,
    brotli: u64,
}

impl Size {
    fn plus(self, other: Self) -> Self {
        Self {
            raw: self.raw + other.raw,
            brotli: self.brotli + other.brotli,
        }
    }
}

/// Prints the table of sizes and fails above the budget.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let page = page(workspace)?;
    let files = Flavor::ALL.map(|flavor| flavor.wasm_file(workspace));
    let modules = measure(workspace, &files)?;
    let (first, gpu) = modules.split_at(Flavor::FIRST.len());
    let gpu = gpu.iter().copied().fold(Size::default(), Size::plus);
    let totals: Vec<Size> = first.iter().map(|module| page.plus(*module)).collect();
    println!("{:<28}{:>12}{:>12}", "download", "bytes", "brotli");
    print_row("page without module", page);
    for (flavor, module) in Flavor::ALL.iter().zip(&modules) {
        print_row(&format!("module {}", flavor.name()), *module);
    }
    for (flavor, total) in Flavor::FIRST.iter().zip(&totals) {
        print_row(&format!("page with {}", flavor.name()), *total);
        let name = format!("page with {} and gpu", flavor.name());
        print_row(&name, total.plus(gpu));
    }
    let totals = totals.iter().map(|total| total.plus(gpu).brotli);
    let worst = totals.max().unwrap_or_default();
    ensure!(
        worst <= BUDGET_BYTES,
        "the page with its modules is {worst} bytes as brotli; the budget is {BUDGET_BYTES}"
    );
    println!("{:<40}{:>12}", "budget", grouped(&BUDGET_BYTES.to_string()));
    Ok(())
}

/// What the page's own script counts as a volunteer's part of it, without modules.
fn page(workspace: &Workspace) -> Result<Size> {
    let www = workspace.www();
    let mut node = Command::new("node");
    node.args(["dev/sizes.mjs", "dist", "--json"])
        .current_dir(&www);
    let printed = command::capture(&mut node)?;
    let (raw, brotli) =
        serde_json::from_str(&printed).context("dev/sizes.mjs printed no two sizes")?;
    Ok(Size { raw, brotli })
}

fn measure(workspace: &Workspace, files: &[PathBuf]) -> Result<Vec<Size>> {
    let script = workspace.root().join("xtask/src/web/brotli-sizes.mjs");
    let printed = command::capture(Command::new("node").arg(script).args(files))?;
    let brotli: Vec<u64> =
        serde_json::from_str(&printed).context("brotli-sizes.mjs printed no list of sizes")?;
    ensure!(
        brotli.len() == files.len(),
        "brotli-sizes.mjs left files out"
    );
    files
        .iter()
        .zip(brotli)
        .map(|(file, brotli)| {
            let metadata = fs::metadata(file);
            let raw = metadata
                .with_context(|| format!("cannot read {}", file.display()))?
                .len();
            Ok(Size { raw, brotli })
        })
        .collect()
}

fn print_row(name: &str, size: Size) {
    println!(
        "{name:<28}{:>12}{:>12}",
        grouped(&size.raw.to_string()),
        grouped(&size.brotli.to_string())
    );
}
