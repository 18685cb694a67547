//! Parquet files, good and bad.

use std::fmt::Write as _;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::{Mistake, Place, check, run};

const DATA: &str = r#"format = "parquet", path = "t.parquet", label = "kind", categorical = ["color"], missing = "mean", split = { validation = 0.2 }"#;

/// Rows of a width, a number of legs that is missing in every fifth row, a color, whether it flies, and a kind.
fn table(rows: usize, compression: Compression) -> Vec<u8> {
    let schema = "message animals { required double width; optional int32 legs; \
                  required binary color (UTF8); required boolean flies; required binary kind (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(compression);
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties.build())).unwrap();
    let words = |words: [&'static str; 2]| -> Vec<ByteArray> {
        (0..rows)
            .map(|row| ByteArray::from(words[row % 2]))
            .collect()
    };
    // Two groups of rows, as large files have them.
    for _ in 0..2 {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let widths: Vec<f64> = (0..rows).map(|row| row as f64).collect();
        column
            .typed::<DoubleType>()
            .write_batch(&widths, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let levels: Vec<i16> = (0..rows).map(|row| i16::from(row % 5 != 0)).collect();
        let legs = vec![4; levels.iter().filter(|&&level| level == 1).count()];
        column
            .typed::<Int32Type>()
            .write_batch(&legs, Some(&levels), None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let colors = words(["red", "blue"]);
        column
            .typed::<ByteArrayType>()
            .write_batch(&colors, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let flies: Vec<bool> = (0..rows).map(|row| row % 3 == 0).collect();
        column
            .typed::<BoolType>()
            .write_batch(&flies, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let kinds = words(["bird", "cat"]);
        column
            .typed::<ByteArrayType>()
            .write_batch(&kinds, None, None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

#[test]
fn a_parquet_file_becomes_the_samples_that_a_csv_file_would() {
    let place = Place::new("parquet");
    let mut csv = "width,legs,color,flies,kind\n".to_owned();
    for row in (0..50).chain(0..50) {
        let legs = if row % 5 == 0 { "" } else { "4" };
        let [color, kind] = [["red", "bird"], ["blue", "cat"]][row % 2];
        writeln!(
            csv,
            "{row},{legs},{color},{},{kind}",
            u8::from(row % 3 == 0)
        )
        .unwrap();
    }
    place.write("t.csv", csv.as_bytes());
    let as_csv = DATA
        .replace("\"parquet\"", "\"csv\"")
        .replace("t.parquet", "t.csv");
    let expected = place.ingest(&run(&as_csv, &[5], 2));
    assert_eq!(expected.counts.samples, [80, 20, 0]);
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
        place.write("t.parquet", &table(50, compression));
        let ingested = place.ingest(&run(DATA, &[5], 2));
        assert_eq!(ingested.dataset, expected.dataset);
        assert_eq!(ingested.test_set, expected.test_set);
    }
}

/// A file whose description begins with a list that claims to be long.
fn with_footer(footer: &[u8]) -> Vec<u8> {
    let bytes = u32::try_from(footer.len()).unwrap().to_le_bytes();
    [b"PAR1", footer, &bytes, b"PAR1"].concat()
}

/// A file whose first page's header has another size, as the same number of bytes.
fn with_first_page(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = table(50, Compression::UNCOMPRESSED);
    // The header follows the four bytes of magic: type, unpacked, packed, …
    change(&mut bytes[4..]);
    bytes
}

#[test]
fn each_mistake_has_one_clear_message_and_leaves_nothing_behind() {
    let whole = table(50, Compression::SNAPPY);
    let case = |bytes: Vec<u8>, parts| Mistake {
        run: run(DATA, &[5], 2),
        files: vec![("t.parquet", bytes)],
        parts,
    };
    let mut cases = vec![
        case(Vec::new(), &["no whole Parquet file"]),
        case(
            whole[..whole.len() - 9].to_vec(),
            &["no whole Parquet file"],
        ),
        case(
            b"PAR1\xff\xff\xff\x7fPAR1".to_vec(),
            &["its description takes 2147483647 bytes", "fewer columns"],
        ),
        case(
            with_footer(&[0x15, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 7]),
            &["it can't be read"],
        ),
        case(
            with_footer(&[0x18, 0xff, 0xff, 0xff, 0xff, 7]),
            &["it can't be read"],
        ),
        // A page that claims 2^34 bytes in a varint of five.
        case(
            with_first_page(|page| page[3..8].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x7f])),
            &["column \"width\"", "pages of about 1 MiB"],
        ),
        case(
            with_first_page(|page| page[0] = 0x1d),
            &["column \"width\": a page's header has a field"],
        ),
        case(
            with_first_page(|page| page[..4].copy_from_slice(&[0x18, 0xff, 0xff, 0x7f])),
            &["column \"width\": a page's header does not end"],
        ),
        Mistake {
            run: run(&DATA.replace("\"kind\"", "\"species\""), &[5], 2),
            files: vec![("t.parquet", whole.clone())],
            parts: &["there is no column \"species\"", "\"width\", \"legs\""],
        },
        Mistake {
            run: run(&DATA.replace("missing = \"mean\", ", ""), &[5], 2),
            files: vec![("t.parquet", whole.clone())],
            parts: &["row 1, column \"legs\": there is no value", "data.missing"],
        },
        Mistake {
            run: run(&DATA.replace("categorical = [\"color\"], ", ""), &[5], 2),
            files: vec![("t.parquet", whole.clone())],
            parts: &[
                "row 1, column \"color\": \"red\" is no number",
                "data.categorical",
            ],
        },
    ];
    // Bytes in the middle of the pages: refused or read, but never a crash or a leftover.
    let middle = whole.len() / 3;
    let mut zeros = whole;
    zeros[middle..middle + 200].fill(0);
    cases.push(case(zeros, &["t.parquet"]));
    check("parquet", cases);
}
