//! What of a run is being worked on: the step in progress, who has which part of it, and how late answers come.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use tabswarm_coordinator::limits::STALENESS_BOUNDS;
use tabswarm_coordinator::{LeaseStatus, RoundStatus, UnitState, WorkStatus};
use tabswarm_model::run_file::Mode;
use utoipa::ToSchema;

use super::problems::{BadRequest, NotFound};
use super::versions::facts;
use crate::actor::{Message, Traffic};
use crate::api::runs::no_run;
use crate::app::App;
use crate::extract::Path;
use crate::http::json;
use crate::problem::Problem;

/// Most leases of an answer: more rows than this nobody reads.
const MAX_LEASES: usize = 1_000;
/// Most parts of a round in an answer: finer ones can't be drawn.
const MAX_PARTS: usize = 2_000;

/// What of a run is being worked on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkJson {
    mode: WorkMode,
    /// Versions committed: what is in progress makes the next one.
    version: u64,
    /// Null where batches make versions as they arrive.
    round: Option<RoundJson>,
    /// Whether a version is being made of what arrived, so that nothing is handed out.
    applying: bool,
    /// Leases that were not answered yet, by id: the first 1,000.
    leases: Vec<LeaseJson>,
    /// All of them.
    n_leases: usize,
    /// Updates accepted since the run is hosted, by how many versions were committed since their base.
    staleness: Vec<StalenessJson>,
    /// Updates rejected as too old since the run is hosted.
    too_stale: u64,
    /// The power of two by which the loss is scaled, in half precision.
    loss_scale_exponent: Option<i8>,
    /// Steps skipped, or batches computed again, for a gradient too large in half precision, since the run is hosted.
    loss_overflows: u64,
    /// Bytes of messages from its workers, since the run is hosted.
    received_bytes: u64,
    /// Bytes of messages to its workers, since the run is hosted.
    sent_bytes: u64,
}

/// How versions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WorkMode {
    /// Of all micro-batches of a global batch; they are the units.
    Sync,
    /// Of each batch as it arrives; there are no rounds.
    Async,
    /// Of rounds of local steps; shards are the units.
    Local,
}

/// A round.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoundJson {
    /// Since it began.
    age_ms: u64,
    /// How often it was begun again because a value did not fit.
    restarts: u32,
    units: u32,
    free: u32,
    leased: u32,
    done: u32,
    /// Its units in their order, those of the same kind that stand together in one part: the first 2,000 parts.
    parts: Vec<PartJson>,
}

/// Units of a round that stand together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartJson {
    count: u32,
    state: PartState,
    /// The lease that has them.
    lease_id: Option<u64>,
}

/// What became of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PartState {
    /// Nobody has them.
    Free,
    /// A lease has them.
    Leased,
    /// They count.
    Done,
}

/// A lease.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LeaseJson {
    lease_id: u64,
    worker_id: String,
    /// Version of its parameters.
    version: u64,
    /// Versions committed since.
    staleness: u64,
    /// Position of the batch whose micro-batches it has.
    position: u64,
    /// Its first unit.
    first: u32,
    /// Its units.
    count: u32,
    /// Since it was granted.
    age_ms: u64,
    /// Until its deadline; 0 where that is over.
    left_ms: u64,
    /// Its deadline passed or its worker is gone: an answer counts while nobody else has its units.
    lapsed: bool,
    /// It repeats what another lease has, to be on the safe side.
    hedge: bool,
}

/// Updates of the same staleness.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StalenessJson {
    /// So many versions or fewer, and more than the line before; null for all that are older.
    at_most: Option<u64>,
    updates: u64,
}

/// Show what of a run is being worked on.
///
/// The round in progress, the leases, how stale updates were, and the bytes of its workers.
#[utoipa::path(
    get, path = "/admin/runs/{name}/work", tag = "runs", operation_id = "show_work",
    params(("name" = String, Path, description = "The run's name.")),
    responses((status = 200, description = "What is being worked on.", body = WorkJson), BadRequest, NotFound)
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let facts = facts(&app, &name)?;
    let run_id = facts.run_id;
    let asked = app.actor.ask(|reply| Message::Work { run_id, reply }).await;
    let found = asked.map_err(|_gone| Problem::going_down())?;
    let (work, traffic) = found.ok_or_else(|| no_run(&name))?;
    let answer = WorkJson::new(mode_of(facts.run.mode), &work, &traffic);
    Ok(json(&headers, &answer))
}

fn mode_of(mode: Mode) -> WorkMode {
    match mode {
        Mode::Sync => WorkMode::Sync,
        Mode::Async { .. } => WorkMode::Async,
        Mode::Local(_) => WorkMode::Local,
    }
}

impl WorkJson {
    fn new(mode: WorkMode, work: &WorkStatus, traffic: &Traffic) -> Self {
        let bounds = STALENESS_BOUNDS.iter().copied().map(Some);
        let staleness = bounds.chain([None]).zip(&work.staleness.updates);
        let shown = work.leases.iter().take(MAX_LEASES);
        Self {
            mode,
            version: work.version.0,
            round: work.round.as_ref().map(RoundJson::new),
            applying: work.applying,
            leases: shown
                .map(|lease| LeaseJson::new(lease, work.version.0))
                .collect(),
            n_leases: work.leases.len(),
            staleness: staleness
                .map(|(at_most, &updates)| StalenessJson { at_most, updates })
                .collect(),
            too_stale: work.too_stale,
            loss_scale_exponent: work.loss_scale_exponent,
            loss_overflows: work.loss_overflows,
            received_bytes: traffic.received_bytes.get(),
            sent_bytes: traffic.sent_bytes.get(),
        }
    }
}

impl RoundJson {
    fn new(round: &RoundStatus) -> Self {
        let state = |state: UnitState| match state {
            UnitState::Free => PartState::Free,
            UnitState::Leased(_) => PartState::Leased,
            UnitState::Done => PartState::Done,
        };
        let units_in = |wanted: PartState| {
            let parts = round.parts.iter();
            let parts = parts.filter(|part| state(part.state) == wanted);
            parts.map(|part| part.count).sum::<u32>()
        };
        let parts = round.parts.iter().take(MAX_PARTS).map(|part| PartJson {
            count: part.count,
            state: state(part.state),
            lease_id: match part.state {
                UnitState::Leased(lease_id) => Some(lease_id.0),
                UnitState::Free | UnitState::Done => None,
            },
        });
        let [free, leased, done] =
            [PartState::Free, PartState::Leased, PartState::Done].map(units_in);
        Self {
            age_ms: round.age_ms,
            restarts: round.restarts,
            units: free + leased + done,
            free,
            leased,
            done,
            parts: parts.collect(),
        }
    }
}

impl LeaseJson {
    fn new(lease: &LeaseStatus, newest: u64) -> Self {
        Self {
            lease_id: lease.lease_id.0,
            worker_id: lease.worker_id.to_string(),
            version: lease.version.0,
            staleness: newest.saturating_sub(lease.version.0),
            position: lease.position,
            first: lease.first,
            count: lease.count,
            age_ms: lease.age_ms,
            left_ms: lease.left_ms,
            lapsed: lease.lapsed,
            hedge: lease.is_hedge,
        }
    }
}
