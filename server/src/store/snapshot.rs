//! Snapshots of a run: master parameters and optimizer as safetensors, everything else in a manifest.
//!
//! `vVERSION-DIGEST.safetensors` is written first, `vVERSION.json` last: a snapshot without manifest does not
//! exist. Loading checks every digest and falls back to the next older snapshot.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tabswarm_coordinator::RunState;
use tabswarm_model::digest::Digest;
use tabswarm_model::layout::Layout;
use tabswarm_model::optim::Optimizer;
use tabswarm_model::{Run, fixed_point::Exponents};
use tabswarm_protocol::ParamVersion;
use thiserror::Error;
use tracing::warn;

use super::atomic;
use super::stored_state::StoredState;

const MASTER: &str = "master";

/// What a snapshot holds.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The coordinator's part.
    pub(crate) state: RunState,
    /// Master parameters.
    pub(crate) params: Arc<[f32]>,
    /// Their digest.
    pub(crate) params_digest: Digest,
    /// The optimizer.
    pub(crate) optimizer: Optimizer,
}

/// What lists say of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotInfo {
    /// Steps committed.
    pub(crate) version: ParamVersion,
    /// Of the parameters.
    pub(crate) params_digest: Digest,
    /// On disk.
    pub(crate) bytes: u64,
}

/// Why a snapshot can't be used.
#[derive(Debug, Error)]
pub(crate) enum SnapshotError {
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// A file's content is wrong.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        problem: String,
    },
    /// There are snapshots, all of them damaged.
    #[error(
        "all snapshots in {} are damaged; restore the folder from a backup, or empty it to begin again",
        path.display()
    )]
    NoneUsable {
        /// The folder.
        path: PathBuf,
    },
}

/// A folder of snapshots.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotDir {
    path: PathBuf,
}

impl SnapshotDir {
    /// The snapshots in a folder.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a snapshot durably and removes all but the `keep` newest.
    pub(crate) fn write(
        &self,
        snapshot: &Snapshot,
        layout: &Layout,
        keep: usize,
    ) -> Result<(), SnapshotError> {
        let bytes = encode_tensors(snapshot, layout);
        let version = snapshot.state.version.0;
        let digest = Digest::of(&bytes).to_string();
        let tensors_file = format!("v{version:012}-{}.safetensors", &digest[..16]);
        let adam = snapshot.optimizer.adam_state();
        let manifest = StoredState::new(
            &snapshot.state,
            adam,
            snapshot.params_digest,
            (tensors_file.clone(), &bytes),
        );
        let put = |path: PathBuf, bytes: &[u8]| {
            atomic::write(&path, bytes).map_err(|source| SnapshotError::Io { path, source })
        };
        put(self.path.join(&tensors_file), &bytes)?;
        put(self.manifest_path(version), manifest.seal().as_bytes())?;
        self.remove_old(keep)
    }

    /// The newest snapshot whose files are as they were written and fit the run; none if there is none.
    /// Damaged ones are set aside, so that they are neither listed nor counted any more.
    pub(crate) fn load_newest(&self, run: &Run) -> Result<Option<Snapshot>, SnapshotError> {
        let versions = self.versions()?;
        for &version in versions.iter().rev() {
            match self.load(version, run) {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(SnapshotError::Io { path, source })
                    if source.kind() != io::ErrorKind::NotFound =>
                {
                    // It may be readable again tomorrow: going back now would lose steps for nothing.
                    return Err(SnapshotError::Io { path, source });
                }
                Err(error) => {
                    warn!(run = run.name, version, %error, "snapshot unusable, trying an older one");
                    self.set_aside(version)?;
                }
            }
        }
        if versions.is_empty() {
            return Ok(None);
        }
        Err(SnapshotError::NoneUsable {
            path: self.path.clone(),
        })
    }

    fn set_aside(&self, version: u64) -> Result<(), SnapshotError> {
        let path = self.manifest_path(version);
        std::fs::rename(&path, path.with_extension("damaged"))
            .map_err(|source| SnapshotError::Io { path, source })
    }

    /// All snapshots with a readable manifest, newest first.
    pub(crate) fn list(&self) -> Result<Vec<SnapshotInfo>, SnapshotError> {
        let versions = self.versions()?;
        let manifests = versions
            .into_iter()
            .rev()
            .filter_map(|v| self.manifest(v).ok());
        let info = |manifest: StoredState| SnapshotInfo {
            version: manifest.version(),
            params_digest: manifest.params_digest,
            bytes: manifest.tensors_bytes,
        };
        Ok(manifests.map(info).collect())
    }

    /// The parameters of a snapshot.
    pub(crate) fn params(
        &self,
        version: ParamVersion,
        layout: &Layout,
    ) -> Result<Vec<f32>, SnapshotError> {
        let manifest = self.manifest(version.0)?;
        self.with_tensors(&manifest, |tensors| flat(tensors, MASTER, layout))
    }

    fn load(&self, version: u64, run: &Run) -> Result<Snapshot, SnapshotError> {
        let manifest = self.manifest(version)?;
        let damaged = |problem: String| SnapshotError::Damaged {
            path: self.manifest_path(version),
            problem,
        };
        let (state, adam) = manifest.restore().map_err(damaged)?;
        let layout = run.graph().layout;
        let exponents = Exponents::restore(state.exponents.clone(), state.exponent_rises.clone());
        if exponents.is_none_or(|all| all.current().len() != layout.tensors().len()) {
            return Err(damaged("its exponents do not fit the model".to_owned()));
        }
        let slots = run.optimizer.slots();
        let (params, slots) = self.with_tensors(&manifest, |tensors| {
            let params = flat(tensors, MASTER, &layout)?;
            let slots: Result<Vec<_>, String> = (0..slots)
                .map(|idx| flat(tensors, &slot_prefix(idx), &layout))
                .collect();
            Ok((params, slots?))
        })?;
        if Digest::of_params(&params) != manifest.params_digest {
            return Err(damaged(
                "the parameters do not have their digest".to_owned(),
            ));
        }
        let optimizer = Optimizer::restore(run.optimizer, layout.len(), slots, adam)
            .ok_or_else(|| damaged("its optimizer state does not fit the run".to_owned()))?;
        Ok(Snapshot {
            state,
            params: params.into(),
            params_digest: manifest.params_digest,
            optimizer,
        })
    }

    fn manifest(&self, version: u64) -> Result<StoredState, SnapshotError> {
        let path = self.manifest_path(version);
        let damaged = |problem: String| SnapshotError::Damaged {
            path: path.clone(),
            problem,
        };
        let bytes = std::fs::read(&path).map_err(|source| SnapshotError::Io {
            path: path.clone(),
            source,
        })?;
        let text = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
        let manifest = StoredState::unseal(&text).map_err(damaged)?;
        if manifest.version().0 != version || manifest.tensors_file.contains(['/', '\\']) {
            return Err(damaged("it belongs to another snapshot".to_owned()));
        }
        Ok(manifest)
    }

    fn with_tensors<T>(
        &self,
        manifest: &StoredState,
        read: impl FnOnce(&SafeTensors<'_>) -> Result<T, String>,
    ) -> Result<T, SnapshotError> {
        let path = self.path.join(&manifest.tensors_file);
        let bytes = std::fs::read(&path).map_err(|source| SnapshotError::Io {
            path: path.clone(),
            source,
        })?;
        let damaged = |problem: String| SnapshotError::Damaged {
            path: path.clone(),
            problem,
        };
        if Digest::of(&bytes) != manifest.tensors_digest {
            return Err(damaged("its digest is wrong".to_owned()));
        }
        let tensors =
            SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        read(&tensors).map_err(damaged)
    }

    fn manifest_path(&self, version: u64) -> PathBuf {
        self.path.join(format!("v{version:012}.json"))
    }

    /// Versions that have a manifest, ascending.
    fn versions(&self) -> Result<BTreeSet<u64>, SnapshotError> {
        let names = self.names()?;
        let version = |name: &String| name.strip_prefix('v')?.strip_suffix(".json")?.parse().ok();
        Ok(names.iter().filter_map(version).collect())
    }

    fn names(&self) -> Result<Vec<String>, SnapshotError> {
        let io_error = |source| SnapshotError::Io {
            path: self.path.clone(),
            source,
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(io_error)? {
            names.extend(entry.map_err(io_error)?.file_name().into_string().ok());
        }
        Ok(names)
    }

    /// Removes all but the newest snapshots, manifests first, and tensors that no manifest names.
    fn remove_old(&self, keep: usize) -> Result<(), SnapshotError> {
        let remove = |path: PathBuf| {
            std::fs::remove_file(&path).map_err(|source| SnapshotError::Io { path, source })
        };
        let versions = self.versions()?;
        let old = versions.len().saturating_sub(keep.max(1));
        for &version in versions.iter().take(old) {
            remove(self.manifest_path(version))?;
        }
        let kept: BTreeSet<String> = versions
            .into_iter()
            .skip(old)
            .filter_map(|version| Some(self.manifest(version).ok()?.tensors_file))
            .collect();
        for name in self.names()? {
            if name.ends_with(".safetensors") && !kept.contains(&name) {
                remove(self.path.join(name))?;
            }
        }
        Ok(())
    }
}

fn slot_prefix(slot_idx: usize) -> String {
    format!("optimizer.{slot_idx}")
}

/// One tensor per parameter tensor, so that other tools can read the file.
fn encode_tensors(snapshot: &Snapshot, layout: &Layout) -> Vec<u8> {
    let slots = snapshot.optimizer.slots().iter().enumerate();
    let vectors = std::iter::once((MASTER.to_owned(), &snapshot.params[..]))
        .chain(slots.map(|(idx, slot)| (slot_prefix(idx), slot.as_slice())));
    let little_endian: Vec<(String, Vec<u8>)> = vectors
        .map(|(prefix, values)| (prefix, crate::params::to_bytes(values)))
        .collect();
    let views = little_endian.iter().flat_map(|(prefix, bytes)| {
        layout.tensors().iter().map(move |tensor| {
            let range = tensor.offset * 4..(tensor.offset + tensor.len) * 4;
            let view = TensorView::new(Dtype::F32, tensor.shape.clone(), &bytes[range]);
            let view = view.expect("the layout gives shape and length");
            (format!("{prefix}.{}", tensor.name), view)
        })
    });
    safetensors::serialize(views, None).expect("names are unique and the header is small")
}

fn flat(tensors: &SafeTensors<'_>, prefix: &str, layout: &Layout) -> Result<Vec<f32>, String> {
    let mut values = Vec::with_capacity(layout.len());
    for tensor in layout.tensors() {
        let name = format!("{prefix}.{}", tensor.name);
        let view = tensors
            .tensor(&name)
            .map_err(|error| format!("{name}: {error}"))?;
        if view.dtype() != Dtype::F32 || view.shape() != tensor.shape {
            return Err(format!(
                "{name} is {:?} of shape {:?} instead of F32 of shape {:?}",
                view.dtype(),
                view.shape(),
                tensor.shape
            ));
        }
        values.extend(
            view.data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        );
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(idx) => Err(format!("value {idx} of {prefix} is not finite")),
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::scratch::Scratch;
    use tabswarm_model::master::{Master, StepInput};

    fn snapshot(run: &Run, version: u64) -> Snapshot {
        let mut master = Master::new(run);
        let tensors = master.layout().tensors().len();
        for step in 0..version {
            let update = vec![step as f32 + 0.1; master.params().len()];
            let input = StepInput {
                exponents: &vec![0; tensors],
                samples: 3,
                rate_factor: 1.0,
            };
            master.apply_f32(&[update], &input).unwrap();
        }
        Snapshot {
            state: RunState {
                version: ParamVersion(version),
                ..RunState::fresh(run)
            },
            params: master.params().clone(),
            params_digest: Digest::of_params(master.params()),
            optimizer: master.optimizer().clone(),
        }
    }

    fn written(name: &str, versions: &[u64], keep: usize) -> (Scratch, SnapshotDir, Run) {
        let scratch = Scratch::new(name);
        let run = fixture::run();
        let dir = SnapshotDir::new(scratch.path().to_owned());
        for &version in versions {
            dir.write(&snapshot(&run, version), &run.graph().layout, keep)
                .unwrap();
        }
        (scratch, dir, run)
    }

    #[test]
    fn a_snapshot_comes_back_bit_by_bit() {
        let (_scratch, dir, run) = written("snapshot-back", &[2, 5, 5], 3);
        let back = dir.load_newest(&run).unwrap().unwrap();
        let expected = snapshot(&run, 5);
        assert_eq!(back.state, expected.state);
        assert_eq!(back.params, expected.params);
        assert_eq!(back.optimizer, expected.optimizer);
        let params = dir.params(ParamVersion(2), &run.graph().layout).unwrap();
        assert_eq!(Digest::of_params(&params), snapshot(&run, 2).params_digest);
    }

    #[test]
    fn the_newest_are_kept() {
        let (scratch, dir, _run) = written("snapshot-keep", &[1, 2, 3, 4], 2);
        let versions: Vec<u64> = dir
            .list()
            .unwrap()
            .iter()
            .map(|info| info.version.0)
            .collect();
        assert_eq!(versions, [4, 3]);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 4);
    }

    #[test]
    fn nothing_begins_again_while_there_are_damaged_snapshots() {
        let (_scratch, dir, run) = written("snapshot-none-usable", &[1], 3);
        for name in dir.names().unwrap() {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        let message = dir.load_newest(&run).unwrap_err().to_string();
        assert!(message.contains("backup"), "{message}");
    }

    #[test]
    fn damage_falls_back_to_an_older_snapshot() {
        let damages: [fn(&Path); 4] = [
            |tensors| std::fs::remove_file(tensors).unwrap(),
            |tensors| {
                let mut bytes = std::fs::read(tensors).unwrap();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                std::fs::write(tensors, bytes).unwrap();
            },
            |tensors| std::fs::write(tensors, b"").unwrap(),
            |tensors| {
                let manifest = tensors.with_file_name("v000000000002.json");
                let text = std::fs::read_to_string(&manifest).unwrap();
                std::fs::write(&manifest, text.replace("\"version\":2", "\"version\":7")).unwrap();
            },
        ];
        for (idx, damage) in damages.into_iter().enumerate() {
            let (_scratch, dir, run) = written(&format!("snapshot-damage-{idx}"), &[1, 2], 3);
            let names = dir.names().unwrap();
            let newest = names
                .iter()
                .find(|name| name.starts_with("v000000000002-"))
                .unwrap();
            damage(&dir.path().join(newest));
            let back = dir.load_newest(&run).unwrap().unwrap();
            assert_eq!(back.state.version, ParamVersion(1), "damage {idx}");
            assert_eq!(dir.list().unwrap().len(), 1, "damage {idx}");
        }
    }
}
