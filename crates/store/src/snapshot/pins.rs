//! Snapshots that stay: copies under names of their own, which recovery never looks at.
//!
//! The log before the oldest snapshot is let go of, so that a run could not recover from an older one; a pinned copy
//! is for downloads and forks only. It also stays where a rollback discards its version.

use std::sync::Arc;

use tabswarm_model::Run;
use tabswarm_protocol::ParamVersion;

use super::{Snapshot, SnapshotId, SnapshotInfo, Snapshots};
use crate::error::StoreError;
use crate::objects::Prefixed;

const PREFIX: &str = "pinned-";

impl Snapshots {
    /// The pinned copies, as snapshots of their own.
    fn pins(&self) -> Self {
        let objects = Prefixed {
            all: Arc::clone(&self.objects),
            prefix: PREFIX,
        };
        Self::new(Arc::new(objects), self.run_id, self.dir.clone())
    }

    /// Makes a copy of a snapshot that stays until it is unpinned. Pinning twice is no error.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where it is, or was removed meanwhile; [`StoreError::Io`].
    pub fn pin(&self, id: SnapshotId) -> Result<(), StoreError> {
        let mut manifest = self.manifest(id)?;
        let tensors = self.tensors(id, &manifest)?;
        self.pins().put_parts(id, &mut manifest, &tensors)
    }

    /// Removes a pinned copy; no error where there is none.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn unpin(&self, id: SnapshotId) -> Result<(), StoreError> {
        self.pins().remove(&[id])
    }

    /// All pinned copies, newest first.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn pinned(&self) -> Result<Vec<SnapshotInfo>, StoreError> {
        self.pins().list()
    }

    /// The newest pinned copy of a version.
    ///
    /// # Errors
    /// [`StoreError::NoSuchVersion`]; those of [`Snapshots::load`].
    pub(crate) fn load_pinned(
        &self,
        version: ParamVersion,
        run: &Run,
    ) -> Result<Snapshot, StoreError> {
        let pins = self.pins();
        let id = pins.id_of(version)?;
        pins.load(id, run)
    }

    /// The safetensors file of the newest snapshot of a version, or of a pinned copy: master parameters and
    /// optimizer, under the names of the layout.
    ///
    /// # Errors
    /// [`StoreError::NoSuchVersion`], [`StoreError::Damaged`], [`StoreError::Io`].
    pub fn file(&self, version: ParamVersion) -> Result<Vec<u8>, StoreError> {
        let place = match self.id_of(version) {
            Ok(id) => (self.clone(), id),
            Err(StoreError::NoSuchVersion { .. }) => {
                let pins = self.pins();
                let id = pins.id_of(version)?;
                (pins, id)
            }
            Err(error) => return Err(error),
        };
        let (place, id) = place;
        let manifest = place.manifest(id)?;
        place.tensors(id, &manifest)
    }

    /// Removes a snapshot that is not the newest one: without that a run loses what it did since. False where it is
    /// the newest, and nothing is removed.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove_older(&self, id: SnapshotId) -> Result<bool, StoreError> {
        if self.ids()?.first().is_none_or(|newest| *newest <= id) {
            return Ok(false);
        }
        self.remove(&[id])?;
        Ok(true)
    }

    /// The newest snapshot of a version.
    pub(super) fn id_of(&self, version: ParamVersion) -> Result<SnapshotId, StoreError> {
        let ids = self.ids()?;
        let id = ids.into_iter().find(|id| id.version == version.0);
        id.ok_or_else(|| StoreError::NoSuchVersion {
            version: version.0,
            dir: self.dir.clone(),
        })
    }
}
