//! Whether a text is a run file, before anything is made of it.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use tabswarm_model::Run;
use tabswarm_model::run_file::RunFileError;
use utoipa::ToSchema;

use super::problems::{BadRequest, TooLarge};
use crate::extract::Text;
use crate::http::json;
use crate::problem::Problem;

/// What a run file comes to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidationJson {
    valid: bool,
    /// All that is wrong; none where it is valid.
    mistakes: Vec<MistakeJson>,
    /// What the run would be, where it is valid.
    run: Option<OutlineJson>,
}

/// Something wrong in a run file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MistakeJson {
    /// Key path such as `model.layers[2].units`; empty where the text is no TOML.
    place: String,
    /// With line and column where the text is no TOML.
    problem: String,
    /// What to write instead.
    remedy: String,
}

/// What a run would be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutlineJson {
    name: String,
    parameters: usize,
    tensors: usize,
    classes: usize,
    epochs: u32,
    global_batch: u32,
    reproducible: bool,
}

/// Validate a run file.
///
/// Nothing is made of it, and its data set is not looked at. A file that is not valid is no problem but the answer.
#[utoipa::path(
    post, path = "/admin/validate", tag = "runs", operation_id = "validate_run_file",
    request_body(content = String, content_type = "application/toml", description = "The run file."),
    responses((status = 200, description = "What it comes to.", body = ValidationJson), BadRequest, TooLarge)
)]
pub(crate) async fn validate(headers: HeaderMap, Text(text): Text) -> Result<Response, Problem> {
    let checked = tokio::task::spawn_blocking(move || Run::from_toml(&text)).await;
    let checked = checked.map_err(|_panic| Problem::internal())?;
    Ok(json(&headers, &ValidationJson::new(checked)))
}

impl ValidationJson {
    fn new(checked: Result<Run, RunFileError>) -> Self {
        let mistakes = match checked {
            Ok(run) => {
                return Self {
                    valid: true,
                    mistakes: Vec::new(),
                    run: Some(OutlineJson::new(&run)),
                };
            }
            Err(RunFileError::Invalid { mistakes }) => mistakes
                .into_iter()
                .map(|mistake| MistakeJson {
                    place: mistake.place,
                    problem: mistake.problem,
                    remedy: mistake.remedy,
                })
                .collect(),
            Err(error) => vec![MistakeJson {
                place: String::new(),
                problem: error.to_string(),
                remedy: String::new(),
            }],
        };
        Self {
            valid: false,
            mistakes,
            run: None,
        }
    }
}

impl OutlineJson {
    fn new(run: &Run) -> Self {
        let graph = run.graph();
        Self {
            name: run.name.clone(),
            parameters: graph.layout.len(),
            tensors: graph.layout.tensors().len(),
            classes: graph.classes,
            epochs: run.epochs,
            global_batch: run.global_batch,
            reproducible: run.reproducible,
        }
    }
}
