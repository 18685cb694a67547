//! Lanes that panic now and then: the run comes to the same bits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use tabswarm_client_native::{Backend, Cpu, GradientEngine};
use tabswarm_compute::{ArithmeticClass, Batch, BatchStats, ComputeError};
use tabswarm_model::Graph;

/// Gradients from one panic to the next: rare enough for lanes to be forgiven.
const PERIOD: u32 = 101;

/// Engines of which every few gradients one panics, on whichever lane.
#[derive(Debug, Default)]
struct Shaky {
    gradients: Arc<AtomicU32>,
}

#[derive(Debug)]
struct ShakyEngine {
    engine: Box<dyn GradientEngine>,
    gradients: Arc<AtomicU32>,
}

impl Backend for Shaky {
    fn engine(
        &self,
        graph: Arc<Graph>,
        class: ArithmeticClass,
        max_samples: usize,
    ) -> Result<Box<dyn GradientEngine>, ComputeError> {
        Ok(Box::new(ShakyEngine {
            engine: Cpu.engine(graph, class, max_samples)?,
            gradients: Arc::clone(&self.gradients),
        }))
    }
}

impl GradientEngine for ShakyEngine {
    fn set_params(&mut self, params: &[f32]) -> Result<(), ComputeError> {
        self.engine.set_params(params)
    }

    fn gradient(&mut self, batch: Batch<'_>) -> Result<BatchStats, ComputeError> {
        let stats = self.engine.gradient(batch);
        // After the work: what is there already must not count.
        let number = self.gradients.fetch_add(1, Ordering::SeqCst);
        assert_ne!(number % PERIOD, PERIOD - 1, "a shaky engine");
        stats
    }

    fn gradient_buffer(&self) -> &[f32] {
        self.engine.gradient_buffer()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lanes_that_panic_do_not_change_a_bit() -> Result<()> {
    let site = crate::start().await?;
    let shaky = Shaky::default();
    let gradients = Arc::clone(&shaky.gradients);
    let worker = site.worker_on(3, true, Arc::new(shaky))?;
    assert_eq!(site.final_digest().await?, crate::expected_digest()?);
    let summary = worker.task.await??;
    assert!(summary.samples_accepted > 0, "{summary:?}");
    let panics = gradients.load(Ordering::SeqCst) / PERIOD;
    assert!(panics > 10, "{panics} panics");
    site.server.shutdown().await?;
    Ok(())
}
