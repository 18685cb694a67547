//! A server that speaks S3, on the loopback, for one test.

use std::path::PathBuf;

use tokio::runtime::Runtime;

use super::location;
use super::s3_process::S3Process;
use crate::object_storage::ObjectStorage;
use crate::scratch::Scratch;

pub(super) use super::s3_process::BUCKET;

pub(super) struct S3Server {
    process: S3Process,
    scratch: Scratch,
}

impl S3Server {
    pub(super) fn start(name: &str) -> Self {
        Self::start_at(Scratch::new(&format!("s3-{name}")), 0)
    }

    fn start_at(scratch: Scratch, port: u16) -> Self {
        Self {
            process: S3Process::start(scratch.path(), port),
            scratch,
        }
    }

    /// Ends the process at once, as a crash would.
    pub(super) fn kill(&mut self) {
        self.process.kill();
    }

    /// The same data behind the same port again, after [`Self::kill`].
    pub(super) fn restart(mut self) -> Self {
        let port = self.process.port;
        let scratch = std::mem::replace(&mut self.scratch, Scratch::new("s3-nothing"));
        drop(self);
        Self::start_at(scratch, port)
    }

    /// Where the server has its files.
    pub(super) fn folder(&self) -> PathBuf {
        self.scratch.path().to_owned()
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.process.port)
    }

    /// Storage with the server's keys; `changes` come last.
    pub(super) fn storage(
        &self,
        runtime: &Runtime,
        url: &str,
        changes: &[(&str, &str)],
    ) -> ObjectStorage {
        let usual = self.process.variables();
        let others = [
            ("AWS_VARIABLE_OF_ANOTHER_PROGRAM", "x"),
            ("HOME", "/nowhere"),
        ];
        let changes = others.iter().chain(changes);
        let variables = usual
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(changes.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        ObjectStorage::s3(location(url), variables, runtime.handle().clone()).unwrap()
    }
}
