//! The life of a run as a server would lead it, with a reference of what each entry's state must be.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tabswarm_coordinator::{Change, LogEntry, RunPhase, RunState, StepChange};
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::master::{AppliedSums, Master, StepInput};
use tabswarm_model::run_file::{Codec, StepLog};
use tabswarm_protocol::{ParamVersion, RunId};

use crate::disk::Disk;
use crate::error::StoreError;
use crate::faults::FaultyDisk;
use crate::hosting::Hosting;
use crate::log::{Log, LogOptions};
use crate::recover::RecoveryReport;
use crate::run_store::RunStore;
use crate::snapshot::Snapshot;

pub(crate) const DIR: &str = "/runs/tiny";
/// So small that a life has many segments.
const SEGMENT_BYTES: u64 = 1_000;
/// Of the training set.
pub(crate) const SAMPLES: u32 = 20;

/// Two classes of 2×3 images.
pub(crate) fn run(codec: &str, log: &str) -> Run {
    run_with(codec == "exact", codec, log, "adam")
}

/// The same with an optimizer of some kind.
pub(crate) fn run_with(reproducible: bool, codec: &str, log: &str, optimizer: &str) -> Run {
    let text = format!(
        r#"
name = "tiny"
seed = 1
numeric = {{ reproducible = {reproducible}, codec = "{codec}" }}
data = {{ format = "idx", path = "tiny" }}
optimizer = {{ kind = "{optimizer}", learning_rate = 0.01 }}
snapshot = {{ every_steps = 5, keep = 2 }}
durability = {{ log = "{log}" }}
[model]
input = [2, 3]
layers = [{{ kind = "flatten" }}, {{ kind = "dense", units = 4 }}, {{ kind = "relu" }}, {{ kind = "dense", units = 2 }}]
loss = "softmax_cross_entropy"
[train]
epochs = 1_000
micro_batch = 4
global_batch = 8
"#
    );
    Run::from_toml(&text).unwrap()
}

/// The three kinds of runs, by turns.
pub(crate) fn run_of(seed: u64) -> Run {
    match seed % 3 {
        0 => run("exact", "updates"),
        1 => run("f32", "updates"),
        _ => run("exact", "decisions"),
    }
}

/// A small stream of numbers for the script, apart from the disk's.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(super) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What a server has in memory.
struct Live {
    store: RunStore,
    log: Log,
    state: RunState,
    master: Master,
    /// Entries that are not durable yet.
    pending: Vec<(LogEntry, Option<AppliedSums>)>,
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) torn_bytes: u64,
    pub(crate) replayed: u64,
    pub(crate) lost_unacknowledged: u64,
    pub(crate) alarms: u64,
    pub(crate) reopened: u64,
    pub(crate) rollbacks: u64,
    pub(crate) settings: u64,
    pub(crate) corrections: u64,
}

/// A run, its disk, and what must hold.
pub(crate) struct Life {
    pub(crate) disk: FaultyDisk,
    pub(crate) run: Run,
    dice: Dice,
    boots: u64,
    live: Option<Live>,
    /// Everything up to here was acknowledged.
    pub(crate) acked: u64,
    /// State and parameters after each entry.
    pub(crate) reference: BTreeMap<u64, (RunState, Digest)>,
    pub(crate) counts: Counts,
}

impl Life {
    pub(crate) fn new(seed: u64) -> Self {
        let disk = FaultyDisk::new(seed);
        disk.create_dir_all(Path::new("/runs")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let run = run_of(seed);
        let first = (
            RunState::fresh(&run),
            Digest::of_params(Master::new(&run).params()),
        );
        Self {
            disk,
            run,
            dice: Dice(seed),
            boots: 0,
            live: None,
            acked: 0,
            reference: BTreeMap::from([(0, first)]),
            counts: Counts::default(),
        }
    }

    pub(crate) fn shared_disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    pub(crate) fn options(&mut self) -> LogOptions {
        self.boots += 1;
        LogOptions {
            segment_bytes: SEGMENT_BYTES,
            secret: self.boots,
        }
    }

    /// The server starts: whatever was acknowledged must be there, whole.
    pub(crate) fn boot(&mut self) -> Result<(), StoreError> {
        self.live = None;
        let disk = self.shared_disk();
        let dir = Path::new(DIR);
        let exists = disk.exists(dir).map_err(StoreError::io(dir))?;
        let store = if exists {
            RunStore::open(disk, dir)?
        } else {
            assert_eq!(self.acked, 0, "the folder is gone");
            let hosting = Hosting {
                run_id: RunId(7),
                dataset: Digest([1; 32]),
                test_set: Digest([2; 32]),
            };
            RunStore::create(disk, dir, "name = \"tiny\"", hosting)?
        };
        let options = self.options();
        let recovered = store.recover(&self.run, options)?;
        self.check(&recovered.state, &recovered.master, &recovered.report);
        self.acked = recovered.log.durable();
        assert_eq!(self.acked, recovered.state.sequence);
        self.live = Some(Live {
            store,
            log: recovered.log,
            state: recovered.state,
            master: recovered.master,
            pending: Vec::new(),
        });
        Ok(())
    }

    /// The recovered state is that of the reference after some entry that is not before the last acknowledged.
    pub(crate) fn check(&mut self, state: &RunState, master: &Master, report: &RecoveryReport) {
        let digest = Digest::of_params(master.params());
        let expected = self.reference.get(&state.sequence);
        if expected.is_none_or(|expected| *expected != (state.clone(), digest)) {
            self.check_correction(state, digest);
        }
        assert!(
            state.sequence >= self.acked,
            "{} < {}",
            state.sequence,
            self.acked
        );
        let lost = self.reference.split_off(&(state.sequence + 1));
        self.reference
            .insert(state.sequence, (state.clone(), digest));
        self.counts.lost_unacknowledged += lost.len() as u64;
        self.counts.torn_bytes += report.torn_bytes;
        self.counts.replayed += report.replayed.len() as u64;
        self.counts.alarms += report.alarms.len() as u64;
    }

    /// Where the sums are not logged, bits may go back; credit may not, nor the phase of a run that goes on.
    fn check_correction(&mut self, state: &RunState, digest: Digest) {
        self.counts.corrections += 1;
        let expected = self.reference.get(&state.sequence);
        assert_eq!(
            self.run.step_log,
            StepLog::Decisions,
            "{state:?} is not {expected:?}"
        );
        // One entry more for each recovery that was interrupted behind its correction.
        let earlier = self.reference.range(..state.sequence).rev();
        let (end, _) = earlier
            .map(|(_, known)| known)
            .find(|(known, _)| known.credits == state.credits && known.phase == state.phase)
            .expect("credits and phase after some entry");
        assert!(end.sequence >= self.acked);
        assert_eq!(end.samples_verified, state.samples_verified);
        let mut known = self.reference.values();
        assert!(
            known.any(|(known, of)| known.version == state.version && *of == digest),
            "nobody ever had version {} like this",
            state.version.0
        );
    }

    /// So many things happen to the run. Errors of a crash end it; others are dealt with as a server does.
    pub(crate) fn go_on(&mut self, steps: u64) -> Result<(), StoreError> {
        for _ in 0..steps {
            if self.live.is_none() {
                self.survive(Self::boot)?;
                continue;
            }
            match self.dice.below(21) {
                0..10 => self.survive(Self::commit)?,
                10 | 11 => self.survive(Self::change_phase)?,
                12..16 => self.survive(Self::acknowledge)?,
                16 | 17 => self.survive(Self::take_snapshot)?,
                18 => self.survive(Self::roll_back)?,
                19 => self.survive(Self::change_settings)?,
                _ => self.survive(Self::restart)?,
            }
        }
        Ok(())
    }

    /// Everything is made durable and the server ends.
    pub(crate) fn end(&mut self) -> Result<(), StoreError> {
        for _ in 0..50 {
            if self.live.is_none() {
                self.survive(Self::boot)?;
                continue;
            }
            self.survive(Self::acknowledge)?;
            if self.acked == *self.reference.keys().next_back().unwrap() {
                self.survive(|life| life.live().log.seal().map(drop))?;
                self.live = None;
                return Ok(());
            }
        }
        panic!("no fault lasts so long");
    }

    fn survive(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match act(self) {
            Err(error) if self.disk.has_crashed() => Err(error),
            Err(error @ (StoreError::Io { .. } | StoreError::Degraded { .. })) => {
                assert!(!error.to_string().is_empty());
                Ok(())
            }
            Err(error) => panic!("{error}"),
            Ok(()) => Ok(()),
        }
    }

    fn live(&mut self) -> &mut Live {
        self.live.as_mut().expect("the server runs")
    }

    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        let draws: Vec<u64> = (0..38).map(|_| self.dice.below(2_000)).collect();
        let is_wide = self.dice.below(5) == 0;
        let identity = Digest([self.dice.below(4).to_le_bytes()[0]; 32]);
        let step_log = self.run.step_log;
        let live = self.live.as_mut().expect("the server runs");
        let codec = live.state.run(&self.run).codec;
        let exponents = match codec {
            Codec::Exact => live.state.exponents.clone(),
            Codec::F32 => Vec::new(),
        };
        let centred = draws.iter().map(|&draw| draw.cast_signed() - 1_000);
        let sums = match codec {
            Codec::Exact if is_wide => AppliedSums::Exact(centred.map(|v| v << 40).collect()),
            Codec::Exact => AppliedSums::Exact(centred.map(|v| v << 10).collect()),
            Codec::F32 => AppliedSums::F32(centred.map(|v| v as f32 * 0.01).collect()),
        };
        let input = StepInput {
            exponents: &exponents,
            divisor: 8,
            rate_factor: 0.75,
        };
        let done = live.master.replay(sums, &input).unwrap();
        let sums = live.master.applied_sums().clone();
        let change = Change::Step(StepChange {
            version: ParamVersion(live.state.version.0 + 1),
            batch: live.state.version.0,
            samples: 8,
            divisor: 8,
            loss_q20: 8 << 20,
            exponents,
            rate_factor: 0.75,
            digest: done.digest,
            next_exponents: vec![20; live.state.exponents.len()],
            next_rises: live
                .state
                .exponent_rises
                .iter()
                .map(|rises| (rises + 1) % 16)
                .collect(),
            credits: vec![(identity, 8)],
        });
        let sums = (step_log == StepLog::Updates).then_some(sums);
        self.note(change, sums)
    }

    fn change_phase(&mut self) -> Result<(), StoreError> {
        let phase = match self.dice.below(3) {
            0 => RunPhase::Paused,
            _ => RunPhase::Running,
        };
        let reason = Some("it was time".to_owned());
        self.note(Change::Phase { phase, reason }, None)
    }

    /// An operator gives the run, which rests for that, another optimizer or codec.
    fn change_settings(&mut self) -> Result<(), StoreError> {
        if self.live().state.phase == RunPhase::Running {
            let reason = None;
            let phase = RunPhase::Paused;
            self.note(Change::Phase { phase, reason }, None)?;
        }
        let optimizer = match self.dice.below(4) {
            0 => "adam",
            1 => "adamw",
            2 => "momentum",
            _ => "sgd",
        };
        let is_free = !self.run.reproducible;
        let codec = match self.run.codec {
            Codec::F32 if self.dice.below(2) == 0 => "f32",
            _ => "exact",
        };
        let log = match self.run.step_log {
            StepLog::Updates => "updates",
            StepLog::Decisions => "decisions",
        };
        let to = run_with(!is_free, codec, log, optimizer);
        let live = self.live.as_mut().expect("the server runs");
        let from = live.state.run(&self.run).clone();
        let changes = live.state.change_settings(&self.run, &to, SAMPLES);
        for change in changes.expect("a resting run may be changed so") {
            let live = self.live();
            if let Change::Settings(change) = &change {
                live.master = live.master.changed(&from, &change.settings.run);
                self.counts.settings += 1;
            }
            self.note(change, None)?;
        }
        Ok(())
    }

    /// Something happened: it is in memory at once, and in the log as soon as the log takes it.
    fn note(&mut self, change: Change, sums: Option<AppliedSums>) -> Result<(), StoreError> {
        let live = self.live();
        let entry = LogEntry {
            sequence: live.state.sequence + 1,
            change,
        };
        live.state.apply(&entry).unwrap();
        let after = (live.state.clone(), Digest::of_params(live.master.params()));
        live.pending.push((entry, sums));
        self.reference.insert(after.0.sequence, after);
        let live = self.live();
        if live.log.is_degraded() {
            return Ok(());
        }
        let (entry, sums) = live.pending.last().unwrap();
        live.log.append(entry, sums.as_ref())
    }

    pub(crate) fn acknowledge(&mut self) -> Result<(), StoreError> {
        let live = self.live.as_mut().expect("the server runs");
        if live.log.is_degraded() {
            let before = live.log.durable();
            live.log
                .sync()
                .expect_err("a degraded log acknowledges nothing");
            let durable = live.log.reopen_after_failure()?;
            assert_eq!(durable, before);
            self.counts.reopened += 1;
            live.pending.retain(|(entry, _)| entry.sequence > durable);
            for (entry, sums) in &live.pending {
                live.log.append(entry, sums.as_ref())?;
            }
        }
        let durable = live.log.sync()?;
        live.pending.retain(|(entry, _)| entry.sequence > durable);
        assert!(durable >= self.acked);
        self.acked = durable;
        Ok(())
    }

    fn take_snapshot(&mut self) -> Result<(), StoreError> {
        self.acknowledge()?;
        let keep = usize::try_from(self.run.snapshots_kept).unwrap();
        let acked = self.acked;
        let live = self.live();
        if live.state.sequence > acked || acked == 0 {
            return Ok(());
        }
        let snapshot = Snapshot::of(live.state.clone(), &live.master);
        let oldest = live
            .store
            .snapshots()
            .put(&snapshot, live.master.layout(), keep)?;
        live.store.write_history(&vec![0.25; 4])?;
        live.log.remove_behind(oldest)
    }

    fn roll_back(&mut self) -> Result<(), StoreError> {
        self.acknowledge()?;
        let run = self.run.clone();
        let acked = self.acked;
        let live = self.live();
        if live.state.sequence > acked {
            return Ok(());
        }
        let versions = live.store.versions(&run)?;
        let count = versions.len() as u64;
        let pick = usize::try_from(self.dice.below(count)).unwrap();
        let (version, digest) = versions.into_iter().nth(pick).unwrap();
        let live = self.live();
        let (at, master) = live.store.restore_version(&run, version)?;
        assert_eq!((at.version, at.digest), (version, digest));
        assert_eq!(Digest::of_params(master.params()), digest);
        live.master = master;
        self.counts.rollbacks += 1;
        self.note(Change::RolledBack(at), None)?;
        self.take_snapshot()
    }

    fn restart(&mut self) -> Result<(), StoreError> {
        self.acknowledge()?;
        let live = self.live();
        live.log.seal()?;
        if live.pending.is_empty() {
            self.boot()?;
        }
        Ok(())
    }
}
