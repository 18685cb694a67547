//! Other settings for a run: the next version is made with them, and the log says so.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tabswarm_coordinator::{RunPhase, SettingsError};
use tabswarm_model::Run;
use tabswarm_model::run_file::RunFileError;
use tabswarm_store::ChangeError;
use tracing::error;

use super::problems::{BadRequest, Conflict, NotFound, NotStored, TooLarge, Unprocessable};
use super::runs::{AdminRunJson, answer, order};
use super::versions::{blocking_io, facts, work_on_files};
use crate::actor::Command;
use crate::app::App;
use crate::extract::{Path, Text};
use crate::hosting::SettingsChangeError;
use crate::problem::{Code, Problem};
use crate::view::RunFacts;

/// Read a run's settings.
///
/// The run file as it was sent, or, once settings were changed, one that has the settings of now with all defaults.
#[utoipa::path(
    get, path = "/admin/runs/{name}/run.toml", tag = "runs", operation_id = "show_settings",
    params(("name" = String, Path, description = "The run's name.")),
    responses(
        (status = 200, description = "A run file.", content_type = "application/toml", body = String),
        BadRequest, NotFound
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let facts = facts(&app, &name)?;
    let now = facts.run.to_json();
    let text = if now == facts.base.to_json() {
        facts.store.run_file().to_owned()
    } else {
        toml_of(&now).map_err(|error| {
            error!(run = name, %error, "settings can't be written as TOML");
            Problem::internal()
        })?
    };
    let headers = [
        (header::CONTENT_TYPE, "application/toml"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}

/// A run's canonical JSON as a run file: without nulls, which TOML has not, and without what the server added.
fn toml_of(json: &str) -> anyhow::Result<String> {
    let mut value: Value = serde_json::from_str(json)?;
    if let Some(keys) = value.as_object_mut() {
        keys.remove("origin");
    }
    without_nulls(&mut value);
    Ok(toml::to_string_pretty(&value)?)
}

/// Run files nest a few levels deep: their validated JSON is the only input.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(keys) => {
            keys.retain(|_, value| !value.is_null());
            keys.values_mut().for_each(without_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Change a run's settings.
///
/// The run gets those of a run file from its version on. A running one is paused for that and goes on afterwards, whether
/// or not they could be changed; what may never change is refused before.
#[utoipa::path(
    put, path = "/admin/runs/{name}/run.toml", tag = "runs", operation_id = "change_run",
    params(("name" = String, Path, description = "The run's name.")),
    request_body(content = String, content_type = "application/toml", description = "The run file with the new settings."),
    responses(
        (status = 200, description = "The run.", body = AdminRunJson),
        BadRequest, NotFound, Conflict, TooLarge, Unprocessable, NotStored
    )
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Text(text): Text,
) -> Result<Response, Problem> {
    let to = Run::from_toml(&text).map_err(|error| unfit(&error))?;
    let facts = facts(&app, &name)?;
    // On a task of its own: a client that goes away must not leave the run without its log, or paused.
    let task = tokio::spawn(change_at_rest(Arc::clone(&app), facts, to));
    task.await.map_err(|panic| {
        error!(%panic, "changing settings panicked; restart the server");
        Problem::internal()
    })??;
    answer(&app, &headers, &name)
}

async fn change_at_rest(app: Arc<App>, facts: Arc<RunFacts>, to: Run) -> Result<(), Problem> {
    let (run_id, name) = (facts.run_id, facts.run.name.clone());
    let view = app.view.get();
    let was_running = (view.run(&name)).is_some_and(|run| run.status.phase == RunPhase::Running);
    if was_running {
        // What can never be changed needs no rest to be refused.
        let checked = facts.run.changed(&to, facts.run.origin.clone());
        checked.map_err(|error| unfit(&error))?;
        order(&app, run_id, &name, Command::Pause).await?;
    }
    let (hosts, run) = (Arc::clone(&app.hosts), Arc::clone(&facts));
    let work = async move {
        let changed = blocking_io(move || hosts.change(&run, &to)).await?;
        changed.map_err(|error| refused(&error))
    };
    let outcome = work_on_files(&app, facts, work).await;
    if was_running {
        order(&app, run_id, &name, Command::Resume).await?;
    }
    outcome
}

fn unfit(error: &RunFileError) -> Problem {
    Problem::unprocessable(Code::BadRunFile, error.to_string())
}

fn refused(error: &SettingsChangeError) -> Problem {
    let SettingsChangeError::Change(ChangeError::Settings(reason)) = error else {
        error!(%error, "settings could not be stored");
        return Problem::internal();
    };
    let detail = reason.to_string();
    match reason {
        SettingsError::RunFile(error) => unfit(error),
        SettingsError::NothingLeft { .. } => Problem::unprocessable(Code::BadRunFile, detail),
        SettingsError::Phase { .. } => Problem::conflict(Code::WrongPhase, detail),
        SettingsError::TooMany | SettingsError::TooManyMissing { .. } => {
            Problem::conflict(Code::SettingsKept, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_written_as_toml_are_read_back_as_they_were() {
        let all = [
            include_str!("../../../runs/mnist-mlp.toml"),
            include_str!("../../../runs/char-gpt.toml"),
        ];
        for text in all {
            let run = Run::from_toml(text).unwrap();
            let written = toml_of(&run.to_json()).unwrap();
            assert_eq!(Run::from_toml(&written).unwrap().to_json(), run.to_json());
        }
    }
}
