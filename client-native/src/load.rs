//! A run as a worker holds it: graph, batch plan, and the samples fetched so far.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tabswarm_model::dataset::{MAX_MANIFEST_BYTES, Manifest};
use tabswarm_model::digest::Digest;
use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::samples::SampleStore;
use tabswarm_model::{Graph, Run};
use tabswarm_protocol::server::RunAssignment;

use crate::fetch::HttpClient;

/// Everything about a run that does not change while it trains, and the growing store of samples.
#[derive(Debug)]
pub(crate) struct LoadedRun {
    pub(crate) run: Run,
    pub(crate) graph: Arc<Graph>,
    pub(crate) plan: RoundPlan,
    store: Mutex<SampleStore>,
    run_json: String,
    dataset: [u8; 32],
}

/// A run file that was read, before its data set's manifest is here.
#[derive(Debug)]
pub(crate) struct RunOutline {
    run: Run,
    graph: Arc<Graph>,
    run_json: String,
    dataset: [u8; 32],
}

impl RunOutline {
    /// Reads the run file of an assignment.
    pub(crate) fn read(assignment: &RunAssignment) -> Result<Self, String> {
        let run = Run::from_json(&assignment.run_json)
            .map_err(|error| format!("The server's run file can't be used: {error}"))?;
        Ok(Self {
            graph: Arc::new(run.graph()),
            run,
            run_json: assignment.run_json.clone(),
            dataset: assignment.dataset,
        })
    }

    /// Bytes of the parameters, and so of the longest tensor that the server may send.
    pub(crate) fn params_bytes(&self) -> usize {
        self.graph.layout.len() * size_of::<f32>()
    }

    /// Fetches the manifest and checks that the model fits it. Blocks.
    pub(crate) fn load(self, http: &HttpClient) -> Result<LoadedRun, String> {
        let expected = Digest(self.dataset);
        let path = format!("/api/datasets/{expected}");
        let manifest = http
            .get(&path, MAX_MANIFEST_BYTES, |bytes| {
                Manifest::from_bytes(bytes, expected).map_err(|error| error.to_string())
            })
            .map_err(|error| format!("The training data's manifest is not available: {error}"))?;
        self.with_manifest(manifest)
    }

    fn with_manifest(self, manifest: Manifest) -> Result<LoadedRun, String> {
        let plan = RoundPlan::new(&self.run, manifest.samples);
        let store = SampleStore::of_run(&self.run, &self.graph, manifest);
        let store = store.map_err(|error| format!("The run can't be trained: {error}."))?;
        Ok(LoadedRun {
            run: self.run,
            graph: self.graph,
            plan,
            store: Mutex::new(store),
            run_json: self.run_json,
            dataset: self.dataset,
        })
    }
}

impl LoadedRun {
    /// Whether this is the run that the server assigns, so that nothing needs to be fetched again.
    pub(crate) fn is_assigned(&self, assignment: &RunAssignment) -> bool {
        self.dataset == assignment.dataset && self.run_json == assignment.run_json
    }

    /// The samples. Held for a chunk's check or a micro-batch's gathering, never while waiting.
    pub(crate) fn store(&self) -> MutexGuard<'_, SampleStore> {
        // A lane that panicked while gathering left nothing half-done behind that is not overwritten.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
