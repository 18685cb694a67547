//! A server that speaks S3, on the loopback, for one test.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tokio::runtime::Runtime;

use super::location;
use crate::object_storage::ObjectStorage;
use crate::scratch::Scratch;

pub(super) const BUCKET: &str = "tabswarm-test";
/// The server's only account.
const KEY: &str = "S3RVER";

pub(super) struct S3Server {
    process: Child,
    port: u16,
    scratch: Scratch,
    /// Kept open: the server could not print any more.
    _output: BufReader<ChildStdout>,
}

impl S3Server {
    pub(super) fn start(name: &str) -> Self {
        Self::start_at(Scratch::new(&format!("s3-{name}")), 0)
    }

    fn start_at(scratch: Scratch, port: u16) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/s3/node_modules/s3rver/bin/s3rver.js");
        assert!(
            program.exists(),
            "the S3 server for tests is missing: run `cargo xtask setup --tests`"
        );
        let mut process = Command::new("node")
            // It makes tokens for the pages of a list with a cipher that OpenSSL has retired.
            .arg("--openssl-legacy-provider")
            .arg(program)
            .args(["--silent", "--address", "127.0.0.1", "--port"])
            .arg(port.to_string())
            .arg("--directory")
            .arg(scratch.path())
            .args(["--no-vhost-buckets", "--configure-bucket", BUCKET])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs: CONTRIBUTING.md says how to get it");
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            let read = output.read_line(&mut line).unwrap();
            assert!(read > 0, "the S3 server ended at its start");
            if line.contains("listening on")
                && let Some((_, port)) = line.trim().rsplit_once(':')
            {
                break port.parse().unwrap();
            }
        };
        Self {
            process,
            port,
            scratch,
            _output: output,
        }
    }

    /// Ends the process at once, as a crash would.
    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The same data behind the same port again, after [`Self::kill`].
    pub(super) fn restart(mut self) -> Self {
        let port = self.port;
        let scratch = std::mem::replace(&mut self.scratch, Scratch::new("s3-nothing"));
        drop(self);
        Self::start_at(scratch, port)
    }

    /// Where the server has its files.
    pub(super) fn folder(&self) -> PathBuf {
        self.scratch.path().to_owned()
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Storage with the server's keys; `changes` come last.
    pub(super) fn storage(
        &self,
        runtime: &Runtime,
        url: &str,
        changes: &[(&str, &str)],
    ) -> ObjectStorage {
        let endpoint = self.endpoint();
        let usual = [
            ("AWS_ENDPOINT_URL", &*endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", KEY),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_VARIABLE_OF_ANOTHER_PROGRAM", "x"),
            ("HOME", "/nowhere"),
        ];
        let variables = usual
            .iter()
            .chain(changes)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ObjectStorage::s3(location(url), variables, runtime.handle().clone()).unwrap()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
