//! Arrays of `NumPy`: two `.npy` files in a folder, or two members of an `.npz` file, read side by side.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use tabswarm_model::Run;
use tabswarm_model::dataset::{InputKind, Preparation};
use tabswarm_model::run_file::{ArraySpec, Scaling};
use zip::ZipArchive;

use super::fault::{self, Fault};
use super::ingest::{IngestError, Ingested, Sets};
use super::npy::{Header, Kind};
use super::split::{Part, Splitter};
use super::statistics::Statistics;
use super::table::narrow;
use super::writer::{Inputs, MAX_INPUT_BYTES, Target, Writer};

/// A member that unpacks to more than this must not do so from almost nothing.
const SMALL_MEMBER_BYTES: u64 = 16 << 20;
/// How often the bytes of a packed member a large one may have.
const MAX_RATIO: u64 = 200;
/// Most members of an archive.
const MAX_MEMBERS: usize = 10_000;

/// What is called with each sample: its place, its bytes and its label.
type Visit<'a> = dyn FnMut(u64, &[u8], i128) -> Result<(), IngestError> + 'a;

struct Source<'a> {
    path: &'a Path,
    spec: &'a ArraySpec,
}

/// Reads, checks and stores two arrays.
pub(super) fn ingest(
    run: &Run,
    spec: &ArraySpec,
    path: &Path,
    sets: Sets<'_>,
) -> Result<Ingested, IngestError> {
    let source = Source { path, spec };
    let graph = run.graph();
    let (features, classes) = (graph.input_features(), graph.classes);
    let (mut samples, mut header) = (0, None);
    source.scan(
        &mut |inputs, _| header = Some(inputs.clone()),
        &mut |at, _, label| {
            samples = at + 1;
            source.check_label(at, label, classes)
        },
    )?;
    let Some(header) = header else {
        return Err(source
            .fault("the arrays have no header", "write them again")
            .into());
    };
    source.check_shape(&header, features)?;
    let splitter = Splitter::new(run.seed, samples, spec.split, path)?;
    let mut values = Vec::with_capacity(features);
    let mut statistics = vec![Statistics::default(); features];
    if !matches!(spec.scaling, None | Some(Scaling::None)) {
        source.scan(&mut |_, _| {}, &mut |at, bytes, _| {
            if splitter.part(at) == Part::Training {
                source.values(&header, at, bytes, &mut values)?;
                statistics
                    .iter_mut()
                    .zip(&values)
                    .for_each(|(s, &value)| s.add(value));
            }
            Ok(())
        })?;
    }
    let kind = match spec.scaling {
        None => InputKind::Bytes,
        Some(_) => InputKind::Values,
    };
    let scaling = spec.scaling.unwrap_or(Scaling::None);
    let scaling: Vec<[f64; 2]> = statistics.iter().map(|s| s.scaling(scaling)).collect();
    let mut writer = Writer::new(run, path, kind, Some(source.preparation(&scaling)), sets);
    let mut inputs: Vec<f32> = Vec::with_capacity(features);
    source.scan(&mut |_, _| {}, &mut |at, bytes, label| {
        source.check_label(at, label, classes)?;
        let label = u16::try_from(label).unwrap_or_default();
        if at >= samples {
            let remedy = "do not change the files while a run is created";
            return Err(source.fault("it changed while it was read", remedy).into());
        }
        if kind == InputKind::Bytes {
            return writer.push(
                splitter.part(at),
                Inputs::Bytes(bytes),
                Target::Class(label),
            );
        }
        source.values(&header, at, bytes, &mut values)?;
        inputs.clear();
        let scaled = values.iter().zip(&scaling);
        inputs.extend(scaled.map(|(value, [shift, scale])| narrow((value - shift) / scale)));
        writer.push(
            splitter.part(at),
            Inputs::Values(&inputs),
            Target::Class(label),
        )
    })?;
    writer.finish()
}

/// Opens an archive of arrays.
pub(super) fn archive(path: &Path) -> Result<ZipArchive<BufReader<File>>, Fault> {
    let file = BufReader::new(fault::open(path)?);
    let archive = ZipArchive::new(file).map_err(|error| {
        let remedy = "write a folder of .npy files or an .npz file in data.path";
        Fault::new(path.display(), format!("it is no archive: {error}"), remedy)
    })?;
    if archive.len() > MAX_MEMBERS {
        let problem = format!("it has {} members", archive.len());
        return Err(Fault::new(
            path.display(),
            problem,
            "save the two arrays only",
        ));
    }
    Ok(archive)
}

/// The arrays in a folder, sorted.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let io_error = |error| Fault::io(folder, &error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        if path.extension().is_some_and(|end| end == "npy") {
            paths.push(path);
        }
        if paths.len() > MAX_MEMBERS {
            let problem = format!("it has more than {MAX_MEMBERS} arrays");
            return Err(Fault::new(
                folder.display(),
                problem,
                "keep the two arrays only",
            ));
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

impl Source<'_> {
    fn fault(&self, problem: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault::new(self.path.display(), problem, remedy)
    }

    fn preparation(&self, scaling: &[[f64; 2]]) -> Preparation {
        use tabswarm_model::dataset::{Column, ColumnKind};
        /// More would make manifests long, and nobody wants to read them.
        const MAX_NAMED: usize = 4_096;
        if self.spec.scaling.is_none_or(|s| s == Scaling::None) || scaling.len() > MAX_NAMED {
            return Preparation::default();
        }
        let column = |(at, &[shift, scale]): (usize, &[f64; 2])| Column {
            name: at.to_string(),
            kind: ColumnKind::Number {
                shift,
                scale,
                fill: None,
            },
        };
        Preparation {
            columns: scaling.iter().enumerate().map(column).collect(),
            ..Preparation::default()
        }
    }

    fn check_label(&self, at: u64, label: i128, classes: usize) -> Result<(), IngestError> {
        if usize::try_from(label).is_ok_and(|label| label < classes) {
            return Ok(());
        }
        let problem = format!(
            "label {label} of sample {at} is out of range: the model has {classes} outputs"
        );
        let remedy = "count classes from 0, or change the last layer's units";
        Err(self.fault(problem, remedy).into())
    }

    fn check_shape(&self, header: &Header, features: usize) -> Result<(), Fault> {
        let got: usize = header.shape[1..].iter().product();
        if got != features {
            let problem = format!(
                "a sample of {:?} has shape {:?}, but the model takes {features} values",
                self.spec.inputs,
                &header.shape[1..]
            );
            return Err(self.fault(problem, "change model.input or the array"));
        }
        if self.spec.scaling.is_none() && header.kind != Kind::Unsigned(1) {
            let problem = format!("{:?} does not hold bytes", self.spec.inputs);
            let remedy = "write data.normalize = \"standard\", \"range\" or \"none\"";
            return Err(self.fault(problem, remedy));
        }
        Ok(())
    }

    fn values(
        &self,
        header: &Header,
        at: u64,
        bytes: &[u8],
        values: &mut Vec<f64>,
    ) -> Result<(), Fault> {
        values.clear();
        values.extend(
            bytes
                .chunks_exact(header.kind.bytes())
                .map(|raw| header.number(raw)),
        );
        if let Some(bad) = values.iter().position(|value| !value.is_finite()) {
            let problem = format!("value {bad} of sample {at} is {}", values[bad]);
            let remedy = "fill missing values in before you save the array";
            return Err(self.fault(problem, remedy));
        }
        Ok(())
    }

    /// Calls `begin` with both headers and `visit` with each sample.
    fn scan(
        &self,
        begin: &mut dyn FnMut(&Header, &Header),
        visit: &mut Visit<'_>,
    ) -> Result<(), IngestError> {
        if self.path.is_dir() {
            let [inputs, labels] = [&self.spec.inputs, &self.spec.labels]
                .map(|name| self.path.join(format!("{name}.npy")));
            return self.pair(
                &mut self.plain(&inputs)?,
                &mut self.plain(&labels)?,
                begin,
                visit,
            );
        }
        let mut archives = [archive(self.path)?, archive(self.path)?];
        let [first, second] = &mut archives;
        let mut inputs = self.member(first, &self.spec.inputs)?;
        let mut labels = self.member(second, &self.spec.labels)?;
        self.pair(&mut inputs, &mut labels, begin, visit)
    }

    fn plain(&self, path: &Path) -> Result<BufReader<File>, Fault> {
        if !path.exists() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let remedy = "save the array there, or write its name in data.inputs and data.labels";
            return Err(self.fault(format!("there is no {name} in it"), remedy));
        }
        let real = fault::inside(self.path, path)?;
        fault::open(&real).map(BufReader::new)
    }

    fn member<'z>(
        &self,
        archive: &'z mut ZipArchive<BufReader<File>>,
        name: &str,
    ) -> Result<impl Read + 'z, Fault> {
        let names: Vec<String> = archive
            .file_names()
            .take(20)
            .filter_map(|name| name.ok().map(|name| fault::quoted(&name)))
            .collect();
        let member = archive.by_name(&format!("{name}.npy")).map_err(|error| {
            let problem = format!("its member {name}.npy can't be read: {error}");
            let remedy = format!(
                "write in data.inputs and data.labels what it has: {}",
                names.join(", ")
            );
            self.fault(problem, remedy)
        })?;
        let (packed, unpacked) = (member.compressed_size(), member.size());
        if unpacked > SMALL_MEMBER_BYTES && unpacked / packed.max(1) > MAX_RATIO {
            let problem = format!("{name}.npy unpacks from {packed} to {unpacked} bytes");
            let remedy = "save it with numpy.savez, without compression, if it is meant";
            return Err(self.fault(problem, remedy));
        }
        Ok(member.take(unpacked))
    }

    fn pair(
        &self,
        inputs: &mut impl Read,
        labels: &mut impl Read,
        begin: &mut dyn FnMut(&Header, &Header),
        visit: &mut Visit<'_>,
    ) -> Result<(), IngestError> {
        let place = |name| format!("{}, {name}", self.path.display());
        let names = [place(&self.spec.inputs), place(&self.spec.labels)];
        let of_inputs = Header::read(inputs, &names[0])?;
        let of_labels = Header::read(labels, &names[1])?;
        let is_whole = matches!(of_labels.kind, Kind::Unsigned(_) | Kind::Signed(_));
        if !is_whole || of_labels.shape.len() != 1 {
            let remedy = "save one whole number for each sample, counted from 0";
            return Err(Fault::new(&names[1], "these are no labels", remedy).into());
        }
        let samples = of_labels.shape[0];
        if of_inputs.shape.first() != Some(&samples) || of_inputs.shape.len() < 2 {
            let problem = format!(
                "shape {:?} does not go with {samples} labels",
                of_inputs.shape
            );
            let remedy = "save one row of inputs for each label";
            return Err(Fault::new(&names[0], problem, remedy).into());
        }
        let row_bytes = of_inputs.row_bytes();
        if of_inputs.total_bytes() > MAX_INPUT_BYTES {
            let problem = format!("it has {} bytes", of_inputs.total_bytes());
            let remedy = format!("use at most {MAX_INPUT_BYTES}");
            return Err(Fault::new(&names[0], problem, remedy).into());
        }
        begin(&of_inputs, &of_labels);
        let mut row = vec![0; row_bytes];
        let mut label = vec![0; of_labels.kind.bytes()];
        for at in 0..samples as u64 {
            for (reader, buffer, name) in [
                (inputs as &mut dyn Read, &mut row, &names[0]),
                (labels as &mut dyn Read, &mut label, &names[1]),
            ] {
                reader.read_exact(buffer).map_err(|error| {
                    let problem = format!("it breaks off at sample {at}: {error}");
                    Fault::new(name, problem, "save it again")
                })?;
            }
            visit(at, &row, of_labels.whole_number(&label))?;
        }
        for (reader, name) in [(inputs as &mut dyn Read, &names[0]), (labels, &names[1])] {
            if reader.read(&mut [0]).is_ok_and(|read| read > 0) {
                let problem = "it is longer than its shape says";
                return Err(Fault::new(name, problem, "save it again").into());
            }
        }
        Ok(())
    }
}
