//! From one version to the next: what is applied, and what follows when it was.

use tabswarm_model::digest::Digest;
use tabswarm_model::loss_scale;
use tabswarm_model::master::StepReport;
use tabswarm_model::run_file::{Mode, Precision};
use tabswarm_protocol::{ParamVersion, Timestamp};

use super::HostedRun;
use super::units::{Work, round};
use crate::effect::Effect;
use crate::lease::LeaseEntry;
use crate::limits::SPEED_WINDOW_STEPS;
use crate::log_entry::{Change, StepChange};
use crate::step::{Contribution, Contributions};
use crate::undurable::{Consequences, Owed};

/// Mean loss in nats of a sum in units of 2^-20 nats.
pub fn mean_loss(loss_q20: i64, samples: u64) -> f64 {
    loss_q20 as f64 / 1_048_576.0 / samples.max(1) as f64
}

/// A change of the parameters on its way through the edge.
#[derive(Debug)]
pub(super) struct Applying {
    position: u64,
    /// Vectors that were added up.
    vectors: u32,
    divisor: u64,
    exponents: Vec<i8>,
    rate_factor: f64,
    contributions: Contributions,
}

impl Applying {
    pub(super) fn owed(&self) -> &[Owed] {
        &self.contributions.owed
    }
}

impl HostedRun {
    /// Whether something is being applied.
    pub(crate) fn is_applying(&self) -> bool {
        self.applying.is_some()
    }

    /// The schedule's factor for the next version.
    fn rate_factor(&self) -> f64 {
        match self.spec.mode {
            Mode::Sync | Mode::Async { .. } => {
                let progress = self.plan.progress(self.version().0);
                let total = self.plan.batches().steps_total();
                self.spec.schedule.factor(progress, total)
            }
            // The schedule is that of the inner steps; the outer rate is constant.
            Mode::Local(_) => 1.0,
        }
    }

    /// The round, as far as it is done, as an effect; none where batches are applied one by one.
    pub(crate) fn apply_round(&mut self) -> Option<Effect> {
        let (rate_factor, position) = (self.rate_factor(), self.state.next_position());
        let exponents = self.lease_exponents();
        let step = self.work.round()?;
        let contributions = std::mem::take(&mut step.contributions);
        let vectors = step.n_done();
        let divisor = match self.spec.mode {
            Mode::Local(_) => u64::from(vectors),
            Mode::Sync | Mode::Async { .. } => contributions.samples,
        };
        Some(self.apply(Applying {
            position,
            vectors,
            divisor,
            exponents,
            rate_factor,
            contributions,
        }))
    }

    /// One batch's update as an effect: the staler its parameters, the less it moves.
    pub(crate) fn apply_batch(&mut self, lease: &LeaseEntry, contribution: Contribution) -> Effect {
        let mut contributions = Contributions::default();
        contributions.add(contribution);
        let staleness = self.staleness(lease.version);
        self.apply(Applying {
            position: lease.position,
            vectors: lease.range.count,
            divisor: contributions.samples,
            exponents: lease.exponents.to_vec(),
            rate_factor: self.rate_factor() / (1.0 + staleness as f64),
            contributions,
        })
    }

    /// Versions made since one.
    pub(crate) fn staleness(&self, base: ParamVersion) -> u64 {
        self.version().0.saturating_sub(base.0)
    }

    fn apply(&mut self, applying: Applying) -> Effect {
        let effect = Effect::ApplyStep {
            run_id: self.id,
            version: ParamVersion(self.version().0 + 1),
            exponents: applying.exponents.clone(),
            divisor: applying.divisor,
            rate_factor: applying.rate_factor,
        };
        self.applying = Some(applying);
        effect
    }

    /// The change was applied: moves on to the next version.
    pub(crate) fn commit(
        &mut self,
        now: Timestamp,
        report: &StepReport,
        effects: &mut Vec<Effect>,
    ) {
        let Some(applied) = self.applying.take() else {
            return;
        };
        self.params_digest = report.digest;
        self.adapt_exponents(&applied, report);
        let Contributions {
            samples,
            loss_q20,
            by_identity,
            owed,
        } = applied.contributions;
        let credits: Vec<(Digest, u64)> = by_identity.into_iter().collect();
        let consequences = Consequences {
            owed,
            credits: credits.clone(),
        };
        let change = StepChange {
            version: ParamVersion(self.version().0 + 1),
            batch: applied.position,
            samples,
            divisor: applied.divisor,
            loss_q20,
            exponents: applied.exponents,
            rate_factor: applied.rate_factor,
            digest: report.digest,
            next_exponents: self.exponents.current().to_vec(),
            next_rises: self.exponents.rises().to_vec(),
            credits,
        };
        let sequence = self.record(Change::Step(change), effects);
        self.undurable.push_step(sequence, consequences);
        if samples > 0 {
            self.train_loss = Some(mean_loss(loss_q20, samples));
        }
        self.recent_commits.push_back((now, samples));
        while self.recent_commits.len() > SPEED_WINDOW_STEPS {
            self.recent_commits.pop_front();
        }
        if !self.is_over()
            && let Work::Round(step) = &mut self.work
        {
            *step = round(&self.plan, self.state.version, now);
        }
    }

    /// The exponents of the next version, after one that was applied or skipped.
    fn adapt_exponents(&mut self, applied: &Applying, report: &StepReport) {
        match self.spec.precision {
            Precision::Single => {
                let (of, sums) = (&applied.exponents, &report.max_abs_sums);
                self.exponents.commit(of, sums, applied.vectors);
            }
            Precision::Half if applied.divisor == 0 => {
                if let Some(smaller) = loss_scale::after_overflow(&self.exponents) {
                    self.exponents = smaller;
                }
            }
            Precision::Half => self.exponents = loss_scale::after_good_step(&self.exponents),
        }
    }

    /// A step without any sums as an effect: the version that it makes has the parameters of the one before, and the
    /// next one goes on with the next batch.
    pub(crate) fn skip_step(&mut self) -> Effect {
        self.apply(Applying {
            position: self.state.next_position(),
            vectors: 0,
            divisor: 0,
            exponents: self.lease_exponents(),
            rate_factor: self.rate_factor(),
            contributions: Contributions::default(),
        })
    }

    /// The change could not be applied, and is to be computed again. Gives the workers whose updates are void.
    pub(crate) fn undo(&mut self) -> Vec<Owed> {
        let Some(applying) = self.applying.take() else {
            return Vec::new();
        };
        match &mut self.work {
            Work::Round(step) => {
                step.restart();
            }
            Work::Stream(stream) => stream.give_back(applying.position),
        }
        applying.contributions.owed
    }

    /// Begins the round in progress again. Gives the workers whose updates are void.
    pub(crate) fn restart_round(&mut self) -> Vec<Owed> {
        match &mut self.work {
            Work::Round(step) => step.restart(),
            Work::Stream(_) => Vec::new(),
        }
    }
}
