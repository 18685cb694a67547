//! `setup`: what building, running and testing need and a package of this repository can't be.
//!
//! Each part looks first and does nothing when its thing is there, so that every other
//! command can call this. A failure says what could not be had and how to get it by hand.

pub(crate) mod browser;
pub(crate) mod datasets;
pub(crate) mod npm;
mod rust_src;
mod tensorboard;
pub(crate) mod wasm_target;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;

/// Installs what is missing; `tests` adds what only the tests need.
pub(crate) fn setup(workspace: &Workspace, tests: bool) -> Result<()> {
    wasm_target::install(workspace).context("the Rust target for browsers could not be set up")?;
    npm::install(workspace, &workspace.www()).context("the pages' npm packages are missing")?;
    datasets::install_mnist(workspace).context("the MNIST data set could not be set up")?;
    datasets::install_moby_dick(workspace).context("the text of Moby-Dick could not be set up")?;
    datasets::install_iris(workspace).context("the table of irises could not be set up")?;
    if tests {
        browser::install().context("the browser tests' programs could not be set up")?;
        npm::install(workspace, &workspace.browser_tests())
            .context("the browser tests' npm packages are missing")?;
        npm::install(workspace, &workspace.s3_tests())
            .context("the S3 server for tests is missing")?;
        npm::install(workspace, &workspace.onnx_tests())
            .context("ONNX Runtime for tests is missing")?;
        tensorboard::install(workspace).context("TensorBoard's reader for tests is missing")?;
    }
    Ok(())
}
