//! The binary: exit codes, messages, verbs, signals.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::child::{ChildServer, serve_command, tabswarm, told, verb};
use crate::support::{Site, run_toml};

#[test]
fn each_start_that_fails_has_one_clear_message_and_leaves_nothing_behind() {
    let site = Site::new("starts");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let in_the_way = site.file("in-the-way", "");
    let in_the_way = in_the_way.to_str().unwrap();
    let cases: [(&[&str], i32, &[&str]); 13] = [
        (&["--listen", &address], 1, &[&address, "--listen"]),
        (
            &["--admin-listen", &address],
            1,
            &[&address, "--admin-listen"],
        ),
        (&["--data-dir", in_the_way], 1, &[in_the_way, "--data-dir"]),
        (&["--admin-token", "short"], 1, &["at least 16"]),
        (&["--log", "lou=der=than"], 1, &["lou=der=than"]),
        (&["--listen", "nowhere"], 2, &["nowhere", "--listen"]),
        (
            &["--allow-origin", "blog.example"],
            2,
            &["https://blog.example"],
        ),
        (&["--no-such-flag"], 2, &["--no-such-flag"]),
        (&["--max-workers=-1"], 2, &["-1", "--max-workers"]),
        (&["--tls-cert", in_the_way], 2, &["--tls-key"]),
        (
            &["--tls-cert", in_the_way, "--tls-key", in_the_way],
            1,
            &[in_the_way],
        ),
        (
            &["--snapshots", "ftp://bucket"],
            1,
            &["s3://", "ftp://bucket"],
        ),
        (&["--snapshots", "s3://bucket"], 1, &["AWS_"]),
    ];
    let before = site.listing();
    for (args, code, parts) in cases {
        let mut command = tabswarm();
        command.args(["serve", "--log-format", "json"]);
        if !args.contains(&"--data-dir") {
            command.arg("--data-dir").arg(site.data_dir());
        }
        for (flag, value) in [
            ("--listen", "127.0.0.1:0"),
            ("--admin-listen", "127.0.0.1:0"),
        ] {
            if !args.contains(&flag) {
                command.args([flag, value]);
            }
        }
        let (got, stdout, stderr) = told(&command.args(args).output().unwrap());
        assert_eq!(
            (got, stdout.as_str()),
            (Some(code), ""),
            "{args:?}: {stderr}"
        );
        for part in parts {
            assert!(
                stderr.contains(part),
                "{args:?}: {stderr:?} should contain {part:?}"
            );
        }
        assert_eq!(site.listing(), before, "{args:?} left something behind");
    }
}

#[test]
fn a_data_directory_has_one_server() {
    let site = Site::new("locked");
    let first = ChildServer::start(&site);
    let (code, _, stderr) = told(&serve_command(&site).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("in use by another server") && stderr.contains("--data-dir"),
        "{stderr}"
    );
    let (code, log) = first.terminate();
    assert_eq!(code, Some(0), "{log}");
    let third = ChildServer::start(&site);
    assert_eq!(third.terminate().0, Some(0));
}

/// Runs a verb that works, and looks for a part of what it prints.
fn does(server: &ChildServer, site: &Site, args: &[&str], part: &str) {
    let (code, stdout, stderr) = told(&server.verb(site, args));
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
    assert!(
        stdout.contains(part),
        "{args:?}: {stdout:?} should contain {part:?}"
    );
}

/// Runs a verb that fails with a code, and looks for a part of its message.
fn fails(server: &ChildServer, site: &Site, args: &[&str], expected: i32, part: &str) {
    let (code, stdout, stderr) = told(&server.verb(site, args));
    assert_eq!(
        (code, stdout.as_str()),
        (Some(expected), ""),
        "{args:?}: {stderr}"
    );
    assert!(
        stderr.starts_with("error: ") && stderr.contains(part),
        "{args:?}: {stderr:?} should contain {part:?}"
    );
}

#[test]
fn identities_are_banned_listed_and_let_in_again() {
    let site = Site::new("identity-verbs");
    let server = ChildServer::start(&site);
    let does = |args: &[&str], part: &str| does(&server, &site, args, part);
    let fails = |args: &[&str], code: i32, part: &str| fails(&server, &site, args, code, part);
    does(&["identity", "list"], "Nobody was seen");
    let identity = "0".repeat(64);
    does(
        &[
            "worker", "ban", &identity, "--reason", "spam", "--for", "2h",
        ],
        "is banned until",
    );
    does(&["worker", "bans"], "spam");
    does(&["identity", "list"], "spam");
    does(
        &["identity", "list", "--after", &identity],
        "no identity behind",
    );
    does(&["identity", "show", &identity], "until ");
    fails(
        &["identity", "show", &"1".repeat(64)],
        5,
        "no such identity",
    );
    does(&["worker", "unban", &identity], "may work here again");
    does(&["worker", "bans"], "Nobody is banned");
    assert_eq!(server.terminate().0, Some(0));
}

#[test]
fn verbs_command_a_server() {
    let site = Site::new("verbs");
    let file = site.file("digits.toml", &run_toml("digits", ""));
    let file = file.to_str().unwrap();
    let server = ChildServer::start(&site);
    let does = |args: &[&str], part: &str| does(&server, &site, args, part);
    let fails = |args: &[&str], code: i32, part: &str| fails(&server, &site, args, code, part);
    does(&["run", "list"], "There are no runs");
    does(&["run", "create", file], "created");
    fails(&["run", "create", file], 5, "another name");
    fails(&["run", "pause", "digits"], 5, "can be started");
    does(&["run", "start", "digits"], "running");
    does(&["run", "pause", "digits"], "paused");
    does(&["run", "resume", "digits"], "running");
    does(&["run", "list"], "NAME");
    does(&["run", "list", "--json"], "\"phase\":\"running\"");
    does(&["run", "show", "digits"], "0 of 120");
    does(&["worker", "list"], "There are no workers");
    does(&["worker", "list", "--json"], "\"workers\":[]");
    fails(&["worker", "drain", "w7"], 5, "worker list");
    fails(&["worker", "show", "../runs"], 1, "such as w12");
    does(&["snapshot", "list", "digits"], "MADE");
    fails(
        &["snapshot", "delete", "digits", "77"],
        5,
        "no whole snapshot",
    );
    does(&["health"], "ok, ready");
    does(&["run", "watch", "digits", "--help"], "ends with the run");
    does(&["run", "stop", "digits"], "stopped");
    does(&["run", "watch", "digits"], "stopped  step 0 of 120");
    fails(&["run", "show", "nobody"], 5, "\"nobody\"");
    fails(&["run", "show", "../runs"], 1, "letters, digits and dashes");
    fails(
        &["run", "list", "--token", "0123456789abcdef"],
        4,
        "admin-token",
    );
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    let token = std::fs::read_to_string(site.data_dir().join("admin-token")).unwrap();
    assert!(!log.contains(token.trim()), "the token is in the log");
}

#[test]
fn run_files_are_checked_without_a_server() {
    let site = Site::new("check");
    let check = |content: &str| {
        let file = site.file("run.toml", content);
        told(
            &tabswarm()
                .args(["run", "check"])
                .arg(file)
                .output()
                .unwrap(),
        )
    };
    let (code, stdout, _) = check(&run_toml("digits", ""));
    assert_eq!(code, Some(0));
    assert!(stdout.contains("38 parameters"), "{stdout}");
    let (code, _, stderr) = check(&run_toml("Digits!", "").replace("units = 4", "units = 0"));
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("name") && stderr.contains("model.layers[1].units"),
        "{stderr}"
    );
    let missing = site.data_dir().join("missing.toml");
    let (code, _, stderr) = told(
        &tabswarm()
            .args(["run", "check"])
            .arg(missing)
            .output()
            .unwrap(),
    );
    assert_eq!(
        (code, stderr.contains("missing.toml")),
        (Some(1), true),
        "{stderr}"
    );
}

#[test]
fn a_run_file_is_taken_apart() {
    let site = Site::new("inspect");
    let file = site.file("run.toml", &run_toml("digits", ""));
    let inspect = tabswarm().args(["run", "inspect"]).arg(file).output();
    let (code, stdout, _) = told(&inspect.unwrap());
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("38 parameters") && stdout.contains("flatten"),
        "{stdout}"
    );
}

#[test]
fn values_come_from_the_file_the_environment_and_flags_in_this_order() {
    let site = Site::new("layers");
    let file = site.file(
        "tabswarm.toml",
        "[serve]\nlisten = \"127.0.0.1:1\"\nmax_workers = 7\nallow_origin = [\"https://a.example\", \"https://b.example\"]\n\
         [client]\ntoken = \"0123456789abcdef\"\n",
    );
    let printed = |extra: &[&str]| {
        let mut command = tabswarm();
        command
            .args(["config", "print", "--json"])
            .arg("--config")
            .arg(&file);
        command.env("TABSWARM_LISTEN", "127.0.0.1:2").args(extra);
        let (code, stdout, stderr) = told(&command.output().unwrap());
        assert_eq!(code, Some(0), "{stderr}");
        let rows: Vec<serde_json::Value> = serde_json::from_str(&stdout).unwrap();
        move |key: &str| {
            let row = rows.iter().find(|row| row["key"] == key).unwrap();
            let from = row["from"]
                .as_str()
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .to_owned();
            (row["value"].as_str().unwrap_or("-").to_owned(), from)
        }
    };
    let pair = |value: &str, from: &str| (value.to_owned(), from.to_owned());
    let of = printed(&[]);
    assert_eq!(of("serve.listen"), pair("127.0.0.1:2", "environment,"));
    assert_eq!(of("serve.max_workers"), pair("7", "file"));
    assert_eq!(
        of("serve.allow_origin"),
        pair("https://a.example, https://b.example", "file")
    );
    assert_eq!(of("serve.data_dir"), pair("data", "default"));
    assert_eq!(of("client.token"), pair("(hidden)", "file"));
    let of = printed(&["--", "--listen", "127.0.0.1:3"]);
    assert_eq!(of("serve.listen"), pair("127.0.0.1:3", "flag"));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_with_its_place() {
    let site = Site::new("bad-config");
    for (content, parts) in [
        (
            "[serve]\nlisten = \"nowhere\"",
            &["nowhere", "--listen"][..],
        ),
        (
            "[serve]\nlisen = \"127.0.0.1:0\"",
            &["tabswarm.toml", "lisen", "listen"],
        ),
        ("[sever]", &["tabswarm.toml", "[sever]", "[serve]"]),
        (
            "listen = \"127.0.0.1:0\"",
            &["tabswarm.toml", "listen", "[serve]"],
        ),
        (
            "[serve]\nmax_workers = 1.5",
            &["tabswarm.toml", "serve.max_workers", "whole number"],
        ),
        ("[serve]\nmax_workers = -1", &["-1", "--max-workers"]),
        ("[serve", &["tabswarm.toml", "line 1"]),
    ] {
        let file = site.file("tabswarm.toml", content);
        let mut command = tabswarm();
        command.args(["config", "check"]).arg("--config").arg(file);
        let before = site.listing();
        let (code, stdout, stderr) = told(&command.output().unwrap());
        assert_eq!(site.listing(), before, "{content} left something behind");
        assert_eq!(
            (code, stdout.as_str()),
            (Some(2), ""),
            "{content}: {stderr}"
        );
        for part in parts {
            assert!(
                stderr.contains(part),
                "{content}: {stderr:?} should contain {part:?}"
            );
        }
    }
    // A server that is started with it says so, too.
    let file = site.file("tabswarm.toml", "[serve]\nlisten = \"nowhere\"");
    let before = site.listing();
    let mut command = tabswarm();
    let output = command.arg("serve").arg("--config").arg(file).output();
    let (code, _, stderr) = told(&output.unwrap());
    assert_eq!(site.listing(), before);
    assert_eq!(
        (code, stderr.contains("config print")),
        (Some(2), true),
        "{stderr}"
    );
}

#[test]
fn shells_get_a_script_that_knows_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, stdout, _) = told(&tabswarm().args(["completion", shell]).output().unwrap());
        assert_eq!(code, Some(0));
        for verb in ["snapshot", "token", "rollback"] {
            assert!(stdout.contains(verb), "{shell}: no {verb}");
        }
    }
    let (code, ..) = told(&tabswarm().args(["completion", "dos"]).output().unwrap());
    assert_eq!(code, Some(2));
}

const TALE_TOML: &str = r#"
name = "tale"
seed = 1
data = { format = "text", path = "tale", vocabulary = "characters", context = 4 }
optimizer = { kind = "adam", learning_rate = 0.01 }
[model]
input = [4]
layers = [{ kind = "embedding", vocabulary = 4, width = 3 }, { kind = "dense", units = 4 }]
loss = "softmax_cross_entropy"
[train]
epochs = 2
micro_batch = 4
global_batch = 8
"#;

#[test]
fn a_run_on_a_text_writes() {
    let site = Site::new("sample");
    let folder = site.datasets_dir().join("tale");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("data.txt"), "abé\n".repeat(100)).unwrap();
    let server = ChildServer::start(&site);
    for (name, toml) in [
        ("tale.toml", TALE_TOML.to_owned()),
        ("digits.toml", run_toml("digits", "")),
    ] {
        let file = site.file(name, &toml);
        let create = ["run", "create", file.to_str().unwrap()];
        let (code, _, stderr) = told(&server.verb(&site, &create));
        assert_eq!(code, Some(0), "{stderr}");
    }
    let sample = |args: &[&str]| {
        let args = [&["run", "sample"], args].concat();
        told(&server.verb(&site, &args))
    };
    let fails = |args: &[&str], part: &str| {
        let (code, stdout, stderr) = sample(args);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains(part), "{stderr:?} should contain {part:?}");
    };
    fails(&["digits"], "not trained on a text");
    fails(&["tale"], "no snapshot yet");
    let (code, _, stderr) = told(&server.verb(&site, &["run", "start", "tale"]));
    assert_eq!(code, Some(0), "{stderr}");
    let write = ["tale", "--prompt", "abéab", "--chars", "20", "--seed", "3"];
    // The snapshot is written after the answer to the start.
    let deadline = Instant::now() + Duration::from_secs(30);
    let text = loop {
        let (code, stdout, stderr) = sample(&write);
        if code == Some(0) {
            break stdout;
        }
        assert!(
            stderr.contains("no snapshot yet") && Instant::now() < deadline,
            "{stderr}"
        );
    };
    assert!(
        text.starts_with("abéab") && text.chars().all(|c| "abé\n".contains(c)),
        "{text:?}"
    );
    assert_eq!(sample(&write).1, text);
    fails(&["tale", "--prompt", "xyz"], "'x'");
    let (code, _, stderr) = sample(&["tale", "--temperature", "-1"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert_eq!(server.terminate().0, Some(0));
}

#[test]
fn an_unreachable_server_is_named() {
    let site = Site::new("unreachable");
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    std::fs::create_dir_all(site.data_dir()).unwrap();
    let (code, _, stderr) = told(&verb(&closed, &site.data_dir(), &["run", "list"]));
    assert_eq!(
        (code, stderr.contains("no admin token")),
        (Some(1), true),
        "{stderr}"
    );
    std::fs::write(site.data_dir().join("admin-token"), "0123456789abcdef\n").unwrap();
    let (code, _, stderr) = told(&verb(&closed, &site.data_dir(), &["run", "list"]));
    assert_eq!(code, Some(3));
    assert!(
        stderr.contains(&closed) && stderr.contains("is the server running"),
        "{stderr}"
    );
}
