//! Other settings for a run that rests.

use expect_test::expect;
use tabswarm_model::Run;
use tabswarm_protocol::ParamVersion;

use super::check;
use crate::change::SettingsError;
use crate::log_entry::{Change, LogEntry, ReplayError, Rollback};
use crate::phase::RunPhase;
use crate::run_state::RunState;

/// 20 samples in batches of 8, 8 and 4.
const SAMPLES: u32 = 20;

fn run(rest: &str) -> Run {
    let text = format!(
        "name = \"digits\"\nseed = 1\ndata = {{ format = \"idx\", path = \"d\" }}\n\
         model = {{ input = [2], layers = [{{ kind = \"dense\", units = 2 }}], loss = \"softmax_cross_entropy\" }}\n\
         optimizer = {{ kind = \"sgd\", learning_rate = 0.1 }}\n{rest}"
    );
    Run::from_toml(&text).unwrap_or_else(|error| panic!("{error}"))
}

const TRAIN: &str = "train = { epochs = 2, micro_batch = 2, global_batch = 8 }\n";
const FREE: &str = "numeric = { reproducible = false }\n";

fn asynchronous() -> String {
    format!("{TRAIN}{FREE}sync = {{ mode = \"async\" }}\n")
}

fn paused(base: &Run, version: u64) -> RunState {
    RunState {
        version: ParamVersion(version),
        phase: RunPhase::Paused,
        exponents: vec![7; 2],
        ..RunState::fresh(base)
    }
}

fn apply(state: &mut RunState, changes: Vec<Change>) {
    for change in changes {
        let sequence = state.sequence + 1;
        state.apply(&LogEntry { sequence, change }).unwrap();
    }
}

#[test]
fn a_change_begins_where_the_run_is_and_lists_what_is_late() {
    let base = run(&asynchronous());
    let mut state = paused(&base, 2);
    state.missing_batches = vec![0];
    let to = run(&format!("{TRAIN}{FREE}"));
    let changes = state.change_settings(&base, &to, SAMPLES).unwrap();
    apply(&mut state, changes);
    let origin = &state.run(&base).origin;
    assert_eq!((origin.version, origin.batches), (2, 2));
    assert_eq!(origin.missing, [0]);
    assert_eq!((state.missing_batches.len(), state.next_position()), (0, 2));
    // Both count in gradients, so what is known of their size holds.
    assert_eq!(state.exponents, [7, 7]);
    // The same again is nothing to record.
    assert_eq!(state.change_settings(&base, &to, SAMPLES), Ok(Vec::new()));
}

#[test]
fn updates_of_another_kind_have_exponents_of_their_own() {
    let base = run(TRAIN);
    let mut state = paused(&base, 1);
    let local = format!("{TRAIN}sync = {{ mode = \"local\", shards = 2, inner_steps = 1 }}\n");
    let changes = state.change_settings(&base, &run(&local), SAMPLES).unwrap();
    apply(&mut state, changes);
    assert_eq!(state.exponents, RunState::fresh(&base).exponents);
}

#[test]
fn going_back_behind_a_change_takes_it_back_too() {
    let base = run(TRAIN);
    let mut state = paused(&base, 3);
    let slower = format!("{TRAIN}schedule = {{ decay = {{ kind = \"cosine\" }} }}\n");
    let changes = state
        .change_settings(&base, &run(&slower), SAMPLES)
        .unwrap();
    apply(&mut state, changes);
    let back_to = |version: u64| {
        Change::RolledBack(Rollback {
            version: ParamVersion(version),
            digest: tabswarm_model::digest::Digest([0; 32]),
            samples_committed: 0,
            exponents: vec![7; 2],
            exponent_rises: vec![0; 2],
            missing_batches: Vec::new(),
        })
    };
    apply(&mut state, vec![back_to(3)]);
    assert_eq!(state.settings.len(), 1);
    apply(&mut state, vec![back_to(2)]);
    assert_eq!(state.run(&base), &base);
    assert_eq!(state.next_position(), 2);
}

#[test]
fn settings_of_another_version_are_refused_and_change_nothing() {
    let base = run(TRAIN);
    let longer = run("train = { epochs = 9, micro_batch = 2, global_batch = 8 }\n");
    let mut changes = paused(&base, 3)
        .change_settings(&base, &longer, SAMPLES)
        .unwrap();
    let mut other = paused(&base, 2);
    let entry = LogEntry {
        sequence: 1,
        change: changes.remove(0),
    };
    let expected = ReplayError::Origin { last: 2, got: 3 };
    assert_eq!(other.apply(&entry), Err(expected));
    assert_eq!(other, paused(&base, 2));
}

#[test]
fn a_finished_run_goes_on_where_its_settings_leave_more_to_do() {
    let base = run(TRAIN);
    let mut state = paused(&base, 6);
    state.phase = RunPhase::Finished;
    let longer = run("train = { epochs = 3, micro_batch = 2, global_batch = 8 }\n");
    let changes = state.change_settings(&base, &longer, SAMPLES).unwrap();
    apply(&mut state, changes);
    assert_eq!(state.phase, RunPhase::Paused);
}

#[test]
fn what_a_version_means_can_not_change() {
    let base = run(&asynchronous());
    let other = "train = { epochs = 2, micro_batch = 4, global_batch = 16 }\n";
    let refused = |state: &RunState, to: &Run| {
        let error = state.change_settings(&base, to, SAMPLES).unwrap_err();
        error.to_string()
    };
    let state = paused(&base, 2);
    expect![[r"
        train.micro_batch: it can't change in a run that has begun; leave it as it was, or create another run
        train.global_batch: it can't change in a run that has begun; leave it as it was, or create another run
        numeric.reproducible: what was done so far does not follow from the run file; leave it false, or create another run"]]
    .assert_eq(&refused(&state, &run(other)));
    let shorter = "train = { epochs = 1, micro_batch = 2, global_batch = 8 }\n";
    let shorter = run(&format!("{shorter}{FREE}"));
    expect!["train.epochs: the run has 3 batches behind it, which is all that 1 epochs have; write more, or stop the run"]
        .assert_eq(&refused(&paused(&base, 3), &shorter));
    let running = RunState {
        phase: RunPhase::Running,
        ..paused(&base, 1)
    };
    expect!["the run is running; settings change while it is created, paused or finished"]
        .assert_eq(&refused(&running, &shorter));
    let mut late = paused(&base, 1);
    late.missing_batches = (0..3_000).collect();
    assert!(matches!(
        late.change_settings(&base, &shorter, SAMPLES),
        Err(SettingsError::TooManyMissing { missing: 3_000 })
    ));
}

#[test]
fn workers_load_a_changed_run_again_and_do_what_is_left() {
    check(
        "create r1 staleness=2 epochs=2; start r1; c1 join r1; c2 join r1; wait 10
         c2 update l2 0+4; applied r1 v1; pause r1; durable r1 v0; durable r1 v1
         replace r1 v1 staleness=2 epochs=2 missing=0 to=sync; start r1; c1 ready r1; c1 update l5 0+1",
        expect![[r#"
            create r1 staleness=2 epochs=2
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+4 of batch 0 e[100, 100] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 0+4 of batch 1 e[100, 100] 30000 ms
              # granted l2 w2
            wait 10
            c2 update l2 0+4
              # accepted l2 w2 8
              accumulate r1 from 0: 100
              apply r1 v1: 8 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              c2 <- params r1 v1
              c2 <- lease l3 v1 0+2 of batch 2 e[100, 100] 2040 ms
              # granted l3 w2
              c2 <- lease l4 v1 0+4 of batch 3 e[100, 100] 2040 ms
              # granted l4 w2
              c2 <- receipt l2 Accepted { samples: 8 }
            pause r1
              # phase r1 paused
              c1 <- revoke l1 RunPaused
              c2 <- revoke l3 RunPaused
              c2 <- revoke l4 RunPaused
              c1 <- idle RunPaused
              c2 <- idle RunPaused
            durable r1 v0
              snapshot r1 Paused: v1 paused, 8 samples, credits [8]
            durable r1 v1
            replace r1 v1 staleness=2 epochs=2 missing=0 to=sync
              reset r1
              # settings r1 v1
              # phase r1 paused
              c1 <- run r1
              c1 <- idle RunPaused
              c2 <- run r1
              c2 <- idle RunPaused
            start r1
              # phase r1 running
              snapshot r1 Started: v1 running, 8 samples, credits [1000]
            c1 ready r1
              c1 <- params r1 v1
              c1 <- lease l5 v1 0+1 e[7, 7] 30000 ms
              # granted l5 w1
            c1 update l5 0+1
              # accepted l5 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l6 v1 1+3 e[7, 7] 2002 ms
              # granted l6 w1
        "#]],
    );
}
