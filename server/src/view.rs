//! What the coordinator's thread publishes for everybody else: immutable copies behind one pointer.
//!
//! Readers take the pointer and go; the coordinator's thread never waits for a request.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tabswarm_coordinator::RunStatus;
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::rounds::RoundPlan;
use tabswarm_protocol::RunId;
use tabswarm_store::{RunStore, SnapshotInfo};

use crate::history::History;

/// What of a run changes only when an operator changes its settings.
#[derive(Debug)]
pub(crate) struct RunFacts {
    /// Its id.
    pub(crate) run_id: RunId,
    /// The run of the run file.
    pub(crate) base: Arc<Run>,
    /// The run with the settings that hold now.
    pub(crate) run: Arc<Run>,
    /// The same for everybody, as canonical JSON.
    pub(crate) run_json: String,
    /// The training set's manifest.
    pub(crate) dataset: Digest,
    /// Samples of the training set.
    pub(crate) samples: u32,
    /// Number of parameters.
    pub(crate) parameters: usize,
    /// Number of classes.
    pub(crate) classes: usize,
    /// What its versions are made of.
    pub(crate) plan: RoundPlan,
    /// The first chunk of the test set, where its samples are pictures with a class each, and its digest.
    pub(crate) examples: Option<(Digest, Bytes)>,
    /// Its files.
    pub(crate) store: Arc<RunStore>,
}

/// Parameters that were current a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct RecentParams {
    /// Their digest.
    pub(crate) digest: Digest,
    /// The values.
    pub(crate) params: Arc<[f32]>,
}

/// A run at a moment.
#[derive(Debug)]
pub(crate) struct RunView {
    /// What changes only with its settings.
    pub(crate) facts: Arc<RunFacts>,
    /// What the coordinator says.
    pub(crate) status: RunStatus,
    /// Loss curve and evaluations.
    pub(crate) history: Arc<History>,
    /// Snapshots, newest first.
    pub(crate) snapshots: Arc<[SnapshotInfo]>,
    /// The parameters of this and of earlier views, oldest first.
    pub(crate) recent: Vec<RecentParams>,
}

/// All runs at a moment, in order of their ids.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The runs.
    pub(crate) runs: Vec<RunView>,
}

impl View {
    /// A run by its name.
    pub(crate) fn run(&self, name: &str) -> Option<&RunView> {
        self.runs.iter().find(|view| view.facts.run.name == name)
    }
}

/// The newest view.
#[derive(Debug, Default)]
pub(crate) struct ViewCell(RwLock<Arc<View>>);

impl ViewCell {
    /// The newest view.
    pub(crate) fn get(&self) -> Arc<View> {
        // The lock guards a pointer, which no panic can leave half written.
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces the view.
    pub(crate) fn set(&self, view: View) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}
