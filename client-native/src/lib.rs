//! The headless worker: computes gradients for a Tabswarm server without a browser.
//!
//! [`run`] does everything that the `tabswarm-worker` binary does, within any tokio runtime, so that tests can
//! run whole swarms in one process. What to do when is decided by [`tabswarm_client_core`]; this crate owns the
//! socket, the data, the lanes and the tensors.
//!
//! Nothing is stored on disk: chunks of training data live in memory as long as the worker does.

mod address;
mod backend;
pub mod bench;
mod chunks;
pub mod cli;
mod config;
mod driver;
mod fetch;
mod format;
mod gpu;
mod lane;
mod limits;
mod load;
pub mod probe;
pub mod progress;
mod self_test;
mod socket;
mod summary;
mod sums;
pub mod telemetry;

use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc;

pub use address::{AddressError, ServerAddress};
pub use backend::{Backend, Cpu, GradientEngine};
pub use config::WorkerConfig;
pub use driver::{Stop, WorkerError};
pub use gpu::BackendWish;
pub use progress::{Report, Silent, View};
pub use summary::{Outcome, RunProgress, Summary};

/// Name and version of this program, for the server's operator.
pub(crate) const SOFTWARE: &str = concat!("tabswarm-worker/", env!("CARGO_PKG_VERSION"));

/// Runs a worker until the server refuses it, its run is done (where the configuration says so), or
/// `shutdown` completes: then it finishes its lease and leaves.
///
/// # Errors
/// Where this machine can't be a worker at all; see [`WorkerError`].
pub async fn run(
    config: WorkerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<Summary, WorkerError> {
    let (stop, stops) = mpsc::channel(1);
    let work = run_with(config, stops, Box::new(Silent));
    let relay = async {
        shutdown.await;
        // The worker may be gone already.
        stop.send(Stop::Finish).await.ok();
        std::future::pending().await
    };
    tokio::select! {
        summary = work => summary,
        never = relay => never,
    }
}

/// Runs a worker that can be told to stop in two ways, and shows how it is doing.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    config: WorkerConfig,
    stops: mpsc::Receiver<Stop>,
    report: Box<dyn Report>,
) -> Result<Summary, WorkerError> {
    let backend = config.backend.backend();
    run_on(config, stops, report, backend).await
}

/// As [`run_with`], on a backend of the caller's.
///
/// # Errors
/// As [`run`].
pub async fn run_on(
    config: WorkerConfig,
    stops: mpsc::Receiver<Stop>,
    report: Box<dyn Report>,
    backend: Arc<dyn Backend>,
) -> Result<Summary, WorkerError> {
    let driver = driver::Driver::new(config, stops, report, backend)?;
    Ok(driver.run().await)
}
