//! Folders: files of MNIST's form, arrays, a text, or pictures by class.

use std::collections::BTreeMap;
use std::path::Path;

use super::{ArraySurvey, ClassSurvey, Survey, arrays, run_file, text};
use crate::dataset::arrays::entries;
use crate::dataset::fault::Fault;
use crate::dataset::idx::{Kind, Rows};
use crate::dataset::images;
use crate::dataset::ingest::IngestError;
use crate::dataset::text::find;

/// Pictures whose size is looked at.
const MAX_LOOKED_AT: usize = 1_000;

pub(super) fn survey(path: &Path, shown: &str) -> Result<Survey, IngestError> {
    let has = |name: &str| path.join(name).is_file();
    if has("train-images-idx3-ubyte") || has("train-images.idx3-ubyte") {
        return images_of_idx(path, shown);
    }
    if !entries(path)?.is_empty() {
        return arrays::survey(path, shown);
    }
    if let Ok(found) = find(path) {
        return text::survey(&found, shown);
    }
    pictures(path, shown)
}

fn images_of_idx(path: &Path, shown: &str) -> Result<Survey, IngestError> {
    let mut survey = Survey {
        format: "idx",
        ..Survey::default()
    };
    let mut counts = Vec::new();
    for prefix in ["train", "t10k"] {
        let name = format!("{prefix}-images-idx3-ubyte");
        let images = Rows::open(path, &name, Kind::Bytes, 3)?.dims;
        survey.arrays.push(ArraySurvey {
            name: format!("{prefix}-images"),
            shape: images,
            dtype: "uint8".to_owned(),
        });
        let name = format!("{prefix}-labels-idx1-ubyte");
        let mut labels = Rows::open(path, &name, Kind::Bytes, 1)?;
        survey.arrays.push(ArraySurvey {
            name: format!("{prefix}-labels"),
            shape: labels.dims.clone(),
            dtype: "uint8".to_owned(),
        });
        for _ in 0..labels.dims[0] {
            let class = usize::from(labels.next()?[0]);
            counts.resize(counts.len().max(class + 1), 0);
            counts[class] += 1;
            survey.samples += 1;
        }
    }
    let class = |(class, samples): (usize, u64)| ClassSurvey {
        name: class.to_string(),
        samples,
    };
    survey.classes = counts.into_iter().enumerate().map(class).collect();
    let mut input = survey.arrays[0].shape[1..].to_vec();
    input.push(1);
    let data = format!("format = \"idx\"\npath = {shown:?}\n");
    survey.run_file = run_file(&data, &input, survey.classes.len().max(2));
    Ok(survey)
}

fn pictures(path: &Path, shown: &str) -> Result<Survey, IngestError> {
    let (classes, pictures) = images::list(path)?;
    if classes.is_empty() {
        let problem = "there is no data set in it that is known";
        let remedy = "put the four files of MNIST's form, two .npy files, one .txt file, or a folder of pictures \
                      for each class there";
        return Err(Fault::new(path.display(), problem, remedy).into());
    }
    let mut survey = Survey {
        format: "images",
        samples: pictures.len() as u64,
        ..Survey::default()
    };
    for (class, name) in classes.into_iter().enumerate() {
        let is_its = |&&(_, of): &&(_, u16)| usize::from(of) == class;
        let samples = pictures.iter().filter(is_its).count() as u64;
        survey.classes.push(ClassSurvey { name, samples });
    }
    let mut sizes = BTreeMap::new();
    // Evenly spread, so that each class is looked at.
    let step = pictures.len().div_ceil(MAX_LOOKED_AT).max(1);
    for (picture, _) in pictures.iter().step_by(step) {
        *sizes.entry(images::size(picture)?).or_insert(0_usize) += 1;
    }
    let usual = sizes.iter().max_by_key(|(_, count)| **count);
    let usual = usual.map_or([1; 2], |(size, _)| *size);
    let mut data = format!("format = \"images\"\npath = {shown:?}\n");
    if sizes.len() > 1 {
        data.push_str("fit = \"stretch\"\n");
        let [height, width] = usual;
        survey.remarks.push(format!(
            "pictures are of {} different sizes, most of {height} x {width} pixels",
            sizes.len()
        ));
    }
    data.push_str("split = { validation = 0.2 }\n");
    let classes = survey.classes.len().max(2);
    survey.run_file = run_file(&data, &[usual[0], usual[1], 3], classes);
    Ok(survey)
}
