//! Files as other programs write them.

use std::io::{Cursor, Write as _};

use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbImage};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// An array as `numpy.save` writes it.
pub(super) fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    npy_header(
        &format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"),
        values,
    )
}

pub(super) fn npy_header(header: &str, values: &[u8]) -> Vec<u8> {
    let mut header = header.as_bytes().to_vec();
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(b' ');
    }
    header.push(b'\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header);
    bytes.extend(values);
    bytes
}

/// Whole numbers from 0 to below `classes`, again and again, as `<i8`.
pub(super) fn labels(samples: usize, classes: usize) -> Vec<u8> {
    let values = (0..samples).flat_map(|at| ((at % classes) as u64).to_le_bytes());
    npy(
        "<i8",
        &format!("({samples},)"),
        &values.collect::<Vec<u8>>(),
    )
}

/// Rows of `features` floats that grow, as `<f4`.
pub(super) fn floats(samples: usize, features: usize) -> Vec<u8> {
    let values = (0..samples * features).flat_map(|at| (at as f32).to_le_bytes());
    npy(
        "<f4",
        &format!("({samples}, {features})"),
        &values.collect::<Vec<u8>>(),
    )
}

pub(super) fn zip(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub(super) fn gray(height: u32, width: u32, value: u8) -> Vec<u8> {
    let picture = GrayImage::from_pixel(width, height, Luma([value]));
    encoded(&DynamicImage::ImageLuma8(picture), ImageFormat::Png)
}

pub(super) fn color(height: u32, width: u32, value: [u8; 3], format: ImageFormat) -> Vec<u8> {
    let picture = RgbImage::from_pixel(width, height, image::Rgb(value));
    encoded(&DynamicImage::ImageRgb8(picture), format)
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A PNG that claims to be larger than it is.
pub(super) fn lying_png(height: u32, width: u32) -> Vec<u8> {
    let mut bytes = color(1, 1, [1, 2, 3], ImageFormat::Png);
    // The header's chunk: length, "IHDR", width, height, five bytes, checksum of all but the length.
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The checksum of PNG (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let rest = bytes.iter().fold(u32::MAX, |rest, &byte| {
        (0..8).fold(rest ^ u32::from(byte), |rest, _| {
            (rest >> 1) ^ (0xedb8_8320 * (rest & 1))
        })
    });
    !rest
}
