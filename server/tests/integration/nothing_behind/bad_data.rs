//! Data sets that are wrong: tables, texts, images, arrays and pictures.

use zip::CompressionMethod::Deflated;

use crate::support::{idx, run_toml};

#[path = "../../../src/dataset/tests/files.rs"]
mod files;

/// So many that chunks are stored before the last sample is read, which is wrong: nine at once and more, and one
/// waits for each thread.
const SAMPLES: u32 = 12_000;

/// All of them.
pub(super) fn all() -> Vec<Data> {
    let all = [tables(), texts(), images(), archives(), pictures()];
    all.into_iter().flatten().collect()
}

/// A data set that is wrong, a run on it, and what the message says.
pub(super) struct Data {
    pub(super) files: Vec<(String, Vec<u8>)>,
    pub(super) run: String,
    pub(super) parts: Vec<&'static str>,
}

/// A run with this section `[data]`, input, and layers before the last one.
fn on(data: &str, input: &str, layers: &str) -> String {
    format!(
        "name = \"things\"\nseed = 1\ndata = {{ {data} }}\noptimizer = {{ kind = \"sgd\", learning_rate = 0.1 }}\n\
         train = {{ epochs = 1, micro_batch = 4, global_batch = 4 }}\n\
         model = {{ input = {input}, loss = \"softmax_cross_entropy\", layers = [{layers}{{ kind = \"dense\", units = 2 }}] }}\n"
    )
}

/// A table whose last row is this.
fn long_table(last: &[u8]) -> Vec<u8> {
    let mut text = b"width,height,kind\n".to_vec();
    for row in 0..SAMPLES as usize {
        text.extend([&b"1,2,rose\n"[..], b"3,1,tulip\n"][row % 2]);
    }
    text.extend(last);
    text.push(b'\n');
    text
}

fn tables() -> Vec<Data> {
    let quote = long_table(&[b"\"", &vec![b'x'; 5 << 20][..]].concat());
    let all: Vec<(&'static str, Vec<u8>, &'static str)> = vec![
        ("empty", Vec::new(), "it is empty"),
        ("header", b"width,height,kind\n".to_vec(), "it has no rows"),
        (
            "word",
            long_table(b"wide,2,rose"),
            "line 12002, column \"width\"",
        ),
        ("short", long_table(b"1,rose"), "line 12002"),
        (
            "hole",
            long_table(b",2,rose"),
            "line 12002, column \"width\"",
        ),
        ("label", long_table(b"1,2,"), "column \"kind\""),
        ("third", long_table(b"1,2,lily"), "3 different classes"),
        ("latin", long_table(b"1,2,r\xffse"), "UTF-8"),
        ("quote", quote, "quotation mark"),
        ("wide", vec![b','; 20_000], "20001 columns"),
        ("huge", long_table(b"1e300,2,rose"), "32 bits"),
    ];
    let data = |(name, bytes, part)| {
        let keys = format!(
            "format = \"csv\", path = \"{name}.csv\", label = \"kind\", normalize = \"none\""
        );
        Data {
            files: vec![(format!("{name}.csv"), bytes)],
            run: on(&keys, "[2]", ""),
            parts: vec![name, part],
        }
    };
    let none = on(
        "format = \"csv\", path = \"none.csv\", label = \"kind\"",
        "[2]",
        "",
    );
    let missing = Data {
        files: Vec::new(),
        run: none,
        parts: vec!["none.csv"],
    };
    all.into_iter().map(data).chain([missing]).collect()
}

fn texts() -> Vec<Data> {
    let all: [(&'static str, Vec<u8>, &'static str); 3] = [
        (
            "cut",
            [vec![b'a'; 50_000], vec![0xe9, b'a']].concat(),
            "offset 50000",
        ),
        ("two", b"ab".repeat(9_000), "2 different characters"),
        ("brief", b"abc".to_vec(), "validation"),
    ];
    let layers = "{ kind = \"embedding\", vocabulary = 3, width = 3 }, ";
    let data = |(name, bytes, part)| {
        let keys = format!(
            "format = \"text\", path = \"{name}.txt\", vocabulary = \"characters\", context = 4"
        );
        Data {
            files: vec![(format!("{name}.txt"), bytes)],
            run: on(&keys, "[4]", layers).replace("units = 2", "units = 3"),
            parts: vec![name, part],
        }
    };
    all.into_iter().map(data).collect()
}

/// IDX files of which one is bad.
fn images() -> Vec<Data> {
    let bad_label = [vec![0; SAMPLES as usize - 1], vec![2]].concat();
    let all: [(&'static str, Vec<u8>, &'static str); 4] = [
        ("images-idx3", idx(&[SAMPLES, 2, 3], &[0; 99]), "truncated"),
        (
            "images-idx3",
            idx(&[SAMPLES, 60_000, 60_000], &[0; 99]),
            "truncated",
        ),
        (
            "labels-idx1",
            idx(&[SAMPLES], &bad_label),
            "label 2 of train sample 11999",
        ),
        ("labels-idx1", idx(&[7], &[0; 7]), "7 train labels"),
    ];
    let data = |(at, (bad, bytes, part)): (usize, (&str, Vec<u8>, &'static str))| {
        let mut files = Vec::new();
        let file = |prefix: &str, kind: &str| format!("idx{at}/{prefix}-{kind}-ubyte");
        for (prefix, samples) in [("train", SAMPLES), ("t10k", 10)] {
            let pixels = vec![1; samples as usize * 6];
            let labels = idx(&[samples], &pixels[..samples as usize]);
            files.push((file(prefix, "images-idx3"), idx(&[samples, 2, 3], &pixels)));
            files.push((file(prefix, "labels-idx1"), labels));
        }
        files.push((file("train", bad), bytes));
        Data {
            files,
            run: run_toml("digits", "").replace("tiny", &format!("idx{at}")),
            parts: vec![part],
        }
    };
    all.into_iter().enumerate().map(data).collect()
}

fn archives() -> Vec<Data> {
    let (x, y) = (
        files::floats(SAMPLES as usize, 3),
        files::labels(SAMPLES as usize, 2),
    );
    let zip = |name: &str, x: &[u8]| files::zip(&[(name, x), ("y.npy", &y)], Deflated);
    let bomb = files::npy("<f4", "(1500000, 3)", &vec![0; 17 << 20]);
    let huge = "{'descr': '<f4', 'fortran_order': False, 'shape': (12000, 99999999999), }";
    let all: Vec<(&'static str, Vec<u8>, &'static str)> = vec![
        ("none.npz", b"PK no archive".to_vec(), "no archive"),
        ("bomb.npz", zip("x.npy", &bomb), "unpacks"),
        ("slip.npz", zip("../../x.npy", &x), "x.npy"),
        (
            "huge.npz",
            zip("x.npy", &files::npy_header(huge, &[])),
            "its shape is",
        ),
        (
            "code.npz",
            zip("x.npy", &files::npy("|O", "(12000,)", b"\x80\x04c")),
            "|O",
        ),
        (
            "last.npz",
            zip(
                "x.npy",
                &[&x[..x.len() - 4], &f32::NAN.to_le_bytes()].concat(),
            ),
            "NaN",
        ),
    ];
    let data = |(name, bytes, part): (&'static str, Vec<u8>, &'static str)| Data {
        files: vec![(name.to_owned(), bytes)],
        run: on(&format!("format = \"npy\", path = \"{name}\""), "[3]", ""),
        parts: vec![name, part],
    };
    all.into_iter().map(data).collect()
}

fn pictures() -> Vec<Data> {
    let all: [(&'static str, Vec<u8>, &'static str); 4] = [
        ("bomb", files::lying_png(60_000, 60_000), "can't be read"),
        ("half", files::gray(2, 2, 1)[..40].to_vec(), "can't be read"),
        ("gif", b"GIF89a......".to_vec(), "neither PNG nor JPEG"),
        ("size", files::gray(3, 2, 1), "3 x 2 pixels"),
    ];
    let data = |(name, bytes, part): (&'static str, Vec<u8>, &'static str)| {
        let keys = format!("format = \"images\", path = \"{name}\"");
        Data {
            files: vec![
                (format!("{name}/a/1.png"), files::gray(2, 2, 1)),
                (format!("{name}/b/2.png"), bytes),
            ],
            run: on(&keys, "[2, 2, 1]", "{ kind = \"flatten\" }, "),
            parts: vec!["2.png", part],
        }
    };
    all.into_iter().map(data).collect()
}
