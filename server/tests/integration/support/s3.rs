//! A server that speaks S3 on the loopback, as a process of its own. Unit tests use this file, too.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The server's only bucket.
pub(crate) const BUCKET: &str = "tabswarm-test";
/// Name and secret of the server's only account.
const KEY: &str = "S3RVER";

#[derive(Debug)]
pub(crate) struct S3Process {
    process: Child,
    pub(crate) port: u16,
    /// Kept open: the server could not print any more.
    _output: BufReader<ChildStdout>,
}

impl S3Process {
    /// Starts it with its files in a folder; port 0 is any.
    pub(crate) fn start(folder: &Path, port: u16) -> Self {
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
            .arg(folder)
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
            _output: output,
        }
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The variables that say how it is reached.
    pub(crate) fn variables(&self) -> [(&'static str, String); 5] {
        [
            (
                "AWS_ENDPOINT_URL",
                format!("http://127.0.0.1:{}", self.port),
            ),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", KEY.to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }
}

impl Drop for S3Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
