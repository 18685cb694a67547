//! Pictures: a folder for each class, PNG or JPEG, all made of one size.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use tabswarm_model::Run;
use tabswarm_model::dataset::{InputKind, Preparation};
use tabswarm_model::run_file::{ImageFit, Split};

use super::fault::{self, Fault};
use super::ingest::{IngestError, Ingested, Sets};
use super::split::Splitter;
use super::writer::{Inputs, Target, Writer};

/// Most pictures: their paths are in memory.
const MAX_PICTURES: usize = 2_000_000;
/// Largest width or height of a picture, in pixels.
const MAX_SIDE: u32 = 16_384;
/// Most memory that decoding a picture may take: a small file can stand for a huge picture.
const MAX_DECODED_BYTES: u64 = 256 << 20;

/// Reads, checks and stores a folder of pictures.
pub(super) fn ingest(
    run: &Run,
    (fit, split): (ImageFit, Split),
    folder: &Path,
    sets: Sets<'_>,
) -> Result<Ingested, IngestError> {
    let &[height, width, channels @ (1 | 3)] = run.model.input.as_slice() else {
        let problem = format!("pictures do not become model.input = {:?}", run.model.input);
        let remedy =
            "write [height, width, 1] for gray ones or [height, width, 3] for colored ones";
        return Err(Fault::new(folder.display(), problem, remedy).into());
    };
    let (classes, pictures) = list(folder)?;
    let outputs = run.graph().classes;
    if classes.len() > outputs || classes.len() < 2 {
        let problem = format!(
            "it has {} folders of pictures, but the model has {outputs} outputs",
            classes.len()
        );
        let remedy = "make one folder for each class, and as many units in the last layer";
        return Err(Fault::new(folder.display(), problem, remedy).into());
    }
    let splitter = Splitter::new(run.seed, pictures.len() as u64, split, folder)?;
    let preparation = Preparation {
        classes,
        ..Preparation::default()
    };
    let mut writer = Writer::new(run, folder, InputKind::Bytes, Some(preparation), sets);
    for ((path, class), place) in pictures.iter().zip(0..) {
        let pixels = read(path, [height, width], channels, fit)?;
        writer.push(
            splitter.part(place),
            Inputs::Bytes(&pixels),
            Target::Class(*class),
        )?;
    }
    writer.finish()
}

/// A picture's file and its class.
pub(super) type Picture = (PathBuf, u16);

/// The classes, and all pictures with their class, in the order of their names.
pub(super) fn list(folder: &Path) -> Result<(Vec<String>, Vec<Picture>), Fault> {
    let (mut classes, mut pictures) = (Vec::new(), Vec::new());
    for path in entries(folder)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            let remedy = "give it a name in UTF-8";
            return Err(Fault::new(path.display(), "its name is no text", remedy));
        };
        if !fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            let problem = "it is not a folder of pictures";
            let remedy = "put pictures into one folder for each class, without links";
            return Err(Fault::new(path.display(), problem, remedy));
        }
        let class = u16::try_from(classes.len()).map_err(|_many| {
            Fault::new(
                folder.display(),
                "it has more than 65536 folders",
                "use fewer classes",
            )
        })?;
        classes.push(name.to_owned());
        let before = pictures.len();
        for picture in entries(&path)? {
            if !fs::symlink_metadata(&picture).is_ok_and(|meta| meta.is_file()) {
                let problem = "it is a folder, a link or a device, not a picture";
                let remedy = "put the pictures themselves there";
                return Err(Fault::new(picture.display(), problem, remedy));
            }
            pictures.push((picture, class));
        }
        if pictures.len() == before {
            let remedy = "put pictures there, or remove the folder";
            return Err(Fault::new(
                path.display(),
                "there are no pictures in it",
                remedy,
            ));
        }
    }
    Ok((classes, pictures))
}

/// What is in a folder but for hidden files, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let io_error = |error| Fault::io(folder, &error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error)? {
        let entry = entry.map_err(io_error)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        paths.push(entry.path());
        if paths.len() > MAX_PICTURES {
            let problem = format!("it has more than {MAX_PICTURES} files");
            return Err(Fault::new(folder.display(), problem, "use fewer pictures"));
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// A picture's height and width.
pub(super) fn size(path: &Path) -> Result<[usize; 2], Fault> {
    let (width, height) = reader(path)?
        .into_dimensions()
        .map_err(|error| damaged(path, format!("it can't be read: {error}")))?;
    Ok([height as usize, width as usize])
}

fn damaged(path: &Path, problem: String) -> Fault {
    Fault::new(path.display(), problem, "replace or remove the picture")
}

/// What decodes a picture within limits.
fn reader(path: &Path) -> Result<ImageReader<BufReader<File>>, Fault> {
    let file = BufReader::new(fault::open(path)?);
    let reader = ImageReader::new(file).with_guessed_format();
    let mut reader = reader.map_err(|error| Fault::io(path, &error))?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        return Err(damaged(path, "it is neither PNG nor JPEG".to_owned()));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    Ok(reader)
}

/// A picture's (height, width, channels) bytes.
fn read(
    path: &Path,
    [height, width]: [usize; 2],
    channels: usize,
    fit: ImageFit,
) -> Result<Vec<u8>, Fault> {
    let picture = reader(path)?
        .decode()
        .map_err(|error| damaged(path, format!("it can't be read: {error}")))?;
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (got, wanted) = (
        (picture.height(), picture.width()),
        (side(height), side(width)),
    );
    let picture = match fit {
        _ if got == wanted => picture,
        ImageFit::Stretch => picture.resize_exact(wanted.1, wanted.0, FilterType::Triangle),
        ImageFit::Exact => {
            let problem = format!(
                "it is {} x {} pixels instead of {height} x {width}",
                got.0, got.1
            );
            let remedy = "write data.fit = \"stretch\", or make all pictures of one size";
            return Err(Fault::new(path.display(), problem, remedy));
        }
    };
    Ok(pixels(picture, channels))
}

fn pixels(picture: DynamicImage, channels: usize) -> Vec<u8> {
    if channels == 1 {
        picture.into_luma8().into_raw()
    } else {
        picture.into_rgb8().into_raw()
    }
}
