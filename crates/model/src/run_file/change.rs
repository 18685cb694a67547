//! Changing a run's settings while it rests.
//!
//! What samples, model and batches are can't change: it is what a version means. How versions are made of
//! batches, and what is done with a gradient, can. The changed run says where it begins ([`Origin`]), so that
//! it alone tells which batches are left.

use serde::{Deserialize, Serialize};

use super::raw::RawRun;
use super::validate::{self, Check};
use super::{MAX_RUN_JSON_BYTES, Mistake, Mode, Run, RunFileError, check_length};

/// Most batches that later ones may have overtaken when settings are changed: all of them are listed.
pub const MAX_MISSING_BATCHES: usize = 2_048;

/// Where settings begin to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The version after which they hold.
    pub version: u64,
    /// Batches in the versions up to it.
    pub batches: u64,
    /// Batches that later ones had overtaken, ascending: they come first now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<u64>,
}

impl Origin {
    /// Whether nothing was before.
    pub fn is_beginning(&self) -> bool {
        *self == Self::default()
    }
}

/// An origin is what the server adds when it records a change.
#[cfg(feature = "toml")]
pub(super) fn written_origin() -> RunFileError {
    RunFileError::Invalid {
        mistakes: vec![Mistake {
            place: "origin".to_owned(),
            problem: "a run begins where the server says".to_owned(),
            remedy: "leave it out".to_owned(),
        }],
    }
}

impl Check {
    pub(super) fn origin(&mut self, origin: &Origin) {
        let missing = &origin.missing;
        let end = origin.batches.saturating_add(missing.len() as u64);
        let holds = missing.len() <= MAX_MISSING_BATCHES
            && missing.is_sorted_by(|a, b| a < b)
            && missing.last().is_none_or(|last| *last < end);
        let problem = "its missing batches can't be those of a run".to_owned();
        let remedy = "restore what the server wrote";
        self.require(holds, "origin.missing", problem, remedy);
    }
}

impl Run {
    /// This run with an operator's changes, from `origin` on.
    ///
    /// # Errors
    /// [`RunFileError::Invalid`] with all that can't be changed in a run that has begun.
    pub fn changed(&self, to: &Self, origin: Origin) -> Result<Self, RunFileError> {
        let (old, new) = (&self.raw, &to.raw);
        let reproducible = |raw: &RawRun| raw.numeric.reproducible;
        let fixed = [
            ("name", old.name == new.name),
            ("seed", old.seed == new.seed),
            ("data", old.data == new.data),
            ("model", old.model == new.model),
            (
                "train.micro_batch",
                old.train.micro_batch == new.train.micro_batch,
            ),
            (
                "train.global_batch",
                old.train.global_batch == new.train.global_batch,
            ),
        ];
        let mut mistakes: Vec<Mistake> = fixed
            .into_iter()
            .filter(|(_, is_same)| !is_same)
            .map(|(place, _)| Mistake {
                place: place.to_owned(),
                problem: "it can't change in a run that has begun".to_owned(),
                remedy: "leave it as it was, or create another run".to_owned(),
            })
            .collect();
        if reproducible(new) && !reproducible(old) {
            mistakes.push(Mistake {
                place: "numeric.reproducible".to_owned(),
                problem: "what was done so far does not follow from the run file".to_owned(),
                remedy: "leave it false, or create another run".to_owned(),
            });
        }
        if !mistakes.is_empty() {
            return Err(RunFileError::Invalid { mistakes });
        }
        let run = validate::validate(RawRun {
            origin,
            ..new.clone()
        })?;
        check_length(&run.to_json(), MAX_RUN_JSON_BYTES)?;
        Ok(run)
    }

    /// The same settings for a run of another name.
    ///
    /// # Errors
    /// [`RunFileError::Invalid`] where it is no name.
    pub fn renamed(&self, name: &str) -> Result<Self, RunFileError> {
        validate::validate(RawRun {
            name: name.to_owned(),
            ..self.raw.clone()
        })
    }

    /// Whether the state of the master's optimizer means the same with other settings: that of gradients is of
    /// no use for what rounds move.
    pub fn keeps_optimizer_state(&self, to: &Self) -> bool {
        let same_slots = self.master_optimizer().slots() == to.master_optimizer().slots();
        same_slots && self.has_rounds_of_shards() == to.has_rounds_of_shards()
    }

    /// Whether exponents of this run's leases, of fixed point or of the loss's scale, fit those with other settings.
    pub fn keeps_exponents(&self, to: &Self) -> bool {
        self.codec == to.codec
            && self.precision == to.precision
            && self.has_rounds_of_shards() == to.has_rounds_of_shards()
    }

    fn has_rounds_of_shards(&self) -> bool {
        matches!(self.mode, Mode::Local(_))
    }
}
