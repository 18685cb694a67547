//! The admin listener's client.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tabswarm_model::run_file::MAX_PARAMETERS;
use thiserror::Error;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::auth::AdminToken;
use crate::store::ADMIN_TOKEN_FILE;

/// A run's data may have to be read and compressed before the answer comes.
const TIMEOUT: Duration = Duration::from_mins(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answers are models: parameters with their names and a card.
const MAX_ANSWER_BYTES: u64 = (MAX_PARAMETERS * size_of::<f32>() + (16 << 20)) as u64;

/// Where the server is and how to be let in.
#[derive(Debug, Args)]
pub(super) struct ClientArgs {
    /// The server's admin address.
    #[arg(
        long,
        env = "TABSWARM_ADMIN",
        default_value = "http://127.0.0.1:8081",
        value_name = "URL",
        global = true
    )]
    admin: String,
    /// The admin token; read from the data directory if not given.
    #[arg(
        long,
        env = "TABSWARM_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        global = true
    )]
    token: Option<String>,
    /// The server's data directory, to read the token from.
    #[arg(
        long,
        env = "TABSWARM_DATA_DIR",
        default_value = "data",
        value_name = "FOLDER",
        global = true
    )]
    data_dir: PathBuf,
    /// Print the server's JSON instead of a table.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// A connection's settings.
pub(super) struct Client {
    agent: Agent,
    base: String,
    authorization: String,
}

/// Why there is no good answer.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    /// Nobody answers.
    #[error("no answer from {base}: is the server running, and is --admin right?")]
    NoAnswer {
        /// The address.
        base: String,
        /// What happened.
        source: ureq::Error,
    },
    /// The server answers with a problem.
    #[error("{detail}")]
    Problem {
        /// The answer's status.
        status: u16,
        /// What happened and what to do.
        detail: String,
    },
}

#[derive(Deserialize)]
struct ProblemJson {
    detail: String,
}

impl ClientArgs {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let base = self.admin.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            bail!(
                "the admin address {base:?} can't be used: it must begin with http://; use a tunnel or a local proxy to reach one with TLS"
            );
        }
        let token = match &self.token {
            Some(token) => AdminToken::new(token)?,
            None => AdminToken::read(&self.data_dir.join(ADMIN_TOKEN_FILE)).context(
                "no admin token: give --token or TABSWARM_ADMIN_TOKEN, or the server's --data-dir",
            )?,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build();
        Ok(Client {
            agent: config.into(),
            base,
            authorization: format!("Bearer {}", token.reveal()),
        })
    }
}

impl Client {
    /// The text of an answer.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<String> {
        let request = self.agent.get(format!("{}{path}", self.base));
        self.read(request.header("authorization", &self.authorization).call())
    }

    /// The bytes of an answer.
    pub(super) fn get_bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = self.agent.get(format!("{}{path}", self.base));
        self.read_bytes(request.header("authorization", &self.authorization).call())
    }

    /// The text of the answer to a command.
    pub(super) fn post(&self, path: &str, body: &str) -> anyhow::Result<String> {
        let request = self.agent.post(format!("{}{path}", self.base));
        self.read(
            request
                .header("authorization", &self.authorization)
                .send(body),
        )
    }

    /// The text of the answer to something that is put in its place.
    pub(super) fn put(&self, path: &str, body: &str) -> anyhow::Result<String> {
        let request = self.agent.put(format!("{}{path}", self.base));
        self.read(
            request
                .header("authorization", &self.authorization)
                .send(body),
        )
    }

    /// Sends a file, however long it takes; the text of the answer.
    pub(super) fn upload(&self, path: &str, file: &Path) -> anyhow::Result<String> {
        let opened = File::open(file);
        let opened = opened.with_context(|| format!("{} can't be read", file.display()))?;
        let request = self.agent.put(format!("{}{path}", self.base));
        let request = request.config().timeout_global(None).build();
        let request = request.header("authorization", &self.authorization);
        let answer = self.read(request.send(&opened));
        answer.with_context(|| format!("{} is not uploaded", file.display()))
    }

    /// Writes an answer into a new file, which is there whole or not at all; its length.
    pub(super) fn download(&self, path: &str, file: &Path) -> anyhow::Result<u64> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.config().timeout_global(None).build();
        let answer = request.header("authorization", &self.authorization).call();
        let mut answer = self.checked(answer)?;
        let unwritable = || format!("{} can't be written", file.display());
        let mut output = File::create_new(file).with_context(unwritable)?;
        let written = io::copy(&mut answer.body_mut().as_reader(), &mut output)
            .and_then(|bytes| output.sync_all().map(|()| bytes));
        if written.is_err() {
            // What is left would look like a whole file.
            drop(std::fs::remove_file(file));
        }
        written.with_context(unwritable)
    }

    /// The text of the answer to a removal.
    pub(super) fn delete(&self, path: &str) -> anyhow::Result<String> {
        let request = self.agent.delete(format!("{}{path}", self.base));
        self.read(request.header("authorization", &self.authorization).call())
    }

    fn read(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<String> {
        String::from_utf8(self.read_bytes(answer)?).context("the answer is no text")
    }

    fn read_bytes(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Vec<u8>> {
        body_of(&mut self.checked(answer)?)
    }

    /// An answer that is no problem.
    fn checked(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> anyhow::Result<Response<Body>> {
        let mut answer = answer.map_err(|source| ClientError::NoAnswer {
            base: self.base.clone(),
            source,
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let detail = match serde_json::from_slice::<ProblemJson>(&body_of(&mut answer)?) {
            Ok(problem) => problem.detail,
            Err(_) => format!(
                "{} answered {status}: is it a Tabswarm server's admin address?",
                self.base
            ),
        };
        let status = status.as_u16();
        Err(ClientError::Problem { status, detail }.into())
    }
}

fn body_of(answer: &mut Response<Body>) -> anyhow::Result<Vec<u8>> {
    let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
    body.read_to_vec().context("the answer broke off")
}

/// Reads an answer.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text)
        .context("the server's answer has an unknown form: use the tabswarm that came with it")
}
