//! Event files, record by record.
//!
//! A file is a sequence of `TFRecord`s: the length of the data (8 bytes), the masked CRC-32C of these 8 bytes, the data,
//! and its masked CRC-32C, all little-endian. The data is an `Event` of Protocol Buffers. Field numbers are those of
//! TensorFlow's `event.proto` and `summary.proto`.

use tabswarm_export::protobuf::Message;

/// What the first event of a file has to say.
const FILE_VERSION: &str = "brain.Event:2";
/// Longest event that is read back: ours have below 100 bytes.
const MAX_EVENT_BYTES: usize = 1 << 10;
const HEAD_BYTES: usize = 12;
const TAIL_BYTES: usize = 4;
/// Fields of `Event`.
const WALL_TIME: u32 = 1;
const STEP: u32 = 2;
const VERSION: u32 = 3;
const SUMMARY: u32 = 5;
/// Fields of `Summary`, and of its values.
const VALUE: u32 = 1;
const TAG: u32 = 1;
const SIMPLE_VALUE: u32 = 2;

/// A number at a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scalar {
    /// Seconds since 1970.
    pub(super) wall_time: f64,
    /// The version.
    pub(super) step: u64,
    /// What it is.
    pub(super) tag: String,
    /// The number.
    pub(super) value: f32,
}

/// The record that a file begins with.
pub(super) fn beginning(wall_time: f64) -> Vec<u8> {
    let event = Message::default()
        .double(WALL_TIME, wall_time)
        .text(VERSION, FILE_VERSION);
    record(&event.into_bytes())
}

impl Scalar {
    /// Its record.
    pub(super) fn record(&self) -> Vec<u8> {
        let value = Message::default()
            .text(TAG, &self.tag)
            .float(SIMPLE_VALUE, self.value);
        let summary = Message::default().message(VALUE, &value);
        let step = i64::try_from(self.step).unwrap_or(i64::MAX);
        let event = Message::default()
            .double(WALL_TIME, self.wall_time)
            .int(STEP, step)
            .message(SUMMARY, &summary);
        record(&event.into_bytes())
    }

    /// Reads an event that [`Self::record`] wrote; none for any other.
    fn parse(event: &[u8]) -> Option<Self> {
        let mut fields = Fields(event);
        let wall_time = f64::from_le_bytes(fields.fixed(WALL_TIME)?);
        let step = fields.int(STEP)?;
        let mut summary = Fields(fields.bytes(SUMMARY)?);
        let mut value = Fields(summary.bytes(VALUE)?);
        let tag = String::from_utf8(value.bytes(TAG)?.to_vec()).ok()?;
        let value = f32::from_le_bytes(value.fixed(SIMPLE_VALUE)?);
        Some(Self {
            wall_time,
            step,
            tag,
            value,
        })
    }
}

/// The scalars of a file, as far as its records are whole; none where it does not begin as ours do.
pub(super) fn read(file: &[u8]) -> Option<Vec<Scalar>> {
    let (first, mut rest) = split(file)?;
    let mut fields = Fields(first);
    fields.fixed::<8>(WALL_TIME)?;
    if fields.bytes(VERSION)? != FILE_VERSION.as_bytes() {
        return None;
    }
    let mut scalars = Vec::new();
    while let Some((event, behind)) = split(rest) {
        scalars.extend(Scalar::parse(event));
        rest = behind;
    }
    Some(scalars)
}

/// The data of the first record, and what follows; none where it is not whole.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let size = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    if u32::from_le_bytes(*crc) != masked_crc(length) || size > MAX_EVENT_BYTES {
        return None;
    }
    let (data, rest) = rest.split_at_checked(size)?;
    let (crc, rest) = rest.split_first_chunk::<TAIL_BYTES>()?;
    (u32::from_le_bytes(*crc) == masked_crc(data)).then_some((data, rest))
}

fn record(data: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEAD_BYTES + data.len() + TAIL_BYTES);
    let length = (data.len() as u64).to_le_bytes();
    record.extend(length);
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend_from_slice(data);
    record.extend(masked_crc(data).to_le_bytes());
    record
}

/// CRCs of data that holds CRCs are no good, so TensorFlow stores them turned and shifted.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Castagnoli's CRC, bit by bit: events are short and rare.
fn crc32c(data: &[u8]) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = !0;
    for &byte in data {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc = (crc >> 1) ^ (REVERSED_POLYNOMIAL * carry);
        }
    }
    !crc
}

/// Fields of a message in the order in which we write them.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// A field of `N` bytes: a `float` or a `double`.
    fn fixed<const N: usize>(&mut self, field: u32) -> Option<[u8; N]> {
        let wire_type = if N == 8 { 1 } else { 5 };
        self.key(field, wire_type)?;
        let (value, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*value)
    }

    fn int(&mut self, field: u32) -> Option<u64> {
        self.key(field, 0)?;
        self.varint()
    }

    fn bytes(&mut self, field: u32) -> Option<&'a [u8]> {
        self.key(field, 2)?;
        let length = usize::try_from(self.varint()?).ok()?;
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    fn key(&mut self, field: u32, wire_type: u32) -> Option<()> {
        let key = self.varint()?;
        (key == u64::from(field << 3 | wire_type)).then_some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(step: u64) -> Scalar {
        Scalar {
            wall_time: 1_700_000_000.25,
            step,
            tag: "train/loss".to_owned(),
            value: 0.5,
        }
    }

    #[test]
    fn the_crc_is_castagnolis() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut file = beginning(1.0);
        let scalars = [0, 1, 300, u64::from(u32::MAX)].map(scalar);
        for scalar in &scalars {
            file.extend(scalar.record());
        }
        assert_eq!(read(&file).unwrap(), scalars);
    }

    #[test]
    fn half_a_record_and_what_is_behind_it_are_not_read() {
        let mut file = beginning(1.0);
        file.extend(scalar(1).record());
        let whole = file.len();
        file.extend(scalar(2).record());
        for end in whole..file.len() {
            assert_eq!(read(&file[..end]).unwrap(), [scalar(1)], "{end}");
        }
        for at in whole..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 4;
            assert_eq!(read(&flipped).unwrap(), [scalar(1)], "{at}");
        }
        assert_eq!(read(b"something else"), None);
        assert_eq!(read(&scalar(1).record()), None);
    }
}
