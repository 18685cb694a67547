//! The binary: exit codes, messages, verbs, signals.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::child::{ChildServer, serve_command, tabswarm, told, verb};
use crate::support::{Site, run_toml};

#[test]
fn each_start_that_fails_has_one_clear_message() {
    let site = Site::new("starts");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let in_the_way = site.file("in-the-way", "");
    let in_the_way = in_the_way.to_str().unwrap();
    let cases: [(&[&str], i32, &[&str]); 8] = [
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
    ];
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

#[test]
fn verbs_command_a_server() {
    let site = Site::new("verbs");
    let file = site.file("digits.toml", &run_toml("digits", ""));
    let file = file.to_str().unwrap();
    let server = ChildServer::start(&site);
    let does = |args: &[&str], part: &str| {
        let (code, stdout, stderr) = told(&server.verb(&site, args));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(
            stdout.contains(part),
            "{args:?}: {stdout:?} should contain {part:?}"
        );
    };
    let fails = |args: &[&str], part: &str| {
        let (code, stdout, stderr) = told(&server.verb(&site, args));
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{args:?}: {stderr}");
        assert!(
            stderr.starts_with("error: ") && stderr.contains(part),
            "{args:?}: {stderr:?} should contain {part:?}"
        );
    };
    does(&["run", "list"], "There are no runs");
    does(&["run", "create", file], "created");
    fails(&["run", "create", file], "another name");
    fails(&["run", "pause", "digits"], "can be started");
    does(&["run", "start", "digits"], "running");
    does(&["run", "pause", "digits"], "paused");
    does(&["run", "resume", "digits"], "running");
    does(&["run", "list"], "NAME");
    does(&["run", "list", "--json"], "\"phase\":\"running\"");
    does(&["run", "show", "digits"], "0 of 120");
    does(&["worker", "list"], "There are no workers");
    does(&["worker", "list", "--json"], "[]");
    does(&["run", "stop", "digits"], "stopped");
    fails(&["run", "show", "nobody"], "\"nobody\"");
    fails(&["run", "show", "../runs"], "letters, digits and dashes");
    fails(
        &["run", "list", "--token", "0123456789abcdef"],
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
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains(&closed) && stderr.contains("is the server running"),
        "{stderr}"
    );
}
