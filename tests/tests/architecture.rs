//! Dependencies between our crates point down only: no edge exists that is not listed here.
//!
//! A new edge is the most consequential kind of change, so it has to be written down twice:
//! in a manifest and in this table.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each package with the packages of ours that it may depend on, in whatever way.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("tabswarm-protocol", &[]),
    ("tabswarm-model", &[]),
    ("tabswarm-compute", &["tabswarm-model"]),
    ("tabswarm-export", &["tabswarm-model"]),
    (
        "tabswarm-coordinator",
        &["tabswarm-model", "tabswarm-protocol"],
    ),
    (
        "tabswarm-client-core",
        &["tabswarm-model", "tabswarm-protocol"],
    ),
    (
        "tabswarm-store",
        &[
            "tabswarm-coordinator",
            "tabswarm-model",
            "tabswarm-protocol",
        ],
    ),
    (
        "tabswarm-server",
        &[
            "tabswarm-coordinator",
            "tabswarm-compute",
            "tabswarm-export",
            "tabswarm-model",
            "tabswarm-protocol",
            "tabswarm-store",
        ],
    ),
    (
        "tabswarm-client-native",
        &[
            "tabswarm-client-core",
            "tabswarm-compute",
            "tabswarm-model",
            "tabswarm-protocol",
        ],
    ),
    (
        "tabswarm-client-wasm",
        &[
            "tabswarm-client-core",
            "tabswarm-compute",
            "tabswarm-model",
            "tabswarm-protocol",
        ],
    ),
    (
        "tabswarm-tests",
        &[
            "tabswarm-server",
            "tabswarm-client-native",
            "tabswarm-coordinator",
            "tabswarm-store",
            "tabswarm-client-core",
            "tabswarm-compute",
            "tabswarm-export",
            "tabswarm-model",
            "tabswarm-protocol",
        ],
    ),
    // The tool must build when nothing else does.
    ("xtask", &[]),
];

/// What pure crates do without: whoever runs them brings sockets, clocks and randomness.
const IMPURE: [&str; 10] = [
    "axum",
    "futures",
    "getrandom",
    "js-sys",
    "rand",
    "reqwest",
    "tokio",
    "tungstenite",
    "web-sys",
    "wgpu",
];
const PURE: [&str; 5] = [
    "tabswarm-protocol",
    "tabswarm-model",
    "tabswarm-coordinator",
    "tabswarm-client-core",
    "tabswarm-export",
];

/// Package by package, the names of its direct dependencies of every kind.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs this test, so it is there");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    list(&metadata["packages"])
        .map(|package| {
            (
                name(package),
                list(&package["dependencies"]).map(name).collect(),
            )
        })
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value
        .as_array()
        .expect("cargo's format has a list here")
        .iter()
}

fn name(value: &Value) -> String {
    value["name"]
        .as_str()
        .expect("cargo's format has a name here")
        .to_owned()
}

#[test]
fn dependencies_point_down_only() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into();
    let all = dependencies();
    let mut faults = Vec::new();
    for (package, below) in &all {
        let Some(allowed) = allowed.get(package.as_str()) else {
            faults.push(format!("{package} is new: give it a line in ALLOWED"));
            continue;
        };
        let ours = below.iter().filter(|name| all.contains_key(*name));
        for dependency in ours.filter(|name| !allowed.contains(&name.as_str())) {
            faults.push(format!("{package} must not depend on {dependency}"));
        }
    }
    for (package, _) in ALLOWED
        .iter()
        .filter(|(package, _)| !all.contains_key(*package))
    {
        faults.push(format!("{package} is gone: remove its line from ALLOWED"));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_crates_stay_pure() {
    let all = dependencies();
    for package in PURE {
        let impure: Vec<&String> = all[package]
            .iter()
            .filter(|name| IMPURE.contains(&name.as_str()))
            .collect();
        assert!(
            impure.is_empty(),
            "{package} is pure and must not depend on {impure:?}"
        );
    }
}
