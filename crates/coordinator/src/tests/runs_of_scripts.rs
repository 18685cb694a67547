//! The runs that scripts name, as they are created or put in another's place.

use std::sync::Arc;

use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::ParamVersion;

use super::script::{Words, number};
use crate::input::{Input, NewRun};
use crate::log_entry::LogEntry;
use crate::phase::RunPhase;
use crate::run_state::RunState;

/// A run at a version, with settings of its own where they are given: `create`'s and then `to=mode`.
pub(super) fn replace(words: &Words<'_>, version: ParamVersion) -> Input {
    let base = run_of(words);
    let missing = words.option("missing").map(|position| number(position, 0));
    let mut state = RunState {
        sequence: 1_000,
        version,
        phase: RunPhase::Paused,
        samples_committed: 8 * version.0,
        samples_verified: 1_000,
        exponents: vec![7; 2],
        exponent_rises: vec![0; 2],
        missing_batches: missing.into_iter().collect(),
        credits: vec![(Digest::of(&[1; 32]), 1_000)],
        settings: Vec::new(),
    };
    if let Some(mode) = words.option("to") {
        let mode = format!("sync = {{ mode = {mode:?} }}\n");
        let to = Run::from_toml(&(run_text(words) + &mode)).unwrap();
        for change in state.change_settings(&base, &to, 20).unwrap() {
            let sequence = state.sequence + 1;
            state.apply(&LogEntry { sequence, change }).unwrap();
        }
    }
    Input::Replace {
        run_id: words.run_id(1),
        run: Arc::new(state.run(&base).clone()),
        state: Box::new(state),
        params_digest: Digest([3; 32]),
    }
}

fn mode(words: &Words<'_>) -> String {
    let staleness = words
        .option("staleness")
        .map(|staleness| format!("sync = {{ mode = \"async\", staleness_max = {staleness} }}\n"));
    let local = words.option("shards").map(|shards| {
        let inner = words.option_or("inner", 2);
        let quorum = words.option("quorum").unwrap_or(shards);
        format!(
            "sync = {{ mode = \"local\", shards = {shards}, inner_steps = {inner}, quorum = {quorum}, round_timeout_ms = 10000 }}\n"
        )
    });
    staleness.or(local).unwrap_or_default()
}

fn run_text(words: &Words<'_>) -> String {
    let run_id = words.run_id(1);
    let names = ["letters", "digits"];
    let default = names[run_id.0 as usize % 2];
    let name = words.option("name").unwrap_or(default);
    format!(
        "name = {name:?}\nseed = 1\ndata = {{ format = \"idx\", path = \"d\" }}\n\
         model = {{ input = [2], layers = [{{ kind = \"dense\", units = 2 }}], loss = \"softmax_cross_entropy\" }}\n\
         train = {{ epochs = {}, micro_batch = 2, global_batch = 8 }}\n\
         optimizer = {{ kind = \"sgd\", learning_rate = 0.1 }}\nschedule = {{ decay = {{ kind = \"square\" }} }}\n\
         numeric = {{ reproducible = false, class = {:?}, codec = {:?}, precision = {:?} }}\n\
         evaluation = {{ every_steps = {} }}\nsnapshot = {{ every_steps = {} }}\n",
        words.option_or("epochs", 1),
        words.option("class").unwrap_or("portable"),
        words.option("codec").unwrap_or("exact"),
        words.option("precision").unwrap_or("single"),
        words.option_or("evaluate", 100),
        words.option_or("snapshot", 100),
    )
}

fn run_of(words: &Words<'_>) -> Run {
    let text = run_text(words) + &mode(words);
    Run::from_toml(&text).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn create(words: &Words<'_>) -> Input {
    let run_id = words.run_id(1);
    let run = run_of(words);
    let mut state = RunState::fresh(&run);
    if let Some(version) = words.option("from") {
        state.version = ParamVersion(number(version, 1));
        state.phase = RunPhase::Running;
        state.samples_committed = 8 * state.version.0;
        state.samples_verified = state.samples_committed;
        state.credits = vec![(Digest::of(&[1; 32]), state.samples_committed)];
    }
    Input::CreateRun(Box::new(NewRun {
        run_id,
        run: Arc::new(run),
        dataset: Digest([2; 32]),
        samples: 20,
        state,
        params_digest: Digest([0; 32]),
    }))
}
