//! Trained models in the forms that other tools read: for operators, and where a run allows it for everybody.
//!
//! Making a file takes memory of several times the model's size, so one is made at a time; it is kept for those who
//! ask next.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tabswarm_export::{Evaluation, Facts, Trained};
use tabswarm_model::dataset::Manifest;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::ParamVersion;
use tabswarm_store::StoreError;
use tracing::error;
use utoipa::{IntoParams, ToSchema};

use crate::admin::no_version;
use crate::api::runs::no_run;
use crate::app::App;
use crate::extract::{Path, Query};
use crate::history::History;
use crate::problem::{Code, Problem};
use crate::view::{RunFacts, RunView};

/// What a model is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Parameters by name, with the model card among the metadata.
    Safetensors,
    /// The forward pass, for ONNX Runtime and others.
    Onnx,
    /// The model card alone: Markdown.
    Card,
}

impl Format {
    /// The word in addresses.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Onnx => "onnx",
            Self::Card => "card",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Onnx => "onnx",
            Self::Card => "md",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Safetensors | Self::Onnx => "application/octet-stream",
            Self::Card => "text/markdown; charset=utf-8",
        }
    }

    /// The file's bytes.
    pub(crate) fn write(self, trained: &Trained<'_>) -> Vec<u8> {
        match self {
            Self::Safetensors => trained.safetensors(),
            Self::Onnx => trained.onnx(),
            Self::Card => trained.card().into_bytes(),
        }
    }
}

/// Which file.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    format: Format,
    /// The newest, or that of a snapshot; the newest if left out.
    version: Option<u64>,
}

/// For operators.
pub(crate) async fn of_any_run(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    export(&app, &name, query, |_run| Ok(())).await
}

/// For everybody.
pub(crate) async fn of_shared_run(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    export(&app, &name, query, |run| {
        if run.facts.run.about.download {
            return Ok(());
        }
        let detail = format!(
            "The run {name:?} does not offer its model; its operator may, with `download = true` in [about]."
        );
        let status = StatusCode::FORBIDDEN;
        Err(Problem::new(status, Code::NotOffered, detail))
    })
    .await
}

async fn export(
    app: &App,
    name: &str,
    ExportQuery { format, version }: ExportQuery,
    allow: impl FnOnce(&RunView) -> Result<(), Problem>,
) -> Result<Response, Problem> {
    let view = app.view.get();
    let run = view.run(name).ok_or_else(|| no_run(name))?;
    allow(run)?;
    let source = Source::of(run, version)
        .ok_or_else(|| no_version(name, version.unwrap_or(run.status.version.0)))?;
    let file = format!("{name}-step-{}.{}", source.version, format.extension());
    let key = format!("export/{}.{}", source.digest, format.extension());
    let bytes = match app.blobs.get(&key) {
        Some(bytes) => bytes,
        None => make(app, key, Job::new(run, source), format).await?,
    };
    // A run's name is letters, digits and dashes, so it needs no quoting.
    let disposition = format!("attachment; filename=\"{file}\"");
    let headers = [
        (header::CONTENT_TYPE, format.content_type().to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}

/// Where the parameters of a version are.
#[derive(Debug, Clone)]
struct Source {
    version: u64,
    digest: Digest,
    /// None where they are in a snapshot.
    params: Option<Arc<[f32]>>,
}

impl Source {
    fn of(run: &RunView, version: Option<u64>) -> Option<Self> {
        let newest = run.status.version.0;
        let version = version.unwrap_or(newest);
        if version == newest {
            let digest = run.status.params_digest;
            let recent = run.recent.iter().find(|recent| recent.digest == digest);
            if let Some(recent) = recent {
                return Some(Self {
                    version,
                    digest,
                    params: Some(Arc::clone(&recent.params)),
                });
            }
        }
        let mut snapshots = run.snapshots.iter();
        let snapshot = snapshots.find(|info| info.id.version == version)?;
        Some(Self {
            version,
            digest: snapshot.params_digest,
            params: None,
        })
    }
}

/// All that a file is made of.
#[derive(Debug)]
struct Job {
    facts: Arc<RunFacts>,
    history: Arc<History>,
    source: Source,
}

/// What can go wrong on the way.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Export(#[from] tabswarm_export::ExportError),
    #[error("the data set's manifest can't be read: {0}")]
    Manifest(#[from] std::io::Error),
    #[error("the data set's manifest can't be used: {0}")]
    Dataset(#[from] tabswarm_model::dataset::DatasetError),
}

impl Job {
    fn new(run: &RunView, source: Source) -> Self {
        Self {
            facts: Arc::clone(&run.facts),
            history: Arc::clone(&run.history),
            source,
        }
    }

    /// `manifest` is where that of the training set is.
    fn file(&self, format: Format, manifest: &std::path::Path) -> Result<Vec<u8>, JobError> {
        let (run, version) = (&self.facts.run, self.source.version);
        let stored;
        let params = match &self.source.params {
            Some(params) => &params[..],
            None => {
                let snapshots = self.facts.store.snapshots();
                stored = snapshots.params(ParamVersion(version), &run.graph().layout)?;
                &stored[..]
            }
        };
        let manifest = Manifest::from_json(&std::fs::read_to_string(manifest)?)?;
        let facts = Facts {
            dataset: Some(self.facts.dataset),
            vocabulary: manifest.vocabulary.as_ref(),
            preparation: manifest.preparation.as_ref(),
            ..measured(&self.history, version)
        };
        let trained = Trained::new(run, version, params)?.with_facts(facts);
        Ok(format.write(&trained))
    }
}

/// What is known of the results at a version.
fn measured(history: &History, version: u64) -> Facts<'static> {
    let steps = history.steps().iter();
    let step = steps.rev().find(|point| point.version <= version);
    let evals = history.evals().iter();
    let eval = evals.rev().find(|point| point.version <= version);
    Facts {
        train_loss: step.map(|point| point.train_loss),
        evaluation: eval.map(|point| Evaluation {
            version: point.version,
            loss: point.loss,
            accuracy: point.accuracy,
        }),
        ..Facts::default()
    }
}

async fn make(app: &App, key: String, job: Job, format: Format) -> Result<Bytes, Problem> {
    let _one_at_a_time = app.exporting.lock().await;
    // Somebody else may have made it meanwhile.
    if let Some(bytes) = app.blobs.get(&key) {
        return Ok(bytes);
    }
    let manifest = app.store.training.manifest_path(job.facts.dataset);
    let name = job.facts.run.name.clone();
    let made = tokio::task::spawn_blocking(move || job.file(format, &manifest)).await;
    let problem = match made {
        Ok(Ok(bytes)) => {
            let bytes = Bytes::from(bytes);
            app.blobs.put(key, bytes.clone());
            return Ok(bytes);
        }
        // A snapshot may be removed just now.
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic.to_string(),
    };
    error!(run = name, problem, "a model can't be exported");
    Err(Problem::internal())
}
