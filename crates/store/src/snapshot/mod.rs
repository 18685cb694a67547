//! Snapshots: the whole state of a run after one of its changes.
//!
//! Two objects each, `s%016x-v%012d.safetensors` (master parameters and optimizer slots) and
//! `s%016x-v%012d.json` (everything else, and the digest of the first). The manifest is written last and
//! removed first: a snapshot without manifest does not exist. A pinned copy has the prefix `pinned-`.

mod manifest;
mod pins;
mod tensors;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tabswarm_coordinator::RunState;
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::Exponents;
use tabswarm_model::layout::Layout;
use tabswarm_model::master::Master;
use tabswarm_model::optim::Optimizer;
use tabswarm_protocol::{ParamVersion, RunId};

use crate::error::{FORMAT, StoreError};
use crate::objects::Objects;
use crate::sealed::{self, SealError};
pub(crate) use manifest::StoredSnapshot;

/// What a snapshot holds.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The coordinator's part, after entry [`RunState::sequence`].
    pub state: RunState,
    /// Master parameters. The published replica has the same values today.
    pub params: Arc<[f32]>,
    /// Their digest.
    pub params_digest: Digest,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// When it was made, in milliseconds since 1970, where that is known. Nothing follows from it.
    pub made_ms: Option<u64>,
}

impl Snapshot {
    /// The state of a run, at a moment that nobody tells.
    pub fn of(state: RunState, master: &Master) -> Self {
        Self {
            state,
            params: master.params().clone(),
            params_digest: Digest::of_params(master.params()),
            optimizer: master.optimizer().clone(),
            made_ms: None,
        }
    }

    /// The same, made so many milliseconds after 1970 began.
    #[must_use]
    pub fn made_at(self, at_ms: u64) -> Self {
        let made_ms = Some(at_ms);
        Self { made_ms, ..self }
    }

    /// Which it is.
    pub fn id(&self) -> SnapshotId {
        SnapshotId {
            sequence: self.state.sequence,
            version: self.state.version.0,
        }
    }

    /// The master of a run at this point; `base` is the run of the run file.
    pub fn master(&self, base: &Run) -> Master {
        let run = self.state.run(base);
        Master::restore(run, self.params.to_vec(), self.optimizer.clone())
    }
}

/// Which snapshot; ordered by sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// The last entry in it.
    pub sequence: u64,
    /// Version of its parameters.
    pub version: u64,
}

impl SnapshotId {
    fn manifest(self) -> String {
        format!("s{:016x}-v{:012}.json", self.sequence, self.version)
    }

    fn tensors(self) -> String {
        format!("s{:016x}-v{:012}.safetensors", self.sequence, self.version)
    }

    fn from_manifest(name: &str) -> Option<Self> {
        let (sequence, version) = name
            .strip_prefix('s')?
            .strip_suffix(".json")?
            .split_once("-v")?;
        let id = Self {
            sequence: u64::from_str_radix(sequence, 16).ok()?,
            version: version.parse().ok()?,
        };
        (id.manifest() == name).then_some(id)
    }
}

/// What lists say of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Which.
    pub id: SnapshotId,
    /// Digest of its parameters.
    pub params_digest: Digest,
    /// Size of its tensors as stored.
    pub bytes: u64,
    /// When it was made, in milliseconds since 1970; unknown of those that an older program stored.
    pub made_ms: Option<u64>,
}

/// The snapshots of a run. Clones are the same place.
#[derive(Debug, Clone)]
pub struct Snapshots {
    objects: Arc<dyn Objects>,
    run_id: RunId,
    /// The run's folder, for messages.
    dir: PathBuf,
}

impl Snapshots {
    /// The snapshots of a run in some place; `dir` is the run's folder.
    pub(crate) fn new(objects: Arc<dyn Objects>, run_id: RunId, dir: PathBuf) -> Self {
        Self {
            objects,
            run_id,
            dir,
        }
    }

    /// Stores a snapshot durably and removes all but the `keep` newest, and those of later versions, which a
    /// rollback has discarded. Returns the sequence behind which
    /// the log is needed.
    ///
    /// The entry of its sequence must be durable in the log: after a crash it counts as proof that it was.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the snapshots that there were are as before, unless removing them failed.
    pub fn put(
        &self,
        snapshot: &Snapshot,
        layout: &Layout,
        keep: usize,
    ) -> Result<u64, StoreError> {
        let bytes = tensors::encode(snapshot, layout);
        let id = snapshot.id();
        let manifest = StoredSnapshot::new(self.run_id, snapshot, (id.tensors(), &bytes));
        self.put_object(&id.tensors(), &bytes)?;
        self.put_object(&id.manifest(), sealed::seal(&manifest).as_bytes())?;
        let mut discarded = self.ids()?;
        discarded.retain(|other| other.version > id.version && other.sequence < id.sequence);
        self.remove(&discarded)?;
        self.remove_old(keep)
    }

    /// All snapshots that have a manifest, newest first.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn ids(&self) -> Result<Vec<SnapshotId>, StoreError> {
        let names = self.names()?;
        let mut ids: Vec<SnapshotId> = names
            .iter()
            .filter_map(|name| SnapshotId::from_manifest(name))
            .collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    /// All snapshots with a whole manifest, newest first.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn list(&self) -> Result<Vec<SnapshotInfo>, StoreError> {
        let mut all = Vec::new();
        for id in self.ids()? {
            match self.manifest(id) {
                Ok(manifest) => all.push(SnapshotInfo {
                    id,
                    params_digest: manifest.params_digest,
                    bytes: manifest.files[0].bytes,
                    made_ms: manifest.made_ms,
                }),
                Err(StoreError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// The parameters of the newest snapshot of a version.
    ///
    /// # Errors
    /// [`StoreError::NoSuchVersion`], [`StoreError::Damaged`], [`StoreError::Io`].
    pub fn params(&self, version: ParamVersion, layout: &Layout) -> Result<Vec<f32>, StoreError> {
        let id = self.id_of(version)?;
        let manifest = self.manifest(id)?;
        let bytes = self.tensors(id, &manifest)?;
        tensors::decode(&bytes, tensors::MASTER, layout)
            .map_err(|problem| self.damaged(&id.tensors(), problem))
    }

    /// A snapshot, after every check; `base` is the run of the run file.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Foreign`], [`StoreError::NewerFormat`], [`StoreError::Io`].
    pub fn load(&self, id: SnapshotId, base: &Run) -> Result<Snapshot, StoreError> {
        let manifest = self.manifest(id)?;
        let damaged = |problem: &str| self.damaged(&id.manifest(), problem.to_owned());
        let (state, adam) = manifest.restore().map_err(|problem| damaged(&problem))?;
        let (run, layout) = (state.run(base), base.graph().layout);
        if run.model != base.model {
            return Err(damaged("its settings are those of another model"));
        }
        let exponents = Exponents::restore(state.exponents.clone(), state.exponent_rises.clone());
        if exponents.is_none_or(|all| all.current().len() != layout.tensors().len()) {
            return Err(damaged("its exponents do not fit the model"));
        }
        let bytes = self.tensors(id, &manifest)?;
        let read = |prefix: &str| {
            tensors::decode(&bytes, prefix, &layout)
                .map_err(|problem| self.damaged(&id.tensors(), problem))
        };
        let params = read(tensors::MASTER)?;
        let slots: Result<Vec<_>, StoreError> = (0..run.master_optimizer().slots())
            .map(|slot_idx| read(&tensors::slot_prefix(slot_idx)))
            .collect();
        if Digest::of_params(&params) != manifest.params_digest {
            return Err(damaged("the parameters do not have their digest"));
        }
        let spec = run.master_optimizer();
        let optimizer = Optimizer::restore(spec, layout.len(), slots?, adam)
            .ok_or_else(|| damaged("its optimizer state does not fit the run"))?;
        Ok(Snapshot {
            state,
            params: params.into(),
            params_digest: manifest.params_digest,
            optimizer,
            made_ms: manifest.made_ms,
        })
    }

    /// Removes snapshots of later versions, which a rollback to `version` discarded. The rollback must be durable.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn discard_behind(&self, version: ParamVersion) -> Result<(), StoreError> {
        let mut ids = self.ids()?;
        ids.retain(|id| id.version > version.0);
        self.remove(&ids)
    }

    /// Removes snapshots, manifests first.
    pub(crate) fn remove(&self, ids: &[SnapshotId]) -> Result<(), StoreError> {
        for id in ids {
            self.delete(&id.manifest())?;
            self.delete(&id.tensors())?;
        }
        Ok(())
    }

    /// Renames a damaged snapshot, so that it is neither tried nor counted any more but can be looked at.
    pub(crate) fn set_aside(&self, id: SnapshotId) -> Result<(), StoreError> {
        for name in [id.tensors(), id.manifest()] {
            match self.objects.get(&name) {
                Ok(bytes) => self.put_object(&format!("damaged-{name}"), &bytes)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(self.io(&name, source)),
            }
        }
        self.remove(&[id])
    }

    /// A manifest whose checksum is right.
    pub(crate) fn manifest(&self, id: SnapshotId) -> Result<StoredSnapshot, StoreError> {
        let name = id.manifest();
        let bytes = self.get(&name)?;
        let manifest: StoredSnapshot =
            sealed::unseal(&bytes, FORMAT).map_err(|error| match error {
                SealError::Damaged(problem) => self.damaged(&name, problem),
                SealError::Newer(found) => StoreError::NewerFormat {
                    path: self.objects.place(&name),
                    found,
                },
            })?;
        if manifest.run_id != self.run_id.0 {
            return Err(StoreError::Foreign {
                path: self.objects.place(&name),
                problem: format!("it belongs to run {}", manifest.run_id),
            });
        }
        let own = SnapshotId {
            sequence: manifest.sequence,
            version: manifest.version,
        };
        let names_its_tensors = manifest.files.len() == 1 && manifest.files[0].name == id.tensors();
        if own != id || !names_its_tensors {
            return Err(self.damaged(&name, "it belongs to another snapshot".to_owned()));
        }
        Ok(manifest)
    }

    /// The tensors of a manifest, whose digest is right.
    pub(crate) fn tensors(
        &self,
        id: SnapshotId,
        manifest: &StoredSnapshot,
    ) -> Result<Vec<u8>, StoreError> {
        let bytes = self.get(&id.tensors())?;
        if Digest::of(&bytes) != manifest.files[0].digest {
            return Err(self.damaged(&id.tensors(), "its digest is wrong".to_owned()));
        }
        Ok(bytes)
    }

    /// Stores a snapshot from parts; for migration.
    pub(crate) fn put_parts(
        &self,
        id: SnapshotId,
        manifest: &mut StoredSnapshot,
        tensors: &[u8],
    ) -> Result<(), StoreError> {
        manifest.set_file(id.tensors(), tensors);
        self.put_object(&id.tensors(), tensors)?;
        self.put_object(&id.manifest(), sealed::seal(manifest).as_bytes())
    }

    /// Removes all but the newest snapshots, and tensors that no manifest names.
    fn remove_old(&self, keep: usize) -> Result<u64, StoreError> {
        let mut ids = self.ids()?;
        let old = ids.split_off(ids.len().min(keep.max(1)));
        for id in &old {
            self.delete(&id.manifest())?;
        }
        let kept: BTreeSet<String> = ids.iter().map(|id| id.tensors()).collect();
        for name in self.names()? {
            if name.starts_with('s') && name.ends_with(".safetensors") && !kept.contains(&name) {
                self.delete(&name)?;
            }
        }
        // As long as there are fewer, the beginning of the run stands in for the missing ones.
        let oldest = ids.last().filter(|_| ids.len() >= keep.max(1));
        Ok(oldest.map_or(0, |id| id.sequence))
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        self.objects.list().map_err(|source| self.io("", source))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.objects
            .get(name)
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => self.damaged(name, "it is missing".to_owned()),
                _ => self.io(name, source),
            })
    }

    fn put_object(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.objects
            .put(name, bytes)
            .map_err(|source| self.io(name, source))
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.objects
            .delete(name)
            .map_err(|source| self.io(name, source))
    }

    fn io(&self, name: &str, source: io::Error) -> StoreError {
        StoreError::Io {
            path: self.objects.place(name),
            source,
        }
    }

    fn damaged(&self, name: &str, problem: String) -> StoreError {
        StoreError::Damaged {
            path: self.objects.place(name),
            problem,
            dir: self.dir.clone(),
        }
    }
}
