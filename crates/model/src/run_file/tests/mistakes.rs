//! Each possible mistake has one clear message with its place and a remedy.
//!
//! `mistakes.txt` has the messages; `UPDATE_EXPECT=1 cargo test -p tabswarm-model` writes it anew.

use std::fmt::Write as _;

use expect_test::{expect, expect_file};

use super::{IMAGES, TEXT, VALID, edited, edited_in, good};
use crate::run_file::{MAX_RUN_FILE_BYTES, Run, RunFileError};

/// What is replaced in the valid file, and by what.
type Edit = (&'static str, &'static str);

const TOP: &[Edit] = &[
    (r#"name = "digits""#, r#"name = """#),
    (r#"name = "digits""#, r#"name = "Digits""#),
    (r#"name = "digits""#, r#"name = "7digits""#),
    (r#"name = "digits""#, r#"name = "di_gits""#),
    (r#"name = "digits""#, r#"name = "../digits""#),
    (r#"title = "Digits""#, r#"title = "a\u0007b""#),
    (r#"owner = "A school""#, r#"owner = "A\u001bschool""#),
    (r#"license = "CC-BY-4.0""#, r#"license = "a\u001bb""#),
    ("https://example.org/digits", "http://example.org/digits"),
    ("https://example.org/digits", "javascript:alert(1)"),
    ("download = true", r#"download = "yes""#),
    ("seed = 7", "seed = 9007199254740992"),
    ("seed = 7", "seed = -1"),
    ("seed = 7", r#"seed = "seven""#),
];

const DATA: &[Edit] = &[
    (r#"path = "mnist""#, r#"path = """#),
    (r#"path = "mnist""#, r#"path = "/etc""#),
    (r#"path = "mnist""#, r#"path = "../secrets""#),
    (r#"path = "mnist""#, r#"path = "a//b""#),
    (r#"path = "mnist""#, "path = 'a\\b'"),
    (r#"path = "mnist""#, r#"path = ".hidden""#),
    ("std = 0.3081", "std = 0.0"),
    ("std = 0.3081", "std = -1.0"),
    ("std = 0.3081", "std = inf"),
    ("mean = 0.1307", "mean = nan"),
    ("mean = 0.1307", "mean = 1001.0"),
    ("shuffle_window = 8192", "shuffle_window = 0"),
    ("shuffle_window = 8192", "shuffle_window = 4294967296"),
    (r#"format = "idx""#, r#"format = "csv""#),
];

const MODEL: &[Edit] = &[
    ("begin.safetensors", "begin.bin"),
    ("digits/begin", "../begin"),
    ("digits/begin", "/begin"),
    ("input = [28, 28, 1]", "input = []"),
    ("input = [28, 28, 1]", "input = [28, 0]"),
    ("input = [28, 28, 1]", "input = [1, 1, 1, 1, 1, 1, 1, 1, 1]"),
    ("input = [28, 28, 1]", "input = [4294967296, 4294967296]"),
    ("input = [28, 28, 1]", "input = [1024, 1025]"),
    ("    { kind = \"flatten\" },\n", ""),
    ("units = 128", "units = 0"),
    ("units = 128", "units = 1048577"),
    ("units = 128", "units = 100000"),
    ("units = 10 }", "units = 1 }"),
    ("units = 10 }", "units = 65537 }"),
    (r#"{ kind = "relu" }"#, r#"{ kind = "selu" }"#),
    (r#"{ kind = "relu" }"#, r#"{ kind = "relu", units = 3 }"#),
    (r#"{ kind = "relu" }"#, "{ units = 3 }"),
    ("units = 128", "unit = 128"),
    (r#"loss = "softmax_cross_entropy""#, r#"loss = "hinge""#),
    (r#"loss = "softmax_cross_entropy""#, "loss = 3"),
    (
        r#"loss = "softmax_cross_entropy""#,
        r#"loss = { kind = "hinge" }"#,
    ),
    (
        r#"loss = "softmax_cross_entropy""#,
        r#"loss = { kind = "softmax_cross_entropy", teacher = "big" }"#,
    ),
    (
        r#"loss = "softmax_cross_entropy""#,
        r#"loss = { kind = "softmax_cross_entropy", targets = "hard" }"#,
    ),
    (
        r#"loss = "softmax_cross_entropy""#,
        r#"loss = { kind = "softmax_cross_entropy", temperature = 2.0 }"#,
    ),
    (
        r#"loss = "softmax_cross_entropy""#,
        r#"loss = { kind = "softmax_cross_entropy", targets = "soft", temperature = 0.0 }"#,
    ),
    (
        r#"loss = "softmax_cross_entropy""#,
        r#"loss = { kind = "softmax_cross_entropy", targets = "soft", temperature = 101.0 }"#,
    ),
    (
        r#"loss = "softmax_cross_entropy""#,
        r#"loss = { kind = "mse", targets = "soft" }"#,
    ),
    (
        "    { kind = \"dense\", units = 10 },\n]\nloss = \"softmax_cross_entropy\"",
        "    { kind = \"dense\", units = 8192 },\n]\nloss = { kind = \"softmax_cross_entropy\", targets = \"soft\" }",
    ),
];

const TRAIN: &[Edit] = &[
    ("epochs = 10", "epochs = 0"),
    ("epochs = 10", "epochs = 1000001"),
    ("micro_batch = 32", "micro_batch = 0"),
    ("micro_batch = 32", "micro_batch = 4097"),
    ("global_batch = 128", "global_batch = 0"),
    ("global_batch = 128", "global_batch = 100"),
    ("global_batch = 128", "global_batch = 2097184"),
    ("clip_norm = 1.5", "clip_norm = 0.0"),
    ("clip_norm = 1.5", "clip_norm = inf"),
];

const OPTIMIZER: &[Edit] = &[
    (r#"kind = "adam""#, r#"kind = "adagrad""#),
    (r#"kind = "adam""#, r#"kind = "sgd""#),
    ("learning_rate = 0.001", "learning_rate = 0.0"),
    ("learning_rate = 0.001", "learning_rate = -0.1"),
    ("learning_rate = 0.001", "learning_rate = nan"),
    ("learning_rate = 0.001", "learning_rate = 1e39"),
    ("learning_rate = 0.001\n", ""),
    ("beta1 = 0.8", "beta1 = 1.0"),
    ("beta2 = 0.99", "beta2 = -0.1"),
    ("epsilon = 1e-6", "epsilon = 0.0"),
    ("weight_decay = 0.001", "weight_decay = 1.5"),
];

const SCHEDULE: &[Edit] = &[
    ("every_steps = 100,", "every_steps = 0,"),
    ("factor = 0.5", "factor = 1.5"),
    (
        r#"decay = { kind = "step", every_steps = 100, factor = 0.5 }"#,
        r#"decay = { kind = "exponential", rate = 0.0 }"#,
    ),
    (
        r#"decay = { kind = "step", every_steps = 100, factor = 0.5 }"#,
        r#"decay = { kind = "polynomial", power = 101.0 }"#,
    ),
    (
        r#"decay = { kind = "step", every_steps = 100, factor = 0.5 }"#,
        r#"decay = { kind = "polynomial" }"#,
    ),
    (
        r#"decay = { kind = "step", every_steps = 100, factor = 0.5 }"#,
        r#"decay = { kind = "square", power = 3.0 }"#,
    ),
    (
        r#"decay = { kind = "step", every_steps = 100, factor = 0.5 }"#,
        r#"decay = { kind = "triangle" }"#,
    ),
    ("warmup_steps = 20", "warmup_steps = -1"),
];

const OPERATIONS: &[Edit] = &[
    ("lease_target_ms = 500", "lease_target_ms = 9"),
    ("lease_target_ms = 500", "lease_target_ms = 600001"),
    (r#"mode = "sync""#, r#"mode = "sometimes""#),
    (r#"mode = "sync""#, r#"mode = "async""#),
    (r#"mode = "sync""#, "mode = \"sync\"\nstaleness_max = 4"),
    (r#"mode = "sync""#, "mode = \"async\"\ninner_steps = 4"),
    (r#"mode = "sync""#, "mode = \"local\"\ninner_steps = 0"),
    (r#"mode = "sync""#, "mode = \"local\"\nshards = 1025"),
    (
        r#"mode = "sync""#,
        "mode = \"local\"\nshards = 4\nquorum = 5",
    ),
    (
        r#"mode = "sync""#,
        "mode = \"local\"\nshards = 4\nquorum = 3",
    ),
    (r#"mode = "sync""#, "mode = \"local\"\nround_timeout_ms = 1"),
    ("[evaluation]", "[workers]\ngpu = true\n\n[evaluation]"),
    ("[evaluation]", "[workers]\nweight = 0\n\n[evaluation]"),
    (
        "[evaluation]",
        "[workers]\nmemory_mib = 9999\n\n[evaluation]",
    ),
    (
        "[evaluation]",
        "[workers]\nmin_samples_per_s = -1.0\n\n[evaluation]",
    ),
    (
        r#"mode = "sync""#,
        "mode = \"local\"\nouter = { kind = \"nesterov\", learning_rate = -0.7 }",
    ),
    (r#"class = "portable""#, r#"class = "fused""#),
    (r#"codec = "exact""#, r#"codec = "f32""#),
    (r#"codec = "exact""#, r#"codec = "f16""#),
    (
        r#"codec = "exact""#,
        "codec = \"exact\"\nprecision = \"half\"",
    ),
    (
        r#"codec = "exact""#,
        "codec = \"exact\"\nprecision = \"double\"",
    ),
    ("reproducible = true", r#"reproducible = "yes""#),
    ("every_steps = 50", "every_steps = 0"),
    ("every_steps = 400", "every_steps = 0"),
    ("keep = 5", "keep = 0"),
    ("keep = 5", "keep = 1001"),
];

const FILE: &[Edit] = &[
    ("seed = 7", "seed = 7\nsed = 8"),
    ("epochs = 10", "epochs = 10\nbatch = 128"),
    ("[snapshot]", "[snapshots]"),
    ("[evaluation]", "[snapshot]"),
    ("seed = 7\n", ""),
    ("seed = 7", "seed = 7\nseed = 8"),
    ("seed = 7", "seed = "),
    ("[optimizer]", "[optimizer"),
];

/// In [`IMAGES`].
const IMAGE_LAYERS: &[Edit] = &[
    ("input = [9, 8, 2]", "input = [144]"),
    ("input = [9, 8, 2]", "input = [72, 2]"),
    ("channels = 4", "channels = 0"),
    ("channels = 4", "channels = 3"),
    ("channels = 4", "channels = 100000"),
    ("groups = 2", "groups = 0"),
    ("groups = 2", "groups = 3"),
    ("kernel = [3, 2]", "kernel = [0, 2]"),
    ("kernel = [3, 2]", "kernel = [3, 2, 1]"),
    ("kernel = [3, 2]", "kernel = [3]"),
    ("kernel = [3, 2]", "kernel = -3"),
    ("kernel = [3, 2]", "kernel = 1025"),
    (
        "kernel = [3, 2], stride = [1, 2], padding = \"same\"",
        "kernel = [10, 2]",
    ),
    ("stride = [1, 2]", "stride = 0"),
    (r#"padding = "same""#, r#"padding = "full""#),
    (r#"padding = "same""#, "padding = -1"),
    ("padding = 1", "padding = 3"),
    ("padding = 1 }", "}"),
    (
        r#"{ kind = "max_pool", size = 2 }"#,
        r#"{ kind = "max_pool", size = 5 }"#,
    ),
    (
        r#"{ kind = "max_pool", size = 2 }"#,
        r#"{ kind = "max_pool" }"#,
    ),
    (
        r#"{ kind = "max_pool", size = 2 }"#,
        r#"{ kind = "flatten" }"#,
    ),
    (
        r#"{ kind = "sigmoid" }"#,
        r#"{ kind = "dense", units = 3 }"#,
    ),
    (
        r#"{ kind = "sigmoid" }"#,
        r#"{ kind = "attention", heads = 1 }"#,
    ),
    (
        r#"{ kind = "sigmoid" }"#,
        r#"{ kind = "positional_embedding" }"#,
    ),
    (r#"{ kind = "sigmoid" }"#, r#"{ kind = "batch_norm" }"#),
    (
        r#"{ kind = "sigmoid" }"#,
        r#"{ kind = "residual", layers = [{ kind = "max_pool", size = 2 }] }"#,
    ),
    (
        r#"{ kind = "sigmoid" }"#,
        r#"{ kind = "residual", layers = [] }"#,
    ),
    (r#"{ kind = "tanh" }"#, r#"{ kind = "tied_dense" }"#),
    (
        r#"{ kind = "tanh" }"#,
        r#"{ kind = "embedding", vocabulary = 4, width = 4 }"#,
    ),
    ("    { kind = \"flatten\" },\n", ""),
    (r#"loss = "mse""#, r#"loss = "mae""#),
];

/// In [`TEXT`].
const TEXT_LAYERS: &[Edit] = &[
    (r#"path = "book/data.txt""#, r#"path = "/book/data.txt""#),
    (r#"vocabulary = "characters""#, r#"vocabulary = "words""#),
    (
        r#"vocabulary = "characters""#,
        "normalize = { mean = 0.5, std = 1.0 }",
    ),
    ("context = 8", "context = 0"),
    ("context = 8", "context = 5000"),
    ("context = 8", "context = 16"),
    ("validation = 0.25", "validation = 0.0"),
    ("validation = 0.25", "validation = 0.75"),
    ("input = [8]", "input = [8, 1]"),
    ("vocabulary = 20", "vocabulary = 1"),
    ("width = 12", "width = 0"),
    ("width = 12", "width = 10"),
    ("width = 12", "width = 200000"),
    (
        "    { kind = \"embedding\", vocabulary = 20, width = 12 },\n",
        "",
    ),
    (
        r#"{ kind = "positional_embedding" }"#,
        r#"{ kind = "flatten" }"#,
    ),
    (
        r#"{ kind = "positional_embedding" }"#,
        r#"{ kind = "embedding", vocabulary = 20, width = 12 }"#,
    ),
    (
        r#"{ kind = "positional_embedding" }"#,
        r#"{ kind = "dense", units = 8 }"#,
    ),
    (
        r#"{ kind = "positional_embedding" }"#,
        r#"{ kind = "conv2d", channels = 1, kernel = 3 }"#,
    ),
    ("heads = 3", "heads = 0"),
    ("heads = 3", "heads = 5"),
    ("epsilon = 1e-6", "epsilon = 0.0"),
    ("dropout\", rate = 0.1", "dropout\", rate = 1.0"),
    ("dropout\", rate = 0.1", "dropout\", rate = nan"),
    (
        r#"{ kind = "dropout", rate = 0.1 }"#,
        r#"{ kind = "dense", units = 6 }"#,
    ),
    (
        r#"{ kind = "tied_dense", bias = true }"#,
        r#"{ kind = "dense", units = 21 }"#,
    ),
    (r#"    { kind = "tied_dense", bias = true },"#, ""),
    (
        r#"loss = "softmax_cross_entropy""#,
        r#"loss = { kind = "softmax_cross_entropy", targets = "soft" }"#,
    ),
];

/// Edits that are too long to be written out.
fn long_edits() -> Vec<(String, String)> {
    let line = |key: &str, len| format!("{key} = \"{}\"", "x".repeat(len));
    let dense = concat!(
        "    { kind = \"dense\", units = 128 },\n",
        "    { kind = \"relu\" },\n",
        "    { kind = \"dense\", units = 10 },\n",
    );
    let flatten = "    { kind = \"flatten\" },\n";
    let relu = "    { kind = \"relu\" },\n";
    let comment = format!("seed = 7 #{}", "x".repeat(MAX_RUN_FILE_BYTES));
    let edits = [
        ("name = \"digits\"", line("name", 65)),
        ("title = \"Digits\"", line("title", 121)),
        (
            "description = \"Reads digits.\"",
            line("description", 2_001),
        ),
        (dense, String::new()),
        (&format!("{flatten}{dense}"), String::new()),
        (relu, relu.repeat(1_000)),
        ("seed = 7", comment),
        (VALID, String::new()),
        (VALID, "<html>".to_owned()),
    ];
    edits.map(|(from, to)| (from.to_owned(), to)).into()
}

/// At most so many characters of an edit are shown.
const SHOWN_CHARS: usize = 70;

fn shown(edit: &str) -> String {
    let line = edit.trim().replace('\n', "\\n");
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[test]
fn every_mistake_has_its_message() {
    let sections = [
        TOP, DATA, MODEL, TRAIN, OPTIMIZER, SCHEDULE, OPERATIONS, FILE,
    ];
    let owned = |base, edits: &[Edit]| {
        let edits = edits.iter();
        let edits = edits.map(move |(from, to)| (base, (*from).to_owned(), (*to).to_owned()));
        edits.collect::<Vec<_>>()
    };
    let long = long_edits().into_iter();
    let mut edits = owned(VALID, &sections.concat());
    edits.extend(long.map(|(from, to)| (VALID, from, to)));
    edits.extend(owned(IMAGES, IMAGE_LAYERS));
    edits.extend(owned(TEXT, TEXT_LAYERS));
    assert!(edits.len() >= 60, "{} cases", edits.len());
    let mut text = String::new();
    for (base, from, to) in &edits {
        let (shown_from, shown_to) = (shown(from), shown(to));
        writeln!(text, "- {shown_from}\n+ {shown_to}").unwrap();
        match Run::from_toml(&edited_in(base, from, to)) {
            Ok(_) => panic!("accepted: {shown_to:?} instead of {shown_from:?}"),
            Err(error) => writeln!(text, "{error}\n").unwrap(),
        }
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    expect_file!["mistakes.txt"].assert_eq(&lines.join("\n"));
}

#[test]
fn a_lane_has_a_limit_of_memory() {
    let message = |width, micro_batch| {
        let text = edited_in(TEXT, "width = 12", &format!("width = {width}"))
            .replace("micro_batch = 4", &format!("micro_batch = {micro_batch}"))
            .replace("global_batch = 8", &format!("global_batch = {micro_batch}"));
        Run::from_toml(&text).unwrap_err().to_string()
    };
    expect!["train.micro_batch: micro-batches of 4096 take about 2320 MB in each lane, more than 2000 MB; write at most 3502, or use smaller layers"].assert_eq(&message(1_200, 4_096));
    let deep = edited("input = [28, 28, 1]", "input = [1024, 1024]").replace(
        "    { kind = \"flatten\" },\n",
        &format!(
            "{{ kind = \"layer_norm\" }}, {} {{ kind = \"flatten\" }},\n",
            "{ kind = \"tanh\" },".repeat(600)
        ),
    );
    let deep = deep.replace("units = 128", "units = 2");
    expect!["model.layers[602]: micro-batches of 1 take about 2567 MB in each lane, more than 2000 MB; not even one sample fits: use smaller or fewer layers, this is the largest"].assert_eq(&Run::from_toml(&deep).unwrap_err().to_string());
}

#[test]
fn all_mistakes_are_listed_in_the_order_of_the_file() {
    let text = edited("name = \"digits\"", "name = \"Digits\"")
        .replace("epochs = 10", "epochs = 0")
        .replace("keep = 5", "keep = 0")
        .replace("units = 128", "units = 0");
    let Err(RunFileError::Invalid { mistakes }) = Run::from_toml(&text) else {
        panic!("accepted");
    };
    let places: Vec<&str> = mistakes
        .iter()
        .map(|mistake| mistake.place.as_str())
        .collect();
    assert_eq!(
        places,
        [
            "name",
            "model.layers[1].units",
            "train.epochs",
            "snapshot.keep"
        ]
    );
}

#[test]
fn json_mistakes_have_a_place_too() {
    let json = good("seed = 7", "seed = 8").to_json();
    let of = |from: &str, to: &str| {
        Run::from_json(&json.replace(from, to))
            .unwrap_err()
            .to_string()
    };
    expect!["invalid value: integer `-8`, expected u64 at line 1 column 176"]
        .assert_eq(&of("\"seed\":8", "\"seed\":-8"));
    expect!["unknown field `more`, expected one of `name`, `title`, `description`, `about`, `seed`, `data`, `model`, `train`, `optimizer`, `schedule`, `sync`, `numeric`, `evaluation`, `snapshot`, `durability`, `workers`, `origin` at line 1 column 182"].assert_eq(&of("\"seed\":8", "\"seed\":8,\"more\":1"));
    expect!["train.epochs: 0 is out of range; write a whole number from 1 to 1000000"]
        .assert_eq(&of("\"epochs\":10", "\"epochs\":0"));
    assert!(Run::from_json("").is_err());
    assert!(Run::from_json("null").is_err());
}
