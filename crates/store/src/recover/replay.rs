//! Applying logged steps to a master again, each checked by its digest.

use tabswarm_coordinator::{Change, Settings, StepChange};
use tabswarm_model::Run;
use tabswarm_model::master::{AppliedSums, Master, StepInput};
use tabswarm_model::run_file::Codec;
use tabswarm_protocol::ParamVersion;

use super::{PathStep, Places, ReplayedStep};
use crate::error::StoreError;
use crate::log::reader::{self, Located, Scan};
use crate::log::segment;

/// A master on its way from a base to a later version.
pub(super) struct Replay<'a> {
    pub(super) places: Places<'a>,
    pub(super) scan: &'a Scan,
    /// With the settings that hold where the master is.
    pub(super) run: &'a Run,
    /// Those that come later, oldest first.
    pub(super) settings: &'a [Settings],
    pub(super) master: Master,
}

impl Replay<'_> {
    /// Replays steps, which all have their sums in the log.
    pub(super) fn steps(
        &mut self,
        steps: &[PathStep],
        mut replayed: impl FnMut(ReplayedStep),
    ) -> Result<(), StoreError> {
        for path_step in steps {
            let located = &self.scan.entries[&path_step.sequence];
            let Some(Change::Step(step)) = located.entry.as_ref().map(|entry| &entry.change) else {
                unreachable!("the path has steps only")
            };
            self.settle(ParamVersion(step.version.0 - 1))?;
            self.step(located, step)?;
            replayed(ReplayedStep {
                version: step.version,
                loss_q20: step.loss_q20,
                samples: step.samples,
            });
        }
        Ok(())
    }

    /// Takes over the settings that hold at a version, one after the other as it was then.
    pub(super) fn settle(&mut self, version: ParamVersion) -> Result<(), StoreError> {
        while let Some((next, later)) = self.settings.split_first()
            && next.version() <= version
        {
            if next.run.model != self.run.model {
                return Err(StoreError::Damaged {
                    path: self.scan.dir.clone(),
                    problem: format!(
                        "the settings for version {} have another model",
                        next.version()
                    ),
                    dir: self.places.dir.to_owned(),
                });
            }
            self.master = self.master.changed(self.run, &next.run);
            self.run = &next.run;
            self.settings = later;
        }
        Ok(())
    }

    fn step(&mut self, located: &Located, step: &StepChange) -> Result<(), StoreError> {
        let sequence = located.header.sequence;
        let damaged = |problem: String| StoreError::Damaged {
            path: self.scan.dir.join(segment::name(located.segment)),
            problem: format!("entry {sequence}: {problem}"),
            dir: self.places.dir.to_owned(),
        };
        let bytes = reader::read_record(self.places.disk, &self.scan.dir, located)?;
        let sums = located.record(&bytes).sums(self.master.params().len());
        let sums = sums
            .map_err(damaged)?
            .ok_or_else(|| damaged("its sums are missing".to_owned()))?;
        check_shape(self.run, &self.master, step, &sums).map_err(damaged)?;
        let input = StepInput {
            exponents: &step.exponents,
            divisor: step.divisor,
            rate_factor: step.rate_factor,
        };
        match self.master.replay(sums, &input) {
            Ok(report) if report.digest == step.digest => Ok(()),
            Ok(_) | Err(_) => Err(StoreError::ReplayDiffers {
                version: step.version.0,
                dir: self.places.dir.to_owned(),
            }),
        }
    }
}

fn check_shape(
    run: &Run,
    master: &Master,
    step: &StepChange,
    sums: &AppliedSums,
) -> Result<(), String> {
    let tensors = master.layout().tensors().len();
    let fits = match (sums, run.codec) {
        (AppliedSums::Exact(_), Codec::Exact) => step.exponents.len() == tensors,
        (AppliedSums::F32(_), Codec::F32) => true,
        _ => false,
    };
    if !fits || step.next_exponents.len() != tensors || step.next_rises.len() != tensors {
        return Err("its sums or exponents do not fit the run file".to_owned());
    }
    Ok(())
}
