//! What the headers of a Parquet file's pages claim, looked at before a library believes them.
//!
//! A page's header says how large the page is unpacked and how many values its dictionary has, and memory is taken
//! for that; a few bytes can claim gigabytes. Headers are structures of Thrift's compact protocol
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>), of which three numbers
//! are looked at here and the rest is stepped over.

use std::io::{BufReader, Read, Seek as _, SeekFrom};

use parquet::file::metadata::ColumnChunkMetaData;

/// Largest page, unpacked: writers make pages of about 1 MiB.
pub(super) const MAX_PAGE_BYTES: i64 = 64 << 20;
/// Longest header of a page: it may repeat the page's smallest and largest value.
const MAX_HEADER_BYTES: u64 = 1 << 20;
/// Structures within structures: a page's header has three levels.
const MAX_DEPTH: u8 = 8;

/// The fields of a page's header that are looked at (`PageHeader` in `parquet.thrift`).
const UNPACKED: [i64; 2] = [2, 0];
const PACKED: [i64; 2] = [3, 0];
/// `num_values` of the header of a dictionary.
const DICTIONARY_VALUES: [i64; 2] = [7, 1];

/// Checks all pages of a column in a row group, or says what is wrong with one.
pub(super) fn check(file: &std::fs::File, column: &ColumnChunkMetaData) -> Result<(), String> {
    let [start, packed] = [
        column
            .dictionary_page_offset()
            .unwrap_or_else(|| column.data_page_offset()),
        column.compressed_size(),
    ];
    let file_bytes = file.metadata().map_err(|error| error.to_string())?.len();
    let bounds = (u64::try_from(start), u64::try_from(packed));
    let (Ok(start), Ok(mut left)) = bounds else {
        return Err(format!("a column begins at {start} and has {packed} bytes"));
    };
    if start.saturating_add(left) > file_bytes {
        return Err(format!(
            "a column of {left} bytes at {start} goes beyond the file's end"
        ));
    }
    let mut reader = BufReader::new(file);
    reader
        .seek(SeekFrom::Start(start))
        .map_err(|error| error.to_string())?;
    while left > 0 {
        let mut header = Header::new(reader.by_ref().take(left.min(MAX_HEADER_BYTES)));
        let sizes = header
            .sizes()
            .map_err(|what| format!("a page's header {what}"))?;
        let taken = header.taken;
        sizes.check(left - taken)?;
        // Checked to be between 0 and what is left of the column.
        let body = sizes.packed.unsigned_abs();
        left -= taken + body;
        reader
            .seek_relative(sizes.packed)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What a page's header claims.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sizes {
    unpacked: i64,
    packed: i64,
    dictionary: i64,
}

impl Sizes {
    fn check(self, left: u64) -> Result<(), String> {
        let Self {
            unpacked,
            packed,
            dictionary,
        } = self;
        if !(0..=MAX_PAGE_BYTES).contains(&unpacked) {
            return Err(format!(
                "a page says that it unpacks to {unpacked} bytes; at most {MAX_PAGE_BYTES} are read"
            ));
        }
        if u64::try_from(packed).map_or(true, |packed| packed > left) {
            return Err(format!(
                "a page says that it has {packed} bytes where {left} are left of its column"
            ));
        }
        // Each value of a dictionary takes a byte at least.
        if !(0..=unpacked).contains(&dictionary) {
            return Err(format!(
                "a page of {unpacked} bytes says that it has a dictionary of {dictionary} values"
            ));
        }
        Ok(())
    }
}

/// A header that is being read.
struct Header<R> {
    reader: R,
    /// Bytes read.
    taken: u64,
    sizes: Sizes,
}

impl<R: Read> Header<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            taken: 0,
            sizes: Sizes::default(),
        }
    }

    fn sizes(&mut self) -> Result<Sizes, &'static str> {
        self.structure(0, 0)?;
        Ok(self.sizes)
    }

    /// Reads a structure; `outer` is the field that holds it.
    fn structure(&mut self, outer: i64, depth: u8) -> Result<(), &'static str> {
        let mut field = 0_i64;
        loop {
            let byte = self.byte()?;
            let kind = byte & 0x0f;
            if kind == 0 {
                return Ok(());
            }
            field = match byte >> 4 {
                0 => self.number()?,
                step => field.saturating_add(i64::from(step)),
            };
            let place = if depth == 0 {
                [field, 0]
            } else {
                [outer, field]
            };
            self.value(kind, place, depth, true)?;
        }
    }

    fn value(
        &mut self,
        kind: u8,
        place: [i64; 2],
        depth: u8,
        is_field: bool,
    ) -> Result<(), &'static str> {
        if depth > MAX_DEPTH {
            return Err("is nested too deeply");
        }
        match kind {
            // A field's truth is in its type; an element's takes a byte.
            1 | 2 if is_field => {}
            1..=3 => {
                self.byte()?;
            }
            4..=6 => {
                let number = self.number()?;
                match place {
                    UNPACKED => self.sizes.unpacked = number,
                    PACKED => self.sizes.packed = number,
                    DICTIONARY_VALUES if depth == 1 => self.sizes.dictionary = number,
                    _ => {}
                }
            }
            7 => self.skip(8)?,
            8 => {
                let bytes = self.varint()?;
                self.skip(bytes)?;
            }
            9 | 10 => {
                let byte = self.byte()?;
                let elements = match byte >> 4 {
                    15 => self.varint()?,
                    few => u64::from(few),
                };
                // Each takes a byte at least, and reading fails at the end.
                for _ in 0..elements {
                    self.value(byte & 0x0f, [0, 0], depth + 1, false)?;
                }
            }
            12 => self.structure(if depth == 0 { place[0] } else { 0 }, depth + 1)?,
            _ => return Err("has a field of an unknown type"),
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let mut byte = [0];
        self.reader
            .read_exact(&mut byte)
            .map_err(|_end| "does not end")?;
        self.taken += 1;
        Ok(byte[0])
    }

    fn skip(&mut self, bytes: u64) -> Result<(), &'static str> {
        let skipped = std::io::copy(&mut self.reader.by_ref().take(bytes), &mut std::io::sink());
        self.taken += bytes;
        if skipped.is_ok_and(|skipped| skipped == bytes) {
            Ok(())
        } else {
            Err("does not end")
        }
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("has a number of more than 64 bits")
    }

    /// Signs alternate: 0, -1, 1, -2, …
    fn number(&mut self) -> Result<i64, &'static str> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(bytes: &[u8]) -> Result<Sizes, &'static str> {
        Header::new(bytes).sizes()
    }

    #[test]
    fn three_numbers_are_found_and_the_rest_is_stepped_over() {
        // type = 2, unpacked = 100, packed = 50, crc = -1, dictionary { values = 9, encoding = 0, sorted = true }.
        let dictionary = [
            0x15, 0x04, 0x15, 0xc8, 0x01, 0x15, 0x64, 0x15, 0x01, 0x3c, 0x15, 0x12, 0x15, 0x00,
            0x11, 0x00, 0x00,
        ];
        let expected = Sizes {
            unpacked: 100,
            packed: 50,
            dictionary: 9,
        };
        assert_eq!(sizes(&dictionary), Ok(expected));
        for end in 0..dictionary.len() {
            assert_eq!(sizes(&dictionary[..end]), Err("does not end"), "{end}");
        }
        // Statistics in a data page's header { 5: { 5: { 1: "ab", 2: "cd" } } }: fields of the same numbers
        // further in are no sizes.
        let data = [
            0x15, 0x00, 0x15, 0x02, 0x15, 0x04, 0x2c, 0x15, 0x06, 0x4c, 0x18, 2, b'a', b'b', 0x18,
            2, b'c', b'd', 0x15, 0x7e, 0x00, 0x00, 0x00,
        ];
        let expected = Sizes {
            unpacked: 1,
            packed: 2,
            dictionary: 0,
        };
        assert_eq!(sizes(&data), Ok(expected));
    }

    #[test]
    fn what_could_take_memory_or_time_is_refused() {
        let huge_string = [0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(sizes(&huge_string), Err("does not end"));
        let huge_list = [0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(sizes(&huge_list), Err("does not end"));
        assert_eq!(sizes(&[0x1c; 100]), Err("is nested too deeply"));
        assert_eq!(sizes(&[0x1d]), Err("has a field of an unknown type"));
        assert_eq!(
            sizes(&[
                0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
            ]),
            Err("has a number of more than 64 bits")
        );
    }

    #[test]
    fn claims_are_bounded() {
        let honest = Sizes {
            unpacked: 1_000,
            packed: 100,
            dictionary: 250,
        };
        assert_eq!(honest.check(100), Ok(()));
        for (lie, left) in [
            (
                Sizes {
                    unpacked: MAX_PAGE_BYTES + 1,
                    ..honest
                },
                100,
            ),
            (
                Sizes {
                    unpacked: -1,
                    ..honest
                },
                100,
            ),
            (honest, 99),
            (
                Sizes {
                    packed: -1,
                    ..honest
                },
                100,
            ),
            (
                Sizes {
                    dictionary: 1_001,
                    ..honest
                },
                100,
            ),
        ] {
            assert!(lie.check(left).is_err(), "{lie:?}");
        }
    }
}
