//! Which steps count, from entries alone.

use tabswarm_coordinator::{Change, LogEntry, Rollback, RunPhase, RunState, StepChange};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::ParamVersion;

use super::Base;
use super::plan::{Plan, PlanError, plan};
use crate::tests::life::run_of;

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// A step with its sums.
    Step,
    /// A step without.
    Decision,
    /// Back to a version.
    Back(u64),
    Phase(RunPhase),
}

fn digest(version: u64) -> Digest {
    Digest::of(&version.to_le_bytes())
}

fn base_at(version: u64) -> RunState {
    RunState {
        sequence: 100,
        version: ParamVersion(version),
        samples_committed: 10 * version,
        samples_verified: 10 * version,
        ..RunState::fresh(&run_of(0))
    }
}

fn follow(version: u64, all: &[Then]) -> Result<Plan, PlanError> {
    let state = base_at(version);
    let mut at = version;
    let mut entries = Vec::new();
    for (sequence, then) in (101..).zip(all) {
        let change = match *then {
            Then::Step | Then::Decision => {
                at += 1;
                Change::Step(StepChange {
                    version: ParamVersion(at),
                    batch: 0,
                    samples: 10,
                    divisor: 10,
                    loss_q20: 0,
                    exponents: Vec::new(),
                    rate_factor: 1.0,
                    digest: digest(at),
                    next_exponents: vec![i8::try_from(at).unwrap(); 4],
                    next_rises: vec![0; 4],
                    credits: vec![(Digest([1; 32]), 10)],
                })
            }
            Then::Back(to) => {
                at = to;
                Change::RolledBack(Rollback {
                    version: ParamVersion(to),
                    digest: digest(to),
                    samples_committed: 10 * to,
                    exponents: vec![i8::try_from(to).unwrap(); 4],
                    exponent_rises: vec![0; 4],
                    missing_batches: Vec::new(),
                })
            }
            Then::Phase(phase) => Change::Phase {
                phase,
                reason: None,
            },
        };
        entries.push((
            LogEntry { sequence, change },
            !matches!(then, Then::Decision),
        ));
    }
    let base = Base {
        state: &state,
        digest: digest(version),
    };
    plan(&base, entries.iter().map(|(entry, has)| (entry, *has)))
}

/// Versions that the replayed steps make, the last version, and the samples committed and verified.
fn outline(plan: &Plan) -> (Vec<u64>, u64, u64, u64) {
    let versions = plan.replayable().iter().map(|step| step.at.version.0);
    let state = &plan.state;
    let samples = (state.samples_committed, state.samples_verified);
    (versions.collect(), state.version.0, samples.0, samples.1)
}

#[test]
fn discarded_steps_are_credited_but_not_replayed() {
    use Then::{Back, Step};
    let plan = follow(3, &[Step, Step, Step, Back(4), Step]).unwrap();
    assert_eq!(outline(&plan), (vec![4, 5], 5, 50, 70));
    assert_eq!(plan.state.credits, [(Digest([1; 32]), 40)]);
    assert_eq!(plan.correction(), []);
    let plan = follow(3, &[Step, Back(3)]).unwrap();
    assert_eq!(outline(&plan), (vec![], 3, 30, 40));
}

#[test]
fn a_rollback_behind_the_base_needs_an_older_one() {
    let error = follow(3, &[Then::Step, Then::Back(2), Then::Step]).unwrap_err();
    assert_eq!(error, PlanError::NeedsOlder);
}

#[test]
fn a_rollback_to_what_is_not_there_is_an_error() {
    let error = follow(3, &[Then::Step, Then::Back(6)]).unwrap_err();
    assert!(
        matches!(error, PlanError::Inconsistent { sequence: 102, .. }),
        "{error:?}"
    );
}

#[test]
fn without_sums_the_run_goes_back_and_keeps_its_credits() {
    use Then::{Decision, Phase, Step};
    let plan = follow(3, &[Step, Decision, Decision, Phase(RunPhase::Finished)]).unwrap();
    assert_eq!(outline(&plan), (vec![4], 6, 60, 60));
    let mut state = plan.state.clone();
    for entry in plan.correction() {
        state.apply(&entry).unwrap();
    }
    assert_eq!(
        (
            state.version.0,
            state.samples_committed,
            state.samples_verified
        ),
        (4, 40, 60)
    );
    assert_eq!((state.phase, state.sequence), (RunPhase::Running, 106));
    assert_eq!(state.exponents, [4; 4]);
}
