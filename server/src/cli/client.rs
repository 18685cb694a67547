//! The admin listener's client.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tabswarm_model::run_file::MAX_PARAMETERS;
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

    /// The text of the answer to new content.
    pub(super) fn put(&self, path: &str, body: &str) -> anyhow::Result<String> {
        let request = self.agent.put(format!("{}{path}", self.base));
        self.read(
            request
                .header("authorization", &self.authorization)
                .send(body),
        )
    }

    fn read(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<String> {
        String::from_utf8(self.read_bytes(answer)?).context("the answer is no text")
    }

    fn read_bytes(&self, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Vec<u8>> {
        let mut answer = answer.with_context(|| {
            format!(
                "no answer from {}: is the server running, and is --admin right?",
                self.base
            )
        })?;
        let status = answer.status();
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec()
            .context("the answer broke off")?;
        if status.is_success() {
            return Ok(bytes);
        }
        match serde_json::from_slice::<ProblemJson>(&bytes) {
            Ok(problem) => bail!("{}", problem.detail),
            Err(_) => bail!(
                "{} answered {status}: is it a Tabswarm server's admin address?",
                self.base
            ),
        }
    }
}

/// Reads an answer.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text)
        .context("the server's answer has an unknown form: use the tabswarm that came with it")
}
