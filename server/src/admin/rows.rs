//! Pages of what the ledger has.

use tabswarm_protocol::RunId;
use tracing::error;

use crate::api::runs::no_run;
use crate::app::App;
use crate::ledger::limits::MAX_ROWS;
use crate::ledger::{Ledger, LedgerError};
use crate::problem::Problem;
use crate::view::View;

/// Rows of a page where the question does not say.
const DEFAULT_ROWS: u32 = 100;

/// The ledger, if it answers.
pub(super) fn ledger(app: &App) -> Result<&Ledger, Problem> {
    app.ledger.read().map_err(|reason| {
        let detail = format!("There are no answers from the ledger now: {reason}.");
        Problem::ledger_off(detail)
    })
}

/// The rows of a page.
pub(super) fn checked(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(DEFAULT_ROWS) {
        limit if (1..=MAX_ROWS).contains(&limit) => Ok(limit),
        limit => {
            let detail = format!("limit is {limit}; it can be 1 to {MAX_ROWS}.");
            Err(Problem::bad_query(detail))
        }
    }
}

/// The cursor behind a page; none where it is the last one, which a page that is not full always is.
pub(super) fn next<T, C>(limit: u32, page: &[T], cursor: impl Fn(&T) -> C) -> Option<C> {
    let is_full = page.len() >= limit as usize;
    page.last().filter(|_| is_full).map(cursor)
}

/// The run of a name, if one was given.
pub(super) fn run_of(view: &View, name: Option<&str>) -> Result<Option<RunId>, Problem> {
    let Some(name) = name else { return Ok(None) };
    let run = view.run(name).ok_or_else(|| no_run(name))?;
    Ok(Some(run.facts.run_id))
}

/// The name of a run, while it is hosted.
pub(super) fn name_of(view: &View, run_id: RunId) -> Option<String> {
    let run = view.runs.iter().find(|run| run.facts.run_id == run_id)?;
    Some(run.facts.run.name.clone())
}

/// The ledger can't be read.
pub(super) fn unreadable(error: &LedgerError) -> Problem {
    error!(%error, "the ledger can't be read");
    Problem::internal()
}
