//! Tasks with engines that only count.

use super::*;

const BAD_BATCH: u64 = 99;
/// A power of two that leaves room: sums are exact.
const EXPONENTS: [i8; 2] = [10, 10];

/// Its gradient is twice the parameters for each micro-batch of two samples, so that the mean is the parameters; it notes what it was asked for.
#[derive(Debug, Default)]
struct Slope {
    params: Vec<f32>,
    gradient: Vec<f32>,
    asked: Vec<(u64, u32)>,
}

impl TaskEngine for Slope {
    type Error = &'static str;

    fn set_params(&mut self, params: &[f32]) -> Result<(), Self::Error> {
        self.params = params.to_vec();
        Ok(())
    }

    fn next_gradient(&mut self, noise: NoiseKey) -> Result<BatchStats, Self::Error> {
        if noise.version == BAD_BATCH {
            return Err("no samples");
        }
        self.asked.push((noise.version, noise.micro_batch));
        self.gradient = self.params.iter().map(|p| p * 2.0).collect();
        Ok(BatchStats {
            samples: 2,
            loss_q20: 3,
            correct: 1,
        })
    }

    fn gradient_buffer(&self) -> &[f32] {
        &self.gradient
    }
}

/// Keeps the numbers of micro-batches; notes how many came at once.
#[derive(Debug, Default)]
struct Counting {
    kept: Vec<u32>,
    finished: Vec<usize>,
}

impl SummingEngine for Counting {
    type Error = &'static str;

    fn add_next(&mut self, noise: NoiseKey) -> Result<(), Self::Error> {
        if noise.version == BAD_BATCH {
            return Err("no samples");
        }
        self.kept.push(noise.micro_batch);
        Ok(())
    }

    fn finish(&mut self, sums: &mut [f32]) -> Result<BatchStats, Self::Error> {
        self.finished.push(self.kept.len());
        let mut stats = BatchStats::default();
        for micro_batch in self.kept.drain(..) {
            sums[0] += micro_batch as f32;
            stats.samples += 2;
        }
        Ok(stats)
    }
}

#[test]
fn sums_are_read_back_as_rarely_as_may_be() {
    let mut engine = Counting::default();
    let mut sums = [1.0];
    let parts = [part(0, 0, 60), part(1, 3, 10)];
    let stats = sum_gradients(&mut engine, 7, &parts, &mut sums).unwrap();
    assert_eq!(stats.samples, 140);
    assert_eq!(engine.finished, [64, 6]);
    let expected: u32 = 1 + (0..60).sum::<u32>() + (3..13).sum::<u32>();
    assert!((sums[0] - expected as f32).abs() < 0.5);
    let bad = [part(0, 0, 1), part(BAD_BATCH, 0, 1)];
    assert_eq!(
        sum_gradients(&mut engine, 7, &bad, &mut sums),
        Err("no samples")
    );
}

fn run(codec: &str) -> Run {
    let run = format!(
        r#"
name = "task"
seed = 7
data = {{ format = "idx", path = "d" }}
model = {{ input = [1], layers = [{{ kind = "dense", units = 2 }}], loss = "mse" }}
train = {{ epochs = 1, micro_batch = 2, global_batch = 4 }}
optimizer = {{ kind = "sgd", learning_rate = 0.5 }}
sync = {{ mode = "local", inner_steps = 3, shards = 2 }}
numeric = {{ reproducible = false, codec = "{codec}" }}
"#
    );
    Run::from_toml(&run).unwrap()
}

fn part(batch: u64, first: u32, count: u32) -> TaskPart {
    TaskPart {
        batch,
        first,
        count,
    }
}

/// A shard of three inner steps that halves the parameters with each, from `first` on.
fn work(first: u32, count: u32) -> (Vec<TaskPart>, InnerWork) {
    let parts = (first..first + count).map(|step| part(u64::from(step), 0, 2));
    let work = InnerWork {
        lease_id: 5,
        first,
        is_last: first + count == 3,
        rate_factors: vec![1.0; count as usize],
    };
    (parts.collect(), work)
}

struct Bench {
    run: Run,
    start: Arc<[f32]>,
    engine: Slope,
    shard: OpenShard,
}

impl Bench {
    fn new(codec: &str) -> Self {
        Self {
            run: run(codec),
            start: vec![8.0, -4.0, 2.0, 0.0].into(),
            engine: Slope::default(),
            shard: OpenShard::default(),
        }
    }

    fn steps(
        &mut self,
        (parts, work): &(Vec<TaskPart>, InnerWork),
        exponents: &[i8],
    ) -> Result<(BatchStats, Sums), TaskError<&'static str>> {
        let mut sums = Sums::new(self.run.codec, &self.run.graph().layout);
        let stats = do_inner_steps(
            &mut self.engine,
            (&self.run, &self.start),
            (parts, work),
            &mut self.shard,
            exponents,
            &mut sums,
        )?;
        Ok((stats, sums))
    }
}

fn values(sums: &Sums) -> Vec<f32> {
    match sums {
        Sums::Exact(sums) => sums.sums().iter().map(|&s| s as f32 / 1024.0).collect(),
        Sums::F32(sums) => sums.clone(),
    }
}

#[test]
fn a_shard_gives_what_it_moved_however_it_is_divided() {
    // 8 -> 4 -> 2 -> 1, and the same for the others.
    let moved = [7.0, -3.5, 1.75, 0.0];
    for codec in ["exact", "f32"] {
        for tasks in [
            vec![(0, 3)],
            vec![(0, 1), (1, 2)],
            vec![(0, 1), (1, 1), (2, 1)],
        ] {
            let mut bench = Bench::new(codec);
            let mut samples = 0;
            let mut last = Vec::new();
            for (first, count) in tasks {
                let (stats, sums) = bench.steps(&work(first, count), &EXPONENTS).unwrap();
                assert!(
                    last.iter().all(|&value| value == 0.0),
                    "only the last counts"
                );
                last = values(&sums);
                samples += stats.samples;
            }
            assert_eq!((samples, last), (12, moved.to_vec()));
            let asked: Vec<(u64, u32)> = (0..3).flat_map(|b| [(b, 0), (b, 1)]).collect();
            assert_eq!(bench.engine.asked, asked);
        }
    }
}

#[test]
fn a_shard_goes_on_where_it_was_and_nowhere_else() {
    let mut bench = Bench::new("f32");
    let unknown = bench.steps(&work(1, 1), &[]).unwrap_err();
    assert_eq!(unknown, TaskError::ShardUnknown);
    bench.steps(&work(0, 1), &[]).unwrap();
    assert_eq!(bench.steps(&work(2, 1), &[]).unwrap_err(), unknown);
    bench.steps(&work(0, 1), &[]).unwrap();
    let (parts, other) = work(1, 1);
    let other = InnerWork {
        lease_id: 6,
        ..other
    };
    assert_eq!(bench.steps(&(parts, other), &[]).unwrap_err(), unknown);
    // Once more from the beginning.
    let (_, sums) = bench.steps(&work(0, 3), &[]).unwrap();
    assert_eq!(values(&sums), [7.0, -3.5, 1.75, 0.0]);
    assert_eq!(bench.steps(&work(1, 1), &[]).unwrap_err(), unknown);
}

#[test]
fn what_goes_wrong_is_told() {
    let mut bench = Bench::new("exact");
    let overflow = bench.steps(&work(0, 3), &[23, 23]).unwrap_err();
    let TaskError::Overflow(fits) = overflow else {
        panic!("{overflow}");
    };
    assert!(bench.steps(&work(0, 3), &fits).is_ok());
    let (parts, mut few) = work(0, 2);
    few.rate_factors.pop();
    let few = bench.steps(&(parts, few), &EXPONENTS).unwrap_err();
    assert!(matches!(
        few,
        TaskError::RateFactors {
            parts: 2,
            factors: 1
        }
    ));
    let (mut parts, inner) = work(0, 2);
    parts[1].batch = BAD_BATCH;
    let bad = bench.steps(&(parts, inner), &EXPONENTS).unwrap_err();
    assert_eq!(bad, TaskError::Engine("no samples"));
    let (parts, mut steep) = work(0, 3);
    steep.rate_factors = vec![1e30; 3];
    let steep = bench.steps(&(parts, steep), &EXPONENTS).unwrap_err();
    assert!(steep.to_string().starts_with("the inner steps diverge"));
}

#[test]
fn gradients_of_some_micro_batches_add_up() {
    let mut engine = Slope {
        params: vec![1.0, -2.0, 0.5, 0.0],
        ..Slope::default()
    };
    let run = run("exact");
    let mut sums = Sums::new(run.codec, &run.graph().layout);
    let parts = [part(3, 1, 2)];
    let stats = add_gradients(&mut engine, run.seed, &parts, &EXPONENTS, &mut sums).unwrap();
    assert_eq!((stats.samples, stats.loss_q20, stats.correct), (4, 6, 2));
    assert_eq!(values(&sums), [4.0, -8.0, 2.0, 0.0]);
    assert_eq!(engine.asked, [(3, 1), (3, 2)]);
}
