//! The schema of run files, for editors, against what is really read: the same keys, variants and types.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::fs;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use tabswarm_model::Run;
use tabswarm_model::run_file::RunFileError;

const SCHEMA: &str = include_str!("../../../docs/run-file.schema.json");

/// Together they have every key.
const FULL: [&str; 5] = [
    include_str!("schema/images.toml"),
    include_str!("schema/text.toml"),
    include_str!("schema/table.toml"),
    include_str!("schema/arrays.toml"),
    include_str!("schema/pictures.toml"),
];

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft7::new(&schema()).unwrap()
}

fn document(toml: &str) -> Value {
    toml::from_str(toml).unwrap()
}

/// Whether the form is right, whatever the values; else why not.
fn form(document: &Value) -> Result<(), String> {
    match Run::from_json(&document.to_string()) {
        Err(RunFileError::Syntax { message }) => Err(message),
        _ => Ok(()),
    }
}

/// Paths of all tables, lists and values of a document.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| places(value, &format!("{at}/{key}"), all)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(idx, value)| places(value, &format!("{at}/{idx}"), all)),
        _ => {}
    }
}

fn all_places(document: &Value) -> Vec<String> {
    let mut all = Vec::new();
    places(document, "", &mut all);
    all
}

/// The words that a message of the parser says it expected.
fn expected(message: &str) -> Vec<String> {
    let (_, list) = message.split_once(", expected ").unwrap_or_default();
    let words = list.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// The keys that the schema allows in the table at a place: those of its variant, where there are several.
fn keys<'a>(schema: &'a Value, document: &Value, place: &str) -> &'a Map<String, Value> {
    let (mut part, mut value) = (variant(schema, schema, document), document);
    for segment in place.split('/').skip(1) {
        let inner = match value {
            Value::Array(_) => &part["items"],
            _ => &part["properties"][segment],
        };
        value = match value {
            Value::Array(list) => &list[segment.parse::<usize>().unwrap()],
            _ => &value[segment],
        };
        part = variant(schema, inner, value);
    }
    part["properties"].as_object().unwrap()
}

/// Follows a reference, and chooses the variant that a value means.
fn variant<'a>(schema: &'a Value, part: &'a Value, value: &Value) -> &'a Value {
    if let Some(reference) = part["$ref"].as_str() {
        let target = schema.pointer(reference.trim_start_matches('#')).unwrap();
        return variant(schema, target, value);
    }
    let fits = |part: &&Value| {
        let tags = ["kind", "format"].map(|tag| (&part["properties"][tag]["const"], &value[tag]));
        part["type"] == "object" && tags.iter().all(|(word, is)| word.is_null() || word == is)
    };
    match part["oneOf"].as_array() {
        Some(parts) if value.is_object() => parts.iter().find(fits).unwrap(),
        _ => part,
    }
}

#[test]
fn every_shipped_run_file_is_valid() {
    let validator = validator();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut seen = 0;
    for folder in ["runs", "server/src/cli/templates", "tests/fixtures"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let document = document(&text.replace("\"NAME\"", "\"name\""));
            let errors: Vec<String> = validator
                .iter_errors(&document)
                .map(|error| error.to_string())
                .collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} run files");
}

#[test]
fn the_schema_has_every_key_that_is_read() {
    let (schema, validator) = (schema(), validator());
    let mut seen = 0;
    for text in FULL {
        Run::from_toml(text).unwrap();
        let full = document(text);
        assert!(validator.is_valid(&full), "{:?}", validator.validate(&full));
        for place in all_places(&full) {
            let mut changed = full.clone();
            let Some(Value::Object(table)) = changed.pointer_mut(&place) else {
                continue;
            };
            table.insert("no_such_key".to_owned(), json!(1));
            let message = form(&changed).expect_err(&place);
            assert!(
                !validator.is_valid(&changed),
                "an unknown key in {place} passes"
            );
            let known = keys(&schema, &full, &place);
            for key in expected(&message) {
                assert!(
                    known.contains_key(&key),
                    "the schema lacks {key} in {place:?}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "{seen} keys");
}

#[test]
fn the_schema_has_every_word_that_is_read() {
    let validator = validator();
    let mut seen = 0;
    for text in FULL {
        let full = document(text);
        for place in all_places(&full) {
            let mut changed = full.clone();
            let target = changed.pointer_mut(&place).unwrap();
            if !target.is_string() {
                continue;
            }
            *target = json!("no_such_word");
            // Free texts take it.
            let Err(message) = form(&changed) else {
                continue;
            };
            assert!(
                !validator.is_valid(&changed),
                "an unknown word at {place} passes"
            );
            for word in expected(&message) {
                let quoted = format!("\"{word}\"");
                assert!(
                    SCHEMA.contains(&quoted),
                    "the schema lacks {word} of {place}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "{seen} words");
}

#[test]
fn mistakes_of_form_are_seen_by_both() {
    let validator = validator();
    let mut refused = 0;
    for text in FULL {
        let full = document(text);
        for place in all_places(&full).iter().filter(|place| !place.is_empty()) {
            let (table, key) = place.rsplit_once('/').unwrap();
            let mut without = full.clone();
            if let Some(Value::Object(map)) = without.pointer_mut(table) {
                map.remove(key);
                let (read, valid) = (form(&without), validator.is_valid(&without));
                assert_eq!(read.is_ok(), valid, "without {place}: {read:?}");
                refused += usize::from(!valid);
            }
            // No key takes a list of lists.
            let mut wrong = full.clone();
            *wrong.pointer_mut(place).unwrap() = json!([["x"]]);
            assert!(form(&wrong).is_err(), "{place} takes a list of lists");
            assert!(
                !validator.is_valid(&wrong),
                "the schema takes a list of lists at {place}"
            );
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused} mistakes");
}
