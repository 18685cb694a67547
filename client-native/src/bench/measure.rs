//! Rates of several contenders, measured in turn.

use std::sync::{Arc, Barrier};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use tabswarm_compute::peak::PeakLoop;
use tabswarm_compute::{ComputeError, Engine, Path, Workload};
use tabswarm_model::Graph;

use super::BenchError;
use super::breakdown::StageClock;

/// Rounds that every contender gets; odd, so that the median is one of them.
const ROUNDS: u32 = 7;
/// Rounds of the peak loop between two looks at the clock: well below a millisecond.
const PEAK_ROUNDS: u32 = 50_000;

/// What all lanes compute.
pub(super) struct Subject {
    name: String,
    graph: Arc<Graph>,
    micro_batch: usize,
    workload: Workload,
}

impl Subject {
    pub(super) fn new(name: String, graph: Arc<Graph>, micro_batch: usize) -> Self {
        let workload = Workload::new(&graph, micro_batch);
        Self {
            name,
            graph,
            micro_batch,
            workload,
        }
    }

    fn engine(&self, path: Path) -> Result<Engine, BenchError> {
        let mut engine = Engine::with_path(Arc::clone(&self.graph), path, self.micro_batch)
            .map_err(|source| self.fault(path, source))?;
        engine
            .set_params(&self.workload.params)
            .map_err(|source| self.fault(path, source))?;
        Ok(engine)
    }

    fn fault(&self, path: Path, source: ComputeError) -> BenchError {
        let work = self.name.clone();
        BenchError::Engine { work, path, source }
    }
}

/// Something with a rate.
pub(super) struct Contender {
    path: Path,
    kind: Kind,
}

enum Kind {
    /// None where only the kernels know how to compute the class.
    Peak(Option<PeakLoop>),
    /// One engine for each lane.
    Lanes(Vec<Engine>),
    /// One lane, stage by stage.
    Stages(Box<(Engine, StageClock)>),
}

/// What one round of a contender gave.
enum Sample {
    /// Operations or samples per second.
    PerSecond(f64),
    /// Seconds of each operation of a micro-batch.
    Seconds(Vec<f64>),
}

impl Contender {
    /// What one lane could do at most.
    pub(super) fn peak(path: Path) -> Self {
        let kind = Kind::Peak(PeakLoop::new(path.class()));
        Self { path, kind }
    }

    /// So many lanes at once.
    pub(super) fn lanes(subject: &Subject, path: Path, lanes: u16) -> Result<Self, BenchError> {
        let engines: Result<_, _> = (0..lanes).map(|_| subject.engine(path)).collect();
        let kind = Kind::Lanes(engines?);
        Ok(Self { path, kind })
    }

    /// One lane, whose operations are timed one by one.
    pub(super) fn stages(subject: &Subject, path: Path) -> Result<Self, BenchError> {
        let stages = (subject.engine(path)?, StageClock::new(&subject.graph));
        let kind = Kind::Stages(Box::new(stages));
        Ok(Self { path, kind })
    }

    fn measure(&mut self, subject: &Subject, time: Duration) -> Result<Sample, BenchError> {
        let per_second = match &mut self.kind {
            Kind::Peak(None) => 0.0,
            Kind::Peak(Some(peak)) => peak_flops(*peak, time),
            Kind::Lanes(engines) => lanes_rate(subject, self.path, engines, time)?,
            Kind::Stages(stages) => {
                let (engine, clock) = &mut **stages;
                let seconds = stage_seconds(subject, engine, clock, time)
                    .map_err(|source| subject.fault(self.path, source))?;
                return Ok(Sample::Seconds(seconds));
            }
        };
        Ok(Sample::PerSecond(per_second))
    }

    /// The medians of all rounds.
    fn rate(&self, samples: Vec<Sample>) -> Rate {
        let path = self.path;
        let per_second = |samples: Vec<Sample>| {
            let rates = samples.into_iter().filter_map(|sample| match sample {
                Sample::PerSecond(rate) => Some(rate),
                Sample::Seconds(_) => None,
            });
            median(rates.collect())
        };
        match &self.kind {
            Kind::Peak(_) => Rate::Peak(per_second(samples)),
            Kind::Lanes(engines) => Rate::Lanes {
                path,
                lanes: u16::try_from(engines.len()).unwrap_or(u16::MAX),
                samples_per_s: per_second(samples),
            },
            Kind::Stages(_) => Rate::Stages {
                path,
                seconds: medians(&samples),
            },
        }
    }
}

/// A contender's median rate.
#[derive(Debug, Clone)]
pub(super) enum Rate {
    /// Operations per second of one lane in the class of what follows.
    Peak(f64),
    Lanes {
        path: Path,
        lanes: u16,
        samples_per_s: f64,
    },
    /// Seconds of each operation of a micro-batch on one lane.
    Stages { path: Path, seconds: Vec<f64> },
}

/// Measures all contenders round by round, `total` all together.
pub(super) fn in_turn(
    subject: &Subject,
    contenders: &mut [Contender],
    total: Duration,
) -> Result<Vec<Rate>, BenchError> {
    let slices = u32::try_from(contenders.len()).unwrap_or(u32::MAX) * ROUNDS;
    let slice = total / slices.max(1);
    let mut rates: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
    // The first round warms caches and clocks up, and counts for nothing.
    for round in 0..=ROUNDS {
        for (contender, rates) in contenders.iter_mut().zip(&mut rates) {
            let time = if round == 0 { slice / 4 } else { slice };
            let rate = contender.measure(subject, time)?;
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let medians = contenders.iter().zip(rates);
    Ok(medians
        .map(|(contender, rates)| contender.rate(rates))
        .collect())
}

/// Of each operation the median over the rounds.
fn medians(rounds: &[Sample]) -> Vec<f64> {
    let rounds = rounds.iter().filter_map(|sample| match sample {
        Sample::Seconds(seconds) => Some(seconds),
        Sample::PerSecond(_) => None,
    });
    let rounds: Vec<&Vec<f64>> = rounds.collect();
    let operations = 0..rounds.first().map_or(0, |round| round.len());
    let of_all_rounds = |idx| rounds.iter().map(|round| round[idx]).collect();
    operations.map(|idx| median(of_all_rounds(idx))).collect()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn peak_flops(peak: PeakLoop, time: Duration) -> f64 {
    let started = Instant::now();
    let mut flops = 0;
    loop {
        flops += peak.run(PEAK_ROUNDS);
        let elapsed = started.elapsed();
        if elapsed >= time {
            return flops as f64 / elapsed.as_secs_f64();
        }
    }
}

fn lanes_rate(
    subject: &Subject,
    path: Path,
    engines: &mut [Engine],
    time: Duration,
) -> Result<f64, BenchError> {
    let start = Barrier::new(engines.len());
    thread::scope(|scope| {
        let start = &start;
        let mut lanes: Vec<ScopedJoinHandle<'_, _>> = Vec::with_capacity(engines.len());
        for (lane_idx, engine) in engines.iter_mut().enumerate() {
            let lane = thread::Builder::new()
                .name(format!("lane-{lane_idx}"))
                .spawn_scoped(scope, move || {
                    start.wait();
                    lane_rate(subject, engine, time)
                });
            lanes.push(lane.map_err(|source| BenchError::Thread { source })?);
        }
        let mut sum = 0.0;
        for lane in lanes {
            let rate = lane.join().expect("a lane returns its errors");
            sum += rate.map_err(|source| subject.fault(path, source))?;
        }
        Ok(sum)
    })
}

fn lane_rate(subject: &Subject, engine: &mut Engine, time: Duration) -> Result<f64, ComputeError> {
    let started = Instant::now();
    let mut samples = 0;
    loop {
        engine.gradient(subject.workload.batch())?;
        samples += subject.micro_batch;
        let elapsed = started.elapsed();
        if elapsed >= time {
            return Ok(samples as f64 / elapsed.as_secs_f64());
        }
    }
}

/// Seconds of each operation, on average over as many micro-batches as fit the time.
fn stage_seconds(
    subject: &Subject,
    engine: &mut Engine,
    clock: &mut StageClock,
    time: Duration,
) -> Result<Vec<f64>, ComputeError> {
    clock.reset();
    let started = Instant::now();
    let mut micro_batches = 0;
    while micro_batches == 0 || started.elapsed() < time {
        let batch = subject.workload.batch();
        clock.start();
        engine.gradient_observed(batch, clock)?;
        micro_batches += 1;
    }
    Ok(clock.seconds(micro_batches))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_disturbed_round_does_not_count() {
        assert!((median(vec![5.0, 1.0, 6.0]) - 5.0).abs() < f64::EPSILON);
        let rounds = [[1.0, 5.0], [2.0, 40.0], [30.0, 6.0]];
        let medians = medians(&rounds.map(|round| Sample::Seconds(round.to_vec())));
        assert!((medians[0] - 2.0).abs() + (medians[1] - 6.0).abs() < f64::EPSILON);
    }
}
