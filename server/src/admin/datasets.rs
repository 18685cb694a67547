//! Data sets: the operator's folder, and what comes through this listener.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde::Serialize;
use tabswarm_model::digest::Digest;
use tokio::time::timeout;
use tracing::error;
use utoipa::ToSchema;

use super::problems::{BadRequest, Conflict, NotFound, TooLarge, Unprocessable};
use super::versions::blocking_io;
use crate::app::App;
use crate::extract::Path;
use crate::http::json;
use crate::problem::{Code, Problem};
use crate::uploads::{DataFolder, Incoming, Source, UPLOAD_IDLE, UploadError, is_name};

/// A data set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatasetJson {
    /// What `data.path` of a run file begins with.
    name: String,
    source: Source,
    n_files: usize,
    /// Of all files.
    bytes: u64,
    /// Hosted runs that were made from it.
    used_by: Vec<String>,
}

/// A data set with its files.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatasetFilesJson {
    #[serde(flatten)]
    about: DatasetJson,
    /// The first 1,000, sorted.
    files: Vec<DatasetFileJson>,
}

/// A file of a data set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatasetFileJson {
    /// Within the data set.
    path: String,
    bytes: u64,
}

/// A file that was uploaded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UploadedJson {
    dataset: String,
    file: String,
    bytes: u64,
    /// blake3 of the file.
    #[schema(value_type = String)]
    digest: Digest,
}

/// List data sets.
#[utoipa::path(
    get, path = "/admin/datasets", tag = "data sets", operation_id = "list_datasets",
    responses((status = 200, description = "All data sets, by name.", body = Vec<DatasetJson>))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let folders = folders(&app).await?;
    let all: Vec<_> = folders
        .iter()
        .map(|folder| DatasetJson::new(folder, &app))
        .collect();
    Ok(json(&headers, &all))
}

/// Inspect a data set.
#[utoipa::path(
    get, path = "/admin/datasets/{name}", tag = "data sets", operation_id = "show_dataset",
    params(("name" = String, Path, description = "The data set's name.")),
    responses((status = 200, description = "The data set.", body = DatasetFilesJson), BadRequest, NotFound)
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let folder = find(&app, &name).await?;
    let about = DatasetJson::new(&folder, &app);
    let files = folder.files.into_iter();
    let files = files.map(|(path, bytes)| DatasetFileJson { path, bytes });
    let answer = DatasetFilesJson {
        about,
        files: files.collect(),
    };
    Ok(json(&headers, &answer))
}

/// Upload a file of a data set.
///
/// The body is the file, which is never held in memory whole. A file that is there is not replaced: delete the data set
/// first. A run file reads it with `data.path` beginning with the data set's name.
#[utoipa::path(
    put, path = "/admin/datasets/{name}/{file}", tag = "data sets", operation_id = "upload_dataset",
    params(
        ("name" = String, Path, description = "The data set's name: letters, digits, dots, dashes, underscores."),
        ("file" = String, Path, description = "The file's name, likewise."),
    ),
    request_body(content = [u8], content_type = "application/octet-stream", description = "The file."),
    responses(
        (status = 201, description = "It is stored.", body = UploadedJson),
        BadRequest, Conflict, TooLarge, Unprocessable
    )
)]
pub(crate) async fn upload(
    State(app): State<Arc<App>>,
    Path((name, file)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if !is_name(&name) || !is_name(&file) {
        let detail = "The names of data sets and their files have 1 to 100 letters, digits, dots, dashes and \
                      underscores, and don't begin with a dot.";
        return Err(Problem::unprocessable(Code::BadName, detail));
    }
    let most = app.config.max_upload_bytes;
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    if declared
        .and_then(|text| text.parse::<u64>().ok())
        .is_some_and(|bytes| bytes > most)
    {
        return Err(too_large(most));
    }
    let uploads = app.store.uploads_path();
    let mut incoming = Incoming::begin(&uploads, &name, &file).map_err(|error| refused(&error))?;
    let mut chunks = body.into_data_stream();
    let mut bytes = 0;
    loop {
        let chunk = match timeout(UPLOAD_IDLE, chunks.next()).await {
            Ok(None) => break,
            Ok(Some(Ok(chunk))) => chunk,
            // Whoever sent it has probably gone away. What was written is removed.
            Ok(Some(Err(_))) | Err(_) => {
                let detail = "The file broke off; nothing is kept. Upload it again.";
                return Err(Problem::new(StatusCode::BAD_REQUEST, Code::BadBody, detail));
            }
        };
        bytes += chunk.len() as u64;
        if bytes > most {
            return Err(too_large(most));
        }
        incoming
            .push(chunk)
            .await
            .map_err(|error| refused(&error))?;
    }
    let _one_at_a_time = app.creating.lock().await;
    let digest = incoming.finish().await.map_err(|error| refused(&error))?;
    let answer = UploadedJson {
        dataset: name,
        file,
        bytes,
        digest,
    };
    Ok((StatusCode::CREATED, json(&headers, &answer)).into_response())
}

/// Delete a data set.
///
/// One that was uploaded, and that no hosted run was made from: a run's data is made again from it where the server's
/// copy is damaged.
#[utoipa::path(
    delete, path = "/admin/datasets/{name}", tag = "data sets", operation_id = "delete_dataset",
    params(("name" = String, Path, description = "The data set's name.")),
    responses((status = 200, description = "What it was.", body = DatasetJson), BadRequest, NotFound, Conflict)
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let folder = find(&app, &name).await?;
    let was = DatasetJson::new(&folder, &app);
    if folder.source == Source::Folder {
        let detail = format!(
            "{name:?} lies in the operator's own folder (--datasets-dir), which the server only reads; delete it there."
        );
        return Err(Problem::conflict(Code::InUse, detail));
    }
    if let Some(run) = was.used_by.first() {
        let detail = format!("The run {run:?} was made from {name:?}; archive the run first.");
        return Err(Problem::conflict(Code::InUse, detail));
    }
    let _one_at_a_time = app.creating.lock().await;
    let path = app.store.uploads_path().join(&name);
    let removed = blocking_io(move || std::fs::remove_dir_all(path)).await?;
    removed.map_err(|error| {
        error!(dataset = name, %error, "a data set can't be removed");
        Problem::internal()
    })?;
    Ok(json(&headers, &was))
}

async fn folders(app: &App) -> Result<Vec<DataFolder>, Problem> {
    let (given, uploads) = (app.config.datasets_dir.clone(), app.store.uploads_path());
    let read = blocking_io(move || DataFolder::all(&given, &uploads)).await?;
    read.map_err(|error| {
        error!(%error, "data sets can't be listed");
        Problem::internal()
    })
}

async fn find(app: &App, name: &str) -> Result<DataFolder, Problem> {
    let all = folders(app).await?;
    let found = all.into_iter().find(|folder| folder.name == name);
    found.ok_or_else(|| {
        let detail =
            format!("There is no data set named {name:?}; `tabswarm dataset list` shows them.");
        Problem::not_found(detail)
    })
}

impl DatasetJson {
    fn new(folder: &DataFolder, app: &App) -> Self {
        let view = app.view.get();
        let is_from = |path: &str| path.split('/').next() == Some(&*folder.name);
        let runs = view.runs.iter().map(|run| &run.facts.run);
        let used_by = runs
            .filter(|run| is_from(&run.data.path))
            .map(|run| run.name.clone());
        Self {
            name: folder.name.clone(),
            source: folder.source,
            n_files: folder.n_files,
            bytes: folder.bytes,
            used_by: used_by.collect(),
        }
    }
}

fn too_large(most: u64) -> Problem {
    let detail = format!(
        "The file is longer than {most} bytes, the most that this server takes (--max-upload-bytes); nothing is kept."
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, detail)
}

fn refused(error: &UploadError) -> Problem {
    match error {
        UploadError::Exists { .. } => Problem::conflict(Code::NameTaken, format!("{error}.")),
        UploadError::TooMany => Problem::conflict(Code::TooMany, format!("{error}.")),
        UploadError::Io { .. } => {
            error!(%error, "an upload can't be stored");
            Problem::internal()
        }
    }
}
