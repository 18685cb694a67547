//! One run's event file.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::record::{self, Scalar};
use crate::history::{EvalPoint, History};
use crate::limits::{MAX_EVENT_FILE_BYTES, MAX_EVENT_POINTS};
use crate::store::atomic;

/// `TensorBoard` looks for `tfevents` in names, and sorts by them.
const FILE_NAME: &str = "events.out.tfevents.0000000000.tabswarm";
const TRAIN_LOSS: &str = "train/loss";
const EVAL_LOSS: &str = "evaluation/loss";
const EVAL_ACCURACY: &str = "evaluation/accuracy";

/// A file that is open at its end, and what is in it.
#[derive(Debug)]
pub(super) struct Curves {
    path: PathBuf,
    file: BufWriter<File>,
    newest_step: Option<u64>,
    evaluations: BTreeSet<u64>,
    /// Every so many versions a step's loss is written.
    stride: u64,
    /// Where there are too many evaluations, those of multiples of this version are written.
    evaluation_stride: Option<u64>,
}

impl Curves {
    /// Opens a run's file, or makes one. What is later than `version` is taken out; what `history` knows and the file
    /// doesn't is added.
    pub(super) fn open(folder: &Path, version: u64, history: &History) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(FILE_NAME);
        let scalars = kept(&path, version)?;
        let mut curves = Self {
            file: BufWriter::new(OpenOptions::new().append(true).open(&path)?),
            path,
            newest_step: None,
            evaluations: BTreeSet::new(),
            stride: 1,
            evaluation_stride: None,
        };
        for scalar in &scalars {
            match scalar.tag.as_str() {
                TRAIN_LOSS => curves.newest_step = curves.newest_step.max(Some(scalar.step)),
                _ => drop(curves.evaluations.insert(scalar.step)),
            }
        }
        let known = |point: u64| point <= version;
        for point in history.steps().iter().filter(|p| known(p.version)) {
            curves.step(point.version, point.train_loss)?;
        }
        for point in history.evals().iter().filter(|p| known(p.version)) {
            curves.evaluation(point)?;
        }
        Ok(curves)
    }

    /// So that the file stays small however long the run is and however often it is evaluated.
    pub(super) fn thinned(self, versions_total: u64, evaluate_every: u64) -> Self {
        let every = evaluate_every.max(1);
        let factor = (versions_total / every).div_ceil(MAX_EVENT_POINTS);
        Self {
            stride: versions_total.div_ceil(MAX_EVENT_POINTS).max(1),
            evaluation_stride: (factor > 1).then_some(factor * every),
            ..self
        }
    }

    /// Adds a step's loss, unless the file has it.
    pub(super) fn step(&mut self, version: u64, train_loss: f64) -> io::Result<()> {
        if self.newest_step >= Some(version) || !version.is_multiple_of(self.stride) {
            return Ok(());
        }
        self.newest_step = Some(version);
        self.write(version, TRAIN_LOSS, train_loss)
    }

    /// Adds an evaluation, unless the file has it. They may come late.
    pub(super) fn evaluation(&mut self, point: &EvalPoint) -> io::Result<()> {
        let is_left_out = |stride| !point.version.is_multiple_of(stride);
        if self.evaluation_stride.is_some_and(is_left_out)
            || !self.evaluations.insert(point.version)
        {
            return Ok(());
        }
        self.write(point.version, EVAL_LOSS, point.loss)?;
        self.write(point.version, EVAL_ACCURACY, point.accuracy)
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    #[cfg(test)]
    pub(super) fn newest_step(&self) -> Option<u64> {
        self.newest_step
    }

    fn write(&mut self, step: u64, tag: &str, value: f64) -> io::Result<()> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the format has single precision"
        )]
        let scalar = Scalar {
            wall_time: now(),
            step,
            tag: tag.to_owned(),
            value: value as f32,
        };
        self.file.write_all(&scalar.record())
    }
}

/// Brings the file to where it goes on: whole records, none later than `version`, none twice.
fn kept(path: &Path, version: u64) -> io::Result<Vec<Scalar>> {
    let bytes = read_bounded(path)?;
    let scalars = if bytes.is_empty() {
        Vec::new()
    } else {
        record::read(&bytes).ok_or_else(|| foreign(path))?
    };
    let mut seen = BTreeSet::new();
    let kept: Vec<Scalar> = scalars
        .into_iter()
        .filter(|scalar| scalar.step <= version && seen.insert((scalar.tag.clone(), scalar.step)))
        .collect();
    let mut wanted = match bytes.split_at_checked(record::beginning(0.0).len()) {
        Some((beginning, _)) => beginning.to_vec(),
        None => record::beginning(now()),
    };
    for scalar in &kept {
        wanted.extend(scalar.record());
    }
    if wanted != bytes {
        atomic::write_file(path, &wanted)?;
    }
    Ok(kept)
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_EVENT_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_EVENT_FILE_BYTES {
        return Err(foreign(path));
    }
    Ok(bytes)
}

fn foreign(path: &Path) -> io::Error {
    io::Error::other(format!(
        "{} is no event file of this server: move it away, and a new one is made",
        path.display()
    ))
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn point(version: u64) -> EvalPoint {
        EvalPoint {
            version,
            loss: 0.25,
            accuracy: 0.75,
        }
    }

    fn open(folder: &Path, version: u64) -> Curves {
        Curves::open(folder, version, &History::default()).unwrap()
    }

    /// Tag and step of each record.
    fn content(folder: &Path) -> Vec<(String, u64)> {
        let bytes = std::fs::read(folder.join(FILE_NAME)).unwrap();
        let scalars = record::read(&bytes).unwrap().into_iter();
        scalars.map(|scalar| (scalar.tag, scalar.step)).collect()
    }

    fn steps(folder: &Path) -> Vec<u64> {
        let of_steps = content(folder).into_iter();
        let of_steps = of_steps.filter(|(tag, _)| tag == TRAIN_LOSS);
        of_steps.map(|(_, step)| step).collect()
    }

    #[test]
    fn what_a_restart_took_back_is_not_there_twice() {
        let scratch = Scratch::new("curves");
        let folder = scratch.path().join("run");
        let mut curves = open(&folder, 0);
        for version in 1..=5 {
            curves.step(version, 0.5).unwrap();
        }
        curves.evaluation(&point(4)).unwrap();
        curves.evaluation(&point(2)).unwrap();
        drop(curves);
        // Steps 4 and 5 were not durable, and half a record is at the end.
        let path = folder.join(FILE_NAME);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend([9; 7]);
        std::fs::write(&path, bytes).unwrap();
        let mut curves = open(&folder, 3);
        for version in 3..=6 {
            curves.step(version, 0.5).unwrap();
        }
        curves.evaluation(&point(2)).unwrap();
        curves.evaluation(&point(4)).unwrap();
        drop(curves);
        assert_eq!(steps(&folder), [1, 2, 3, 4, 5, 6]);
        let evaluated = |tag: &str| {
            let all = content(&folder).into_iter();
            let of_tag = all.filter(|(of, _)| of == tag);
            of_tag.map(|(_, step)| step).collect::<Vec<u64>>()
        };
        assert_eq!(evaluated(EVAL_LOSS), [2, 4]);
        assert_eq!(evaluated(EVAL_ACCURACY), [2, 4]);
    }

    #[test]
    fn a_new_file_begins_with_what_is_known() {
        let scratch = Scratch::new("curves-history");
        let folder = scratch.path().join("run");
        let mut history = History::default();
        for version in 1..=4 {
            history.push_step(version, 1.0);
        }
        history.push_eval(point(4));
        drop(Curves::open(&folder, 3, &history).unwrap());
        assert_eq!(
            content(&folder),
            [1, 2, 3].map(|v| (TRAIN_LOSS.to_owned(), v))
        );
    }

    #[test]
    fn a_long_run_stays_small() {
        let scratch = Scratch::new("curves-long");
        let folder = scratch.path().join("run");
        let total = MAX_EVENT_POINTS * 7;
        let mut curves = open(&folder, 0).thinned(total, 1);
        for version in 1..=total {
            curves.step(version, 1.0).unwrap();
            curves.evaluation(&point(version)).unwrap();
        }
        drop(curves);
        let points = usize::try_from(MAX_EVENT_POINTS).unwrap();
        assert_eq!(content(&folder).len(), points * 3);
        let bytes = std::fs::metadata(folder.join(FILE_NAME)).unwrap().len();
        assert!(bytes < MAX_EVENT_FILE_BYTES / 2, "{bytes}");
    }

    #[test]
    fn another_programs_file_is_left_alone() {
        let scratch = Scratch::new("curves-foreign");
        let folder = scratch.path().join("run");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(FILE_NAME), "notes").unwrap();
        let error = Curves::open(&folder, 0, &History::default()).unwrap_err();
        assert!(error.to_string().contains("move it away"), "{error}");
        assert_eq!(std::fs::read(folder.join(FILE_NAME)).unwrap(), b"notes");
    }
}
