//! Object storage: snapshots in a bucket that speaks the S3 protocol, for servers whose disk does not last.
//!
//! Where it is and who may use it follow from a URL and the usual `AWS_*` variables. Objects have flat names, are
//! replaced whole, and are there for readers when [`Objects::put`] returns: S3 promises that, also for
//! objects that are sent in pieces.
//!
//! Calls block, and must come from a thread that is not one of the runtime's. Requests are repeated a few times
//! where that may help; every call ends after a time that its size bounds.
//!
//! What it does not do: keep the step log (appending needs a disk), hold locks, create or remove buckets.

mod error;
mod limits;
mod location;
mod s3;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tabswarm_store::Objects;
use tokio::runtime::Handle;

pub(crate) use error::ObjectStorageError;
use error::{Doing, Failure};
use limits::{MAX_NAMES, MAX_OBJECT_BYTES, MIN_BYTES_PER_S, OPERATION_TIMEOUT, PART_BYTES};
pub(crate) use location::Location;
use location::is_name;

/// The objects below one prefix.
#[derive(Clone)]
pub(crate) struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    location: Location,
    runtime: Handle,
}

impl fmt::Debug for ObjectStorage {
    /// Without the store, which has keys in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectStorage({})", self.location)
    }
}

impl ObjectStorage {
    /// Objects at a place, with a configuration from `AWS_*` variables; others are ignored. Requests run on
    /// `runtime`, which needs more than the calling thread.
    ///
    /// # Errors
    /// [`ObjectStorageError::Configuration`]. Whether the place can be used is seen by [`Self::probe`].
    pub(crate) fn s3(
        location: Location,
        variables: impl IntoIterator<Item = (String, String)>,
        runtime: Handle,
    ) -> Result<Self, ObjectStorageError> {
        let store = s3::build(&location, variables)?;
        Ok(Self::over(Arc::new(store), location, runtime))
    }

    fn over(store: Arc<dyn ObjectStore>, location: Location, runtime: Handle) -> Self {
        Self {
            store,
            location,
            runtime,
        }
    }

    /// The same place with another part to its prefix.
    ///
    /// # Errors
    /// Where the part is no name.
    pub(crate) fn below(&self, part: &str) -> Result<Self, ObjectStorageError> {
        Ok(Self {
            location: self.location.below(part)?,
            ..self.clone()
        })
    }

    /// Writes, reads and removes a small object, so that a wrong key or bucket is seen at the start.
    ///
    /// # Errors
    /// Whatever failed, with what to check.
    pub(crate) fn probe(&self) -> io::Result<()> {
        const NAME: &str = "tabswarm-probe";
        self.put(NAME, b"tabswarm")?;
        let read = self.get(NAME)?;
        if read != b"tabswarm" {
            return Err(self.error(Doing::Reading, NAME, Failure::Foreign));
        }
        self.delete(NAME)
    }

    /// The object appears with the last request, which names all pieces.
    async fn put_parts(&self, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let mut upload = self.store.put_multipart(path).await?;
        let sent = async {
            for part in bytes.chunks(PART_BYTES) {
                upload.put_part(Bytes::copy_from_slice(part).into()).await?;
            }
            upload.complete().await
        }
        .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => {
                // Pieces that nobody asks for cost money; if this fails too, the bucket's own rule removes them.
                upload.abort().await.ok();
                Err(error.into())
            }
        }
    }

    fn url(&self, name: &str) -> String {
        if name.is_empty() {
            self.location.to_string()
        } else {
            format!("{}/{name}", self.location)
        }
    }

    fn path(&self, name: &str) -> Result<Path, Failure> {
        if !is_name(name) {
            return Err(Failure::Name);
        }
        Ok(Path::from(&*self.location.prefix).join(name))
    }

    /// Runs something to its end, within a time that follows from the number of bytes.
    fn run<T>(
        &self,
        doing: Doing,
        name: &str,
        bytes: u64,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> io::Result<T> {
        let limit = OPERATION_TIMEOUT + Duration::from_secs(bytes / MIN_BYTES_PER_S);
        let result = self
            .runtime
            .block_on(async { tokio::time::timeout(limit, work).await });
        result
            .unwrap_or(Err(Failure::Slow(limit)))
            .map_err(|failure| self.error(doing, name, failure))
    }

    fn error(&self, doing: Doing, name: &str, failure: Failure) -> io::Error {
        failure.at(doing, &self.url(name))
    }
}

impl Objects for ObjectStorage {
    /// Stores an object, replacing one that has the name: readers find the old one or the new one, whole.
    ///
    /// # Errors
    /// Where it can't be written; the old one is there then, unless the error came after the last piece.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.run(Doing::Writing, name, size, async {
            let path = self.path(name)?;
            if size > MAX_OBJECT_BYTES {
                return Err(Failure::TooLarge(size));
            }
            if bytes.len() <= PART_BYTES {
                let payload = Bytes::copy_from_slice(bytes).into();
                self.store.put(&path, payload).await?;
                return Ok(());
            }
            self.put_parts(&path, bytes).await
        })
    }

    /// An object.
    ///
    /// # Errors
    /// `NotFound` where the bucket has no such object; other kinds where it can't be read.
    fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = match self.path(name) {
            Ok(path) => path,
            Err(failure) => return Err(self.error(Doing::Reading, name, failure)),
        };
        // Its size says how long it may take.
        let object = self.run(Doing::Reading, name, 0, async {
            let object = self.store.get(&path).await?;
            if object.meta.size > MAX_OBJECT_BYTES {
                return Err(Failure::TooLarge(object.meta.size));
            }
            Ok(object)
        })?;
        let size = object.meta.size;
        self.run(Doing::Reading, name, size, async {
            let bytes = object.bytes().await?;
            if u64::try_from(bytes.len()).ok() != Some(size) {
                return Err(Failure::Foreign);
            }
            Ok(bytes.into())
        })
    }

    /// The names of all objects, sorted. Others that may lie below the prefix don't count.
    ///
    /// # Errors
    /// Where they can't be listed, or are too many.
    fn list(&self) -> io::Result<Vec<String>> {
        self.run(Doing::Listing, "", 0, async {
            let prefix = Path::from(&*self.location.prefix);
            let mut found = self.store.list(Some(&prefix));
            let mut names = Vec::new();
            let mut seen = 0;
            while let Some(object) = found.try_next().await? {
                seen += 1;
                if seen > MAX_NAMES {
                    return Err(Failure::TooMany);
                }
                let Some(mut parts) = object.location.prefix_match(&prefix) else {
                    continue;
                };
                if let (Some(name), None) = (parts.next(), parts.next())
                    && is_name(name.as_ref())
                {
                    names.push(name.as_ref().to_owned());
                }
            }
            names.sort();
            Ok(names)
        })
    }

    /// Removes an object; no error where there is none.
    ///
    /// # Errors
    /// Where it can't be removed.
    fn delete(&self, name: &str) -> io::Result<()> {
        self.run(Doing::Removing, name, 0, async {
            let path = self.path(name)?;
            match self.store.delete(&path).await.map_err(Failure::from) {
                Err(failure) if failure.is_missing_object() => Ok(()),
                done => done,
            }
        })
    }

    /// Where an object is, for messages.
    fn place(&self, name: &str) -> PathBuf {
        self.url(name).into()
    }
}
