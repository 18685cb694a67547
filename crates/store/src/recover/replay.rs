//! Applying logged steps to a master again, each checked by its digest.

use tabswarm_coordinator::{Change, StepChange};
use tabswarm_model::Run;
use tabswarm_model::master::{AppliedSums, Master, StepInput};
use tabswarm_model::run_file::Codec;

use super::{PathStep, Places, ReplayedStep};
use crate::error::StoreError;
use crate::log::reader::{self, Scan};
use crate::log::segment;

/// Replays steps, which all have their sums in the log.
pub(super) fn replay(
    places: Places<'_>,
    run: &Run,
    scan: &Scan,
    (master, steps): (&mut Master, &[PathStep]),
    mut replayed: impl FnMut(ReplayedStep),
) -> Result<(), StoreError> {
    for path_step in steps {
        let located = &scan.entries[&path_step.sequence];
        let Some(Change::Step(step)) = located.entry.as_ref().map(|entry| &entry.change) else {
            unreachable!("the path has steps only")
        };
        let damaged = |problem: String| StoreError::Damaged {
            path: scan.dir.join(segment::name(located.segment)),
            problem: format!("entry {}: {problem}", path_step.sequence),
            dir: places.dir.to_owned(),
        };
        let bytes = reader::read_record(places.disk, &scan.dir, located)?;
        let sums = located.record(&bytes).sums(master.params().len());
        let sums = sums
            .map_err(damaged)?
            .ok_or_else(|| damaged("its sums are missing".to_owned()))?;
        check_shape(run, master, step, &sums).map_err(damaged)?;
        let input = StepInput {
            exponents: &step.exponents,
            divisor: step.divisor,
            rate_factor: step.rate_factor,
        };
        let differs = || StoreError::ReplayDiffers {
            version: step.version.0,
            dir: places.dir.to_owned(),
        };
        match master.replay(sums, &input) {
            Ok(report) if report.digest == step.digest => {}
            Ok(_) | Err(_) => return Err(differs()),
        }
        replayed(ReplayedStep {
            version: step.version,
            loss_q20: step.loss_q20,
            samples: step.samples,
        });
    }
    Ok(())
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
