//! Arrays of `NumPy`, in a folder or an archive.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use super::{ArraySurvey, ClassSurvey, Survey, run_file};
use crate::dataset::arrays::{archive, entries};
use crate::dataset::fault::{self, Fault};
use crate::dataset::ingest::IngestError;
use crate::dataset::npy::{Header, Kind};

/// Names that arrays of inputs and of labels often have.
const INPUT_NAMES: [&str; 6] = ["x", "inputs", "images", "data", "x_train", "features"];
const LABEL_NAMES: [&str; 6] = ["y", "labels", "label", "target", "y_train", "targets"];
/// Most classes that are counted.
const MAX_CLASSES: usize = 1_000;

/// An array's header, and the labels in it if it may hold some.
struct Array {
    name: String,
    header: Header,
    labels: Option<Vec<u64>>,
}

pub(super) fn survey(path: &Path, shown: &str) -> Result<Survey, IngestError> {
    let mut arrays = Vec::new();
    if path.is_dir() {
        for entry in entries(path)? {
            let name = entry.with_extension("");
            let name = name.file_name().unwrap_or_default().to_string_lossy();
            let mut file = fault::open(&entry)?;
            arrays.push(Array::read(&name, &mut file, &entry)?);
        }
    } else {
        let mut archive = archive(path)?;
        for at in 0..archive.len() {
            let member = archive.by_index(at).map_err(|error| {
                let problem = format!("its member {at} can't be read: {error}");
                Fault::new(path.display(), problem, "save it with numpy.savez")
            })?;
            let name = member
                .name()
                .map_or_else(|_| String::new(), Cow::into_owned);
            let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
                continue;
            };
            let size = member.size();
            arrays.push(Array::read(&name, &mut member.take(size), path)?);
        }
    }
    Ok(described(arrays, shown))
}

impl Array {
    fn read(name: &str, reader: &mut impl Read, path: &Path) -> Result<Self, Fault> {
        let place = format!("{}, {name}", path.display());
        let header = Header::read(reader, &place)?;
        let is_whole = matches!(header.kind, Kind::Signed(_) | Kind::Unsigned(_));
        let labels = if is_whole && header.shape.len() == 1 {
            counts(&header, reader, &place)?
        } else {
            None
        };
        let name = name.to_owned();
        Ok(Self {
            name,
            header,
            labels,
        })
    }
}

/// How often each whole number occurs; none where they are no classes.
fn counts(header: &Header, reader: &mut impl Read, place: &str) -> Result<Option<Vec<u64>>, Fault> {
    let mut counts = Vec::new();
    let mut raw = vec![0; header.kind.bytes()];
    let mut reader = std::io::BufReader::new(reader);
    for at in 0..header.shape[0] {
        reader.read_exact(&mut raw).map_err(|error| {
            let problem = format!("it breaks off at value {at}: {error}");
            Fault::new(place, problem, "save it again")
        })?;
        let class = usize::try_from(header.whole_number(&raw)).ok();
        let Some(class) = class.filter(|&class| class < MAX_CLASSES) else {
            return Ok(None);
        };
        counts.resize(counts.len().max(class + 1), 0);
        counts[class] += 1;
    }
    Ok(Some(counts))
}

fn described(arrays: Vec<Array>, shown: &str) -> Survey {
    let named =
        |array: &&Array, names: &[&str]| names.contains(&array.name.to_lowercase().as_str());
    let labels = arrays.iter().filter(|array| array.labels.is_some());
    let labels = labels
        .clone()
        .find(|array| named(array, &LABEL_NAMES))
        .or_else(|| labels.clone().next());
    let fits = |array: &&Array| {
        array.header.shape.len() > 1
            && labels.is_none_or(|labels| labels.header.shape[0] == array.header.shape[0])
    };
    let inputs = arrays.iter().filter(fits);
    let inputs = inputs
        .clone()
        .find(|array| named(array, &INPUT_NAMES))
        .or_else(|| inputs.clone().next());
    let mut survey = Survey {
        format: "npy",
        ..Survey::default()
    };
    if let (Some(inputs), Some(labels)) = (inputs, labels) {
        survey.samples = labels.header.shape[0] as u64;
        let classes = labels.labels.iter().flatten().enumerate();
        let class = |(class, &samples): (usize, &u64)| ClassSurvey {
            name: class.to_string(),
            samples,
        };
        survey.classes = classes.map(class).collect();
        let normalize = match inputs.header.kind {
            Kind::Unsigned(1) => "{ mean = 0.0, std = 1.0 }",
            _ => "\"standard\"",
        };
        let data = format!(
            "format = \"npy\"\npath = {shown:?}\ninputs = {:?}\nlabels = {:?}\nnormalize = {normalize}\n\
             split = {{ validation = 0.2 }}\n",
            inputs.name, labels.name
        );
        let classes = survey.classes.len().max(2);
        survey.run_file = run_file(&data, &inputs.header.shape[1..], classes);
    } else {
        let remark = "there are no two arrays that go together: inputs of two or more dimensions, and one whole \
                      number from 0 for each of them";
        survey.remarks.push(remark.to_owned());
    }
    let array = |array: Array| ArraySurvey {
        name: array.name,
        dtype: array.header.kind.to_string(),
        shape: array.header.shape,
    };
    survey.arrays = arrays.into_iter().map(array).collect();
    survey
}
