//! The binary as a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::Site;

/// `tabswarm` with a clean environment.
pub(crate) fn tabswarm() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tabswarm"));
    command.env_clear();
    command
}

/// `tabswarm serve` for a site.
pub(crate) fn serve_command(site: &Site) -> Command {
    let mut command = tabswarm();
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ])
        .arg("--data-dir")
        .arg(site.data_dir())
        .arg("--datasets-dir")
        .arg(site.datasets_dir());
    command
}

/// A running `tabswarm serve`, killed at the end.
#[derive(Debug)]
pub(crate) struct ChildServer {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl ChildServer {
    pub(crate) fn start(site: &Site) -> Self {
        Self::spawn(serve_command(site))
    }

    /// Starts a command that serves.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let listening = loop {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the server ended");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["message"] == "listening" {
                break event;
            }
        };
        let address = |key: &str| listening[key].as_str().unwrap().parse().unwrap();
        let (public, admin) = (address("public_addr"), address("admin_addr"));
        Self {
            child,
            stderr,
            public,
            admin,
        }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as service managers do; returns its exit code and what it logged.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let mut log = String::new();
        self.stderr.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }

    /// Runs a verb against it.
    pub(crate) fn verb(&self, site: &Site, args: &[&str]) -> Output {
        verb(&self.admin.to_string(), &site.data_dir(), args)
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a verb of the command line against an admin address.
pub(crate) fn verb(admin: &str, data_dir: &Path, args: &[&str]) -> Output {
    let mut command = tabswarm();
    command
        .args(args)
        .args(["--admin", &format!("http://{admin}"), "--data-dir"])
        .arg(data_dir);
    command.output().unwrap()
}

/// Exit code, standard output and standard error.
pub(crate) fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}
