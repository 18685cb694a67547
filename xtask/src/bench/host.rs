//! Programs that measure on request: a line of JSON in, a line of JSON out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command;

/// A running program. It ends when its input does, which dropping this brings about.
#[derive(Debug)]
pub(super) struct Host {
    name: &'static str,
    version: String,
    child: Child,
    /// Taken away to end it.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Host {
    /// Starts a program and waits for its first line, in which it says what it is.
    pub(super) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("`{}` could not be started", command::shown(command)))?;
        let requests = child.stdin.take();
        let answers = child.stdout.take().context("the program has no output")?;
        let mut host = Self {
            name,
            version: String::new(),
            child,
            requests,
            answers: BufReader::new(answers),
        };
        let hello = host.read()?;
        let version = hello["version"].as_str();
        version
            .context("the first line names no version")?
            .clone_into(&mut host.version);
        Ok(host)
    }

    /// Name and version of what measures.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Asks for one measurement.
    pub(super) fn ask(&mut self, request: &Value) -> Result<Value> {
        let requests = self.requests.as_mut().context("it has been told to end")?;
        writeln!(requests, "{request}")
            .and_then(|()| requests.flush())
            .with_context(|| format!("{} takes no requests", self.name))?;
        self.read()
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        if read.with_context(|| format!("{} says nothing readable", self.name))? == 0 {
            bail!("{} ended without an answer", self.name);
        }
        serde_json::from_str(&line).with_context(|| format!("{} said: {line}", self.name))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.requests = None;
        if let Err(error) = self.child.wait() {
            eprintln!("{} did not end: {error}", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_host_answers_line_by_line() {
        let mut cat = Command::new("sh");
        cat.args(["-c", r#"echo '{"version":"Echo 1"}'; exec cat"#]);
        let mut host = Host::start("echo", &mut cat).unwrap();
        assert_eq!(host.version(), "Echo 1");
        let request = json!({ "millis": 5 });
        assert_eq!(host.ask(&request).unwrap(), request);
    }

    #[test]
    fn a_host_that_ends_is_an_error() {
        let error = Host::start("nothing", &mut Command::new("true")).unwrap_err();
        assert_eq!(error.to_string(), "nothing ended without an answer");
    }
}
