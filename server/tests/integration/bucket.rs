//! Snapshots in a bucket, on a real server that speaks S3.

use std::process::Command;
use std::time::Duration;

use tabswarm_protocol::ServerMessage;
use tabswarm_protocol::server::{IdleReason, Verdict};

use crate::durability::{STEPS, undisturbed};
use crate::support::child::{ChildServer, serve_command, tabswarm, told};
use crate::support::s3::S3Process;
use crate::support::worker::Worker;
use crate::support::{Site, run_toml};

const URL: &str = "s3://tabswarm-test/some/prefix";

/// A site, and a bucket for its snapshots.
struct Cloud {
    site: Site,
    bucket: S3Process,
}

impl Cloud {
    fn new(name: &str) -> Self {
        let site = Site::new(name);
        let folder = site.data_dir().with_file_name("bucket");
        std::fs::create_dir_all(&folder).unwrap();
        let bucket = S3Process::start(&folder, 0);
        Self { site, bucket }
    }

    fn command(&self, mut command: Command, url: &str) -> Command {
        command.envs(self.bucket.variables());
        if !url.is_empty() {
            command.args(["--snapshots", url]);
        }
        command
    }

    fn start(&self) -> ChildServer {
        ChildServer::spawn(self.command(serve_command(&self.site), URL))
    }

    /// Why a server of a site does not start.
    fn refusal(&self, site: &Site, url: &str) -> String {
        let output = self.command(serve_command(site), url).output().unwrap();
        let (code, _, problem) = told(&output);
        assert_eq!(code, Some(1), "{problem}");
        problem
    }

    /// A verb about what is stored.
    fn store(&self, args: &[&str], url: &str) -> (Option<i32>, String, String) {
        let mut command = tabswarm();
        command.arg("store").args(args);
        told(&self.command(command, url).output().unwrap())
    }

    fn verb(&self, server: &ChildServer, args: &[&str]) -> String {
        let (code, answer, problem) = told(&server.verb(&self.site, args));
        assert_eq!(code, Some(0), "{args:?}: {problem}");
        answer
    }

    /// Names in the bucket that belong to a run.
    fn objects(&self, run: &str) -> Vec<String> {
        let bucket = self.site.data_dir().with_file_name("bucket");
        let folder = bucket.join("tabswarm-test/some/prefix").join(run);
        let names = std::fs::read_dir(folder).into_iter().flatten();
        names
            .map(|name| name.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Waits until the run has an object whose name has this in it.
    async fn snapshot(&self, part: &str) {
        for _ in 0..500 {
            if self
                .objects("digits")
                .iter()
                .any(|name| name.contains(part))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{part} never came: {:?}", self.objects("digits"));
    }
}

fn digest(cloud: &Cloud, server: &ChildServer, run: &str) -> String {
    let answer = cloud.verb(server, &["digest", run]);
    answer.split_whitespace().next().unwrap().to_owned()
}

/// Some updates are accepted, or the run is over: steps may be committed long before they are acknowledged.
async fn work_a_little(worker: &mut Worker) {
    let mut accepted = 0;
    let is_enough = |message: &ServerMessage| match message {
        ServerMessage::Receipt {
            verdict: Verdict::Accepted { .. },
            ..
        } => {
            accepted += 1;
            accepted >= 5
        }
        ServerMessage::Idle { reason } => *reason == IdleReason::RunFinished,
        _ => false,
    };
    worker.work(is_enough).await.expect("the server is there");
}

async fn finish(server: &ChildServer) {
    let (mut worker, _) = Worker::join(server.public, None).await;
    let finished = |message: &ServerMessage| matches!(message, ServerMessage::Idle { reason } if *reason == IdleReason::RunFinished);
    worker.work(finished).await.expect("the run finishes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_comes_back_from_its_bucket_and_its_log() {
    let expected = undisturbed().await;
    let cloud = Cloud::new("bucket");
    let toml = run_toml("digits", "snapshot = { every_steps = 10 }");
    let toml = cloud.site.file("run.toml", &toml);
    let mut server = cloud.start();
    cloud.verb(
        &server,
        &["run", "create", toml.to_str().unwrap(), "--start"],
    );
    for _ in 0..3 {
        let (mut worker, _) = Worker::join(server.public, None).await;
        work_a_little(&mut worker).await;
        server.kill();
        server = cloud.start();
    }
    finish(&server).await;
    assert_eq!(digest(&cloud, &server, "digits"), expected);
    let in_folder = cloud.site.data_dir().join("runs/digits/snapshots");
    assert_eq!(std::fs::read_dir(in_folder).unwrap().count(), 0);
    assert!(
        cloud
            .objects("digits")
            .iter()
            .any(|name| name.contains(".safetensors"))
    );

    cloud.verb(
        &server,
        &["run", "fork", "digits", "digits-2", "--at", "115"],
    );
    assert!(!cloud.objects("digits-2").is_empty());
    cloud.verb(&server, &["run", "rollback", "digits", "--to", "115"]);
    cloud.verb(&server, &["run", "resume", "digits"]);
    finish(&server).await;
    assert_eq!(digest(&cloud, &server, "digits"), expected);
    server.kill();
    verbs_work_on_the_bucket(&cloud);
    let server = cloud.start();
    cloud.verb(&server, &["run", "resume", "digits"]);
    finish(&server).await;
    assert_eq!(digest(&cloud, &server, "digits"), expected);
    cloud.snapshot(&format!("-v{STEPS:012}.json")).await;
    server.kill();

    // The disk was lost, and a backup has what never changes.
    let run = cloud.site.data_dir().join("runs/digits");
    std::fs::remove_dir_all(run.join("log")).unwrap();
    std::fs::remove_file(run.join("history.json")).unwrap();
    let server = cloud.start();
    assert_eq!(digest(&cloud, &server, "digits"), expected);
}

fn verbs_work_on_the_bucket(cloud: &Cloud) {
    // Operators' verbs find the same, and only with the place.
    let folder = cloud.site.data_dir();
    let folder = folder.to_str().unwrap();
    let (code, report, problem) = cloud.store(&["verify", folder], URL);
    assert_eq!(code, Some(0), "{report}{problem}");
    assert!(
        report.matches("all is well").count() == 2 && !report.contains(" 0 snapshots"),
        "{report}"
    );
    let (code, _, problem) = cloud.store(&["verify", folder], "");
    assert_eq!(code, Some(1));
    assert!(problem.contains(URL), "{problem}");
    let run = cloud.site.data_dir().join("runs/digits");
    let run = run.to_str().unwrap();
    for args in [
        &["rollback", run, "--to", "117"][..],
        &["compact", run],
        &["repair", run],
    ] {
        let (code, report, problem) = cloud.store(args, URL);
        assert_eq!(code, Some(0), "{args:?}: {report}{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_start_with_the_wrong_place() {
    let mut cloud = Cloud::new("bucket-wrong");
    let toml = cloud.site.file("run.toml", &run_toml("digits", ""));
    let site = &cloud.site;
    let bucket = site.data_dir().with_file_name("bucket");
    let prefix = bucket.join("tabswarm-test/some/prefix");
    cloud.start().kill();
    // As if the first start had been interrupted before it told the bucket.
    std::fs::remove_dir_all(&prefix).unwrap();
    let server = cloud.start();
    cloud.verb(
        &server,
        &["run", "create", toml.to_str().unwrap(), "--start"],
    );
    cloud.snapshot(".json").await;
    server.kill();
    let without = cloud.refusal(site, "");
    assert!(without.contains(&format!("--snapshots {URL}")), "{without}");
    let elsewhere = cloud.refusal(site, "s3://tabswarm-test/other");
    assert!(
        elsewhere.contains(&format!("--snapshots {URL}")),
        "{elsewhere}"
    );
    let unfit = cloud.refusal(site, "file:///tmp");
    assert!(unfit.contains("s3://BUCKET/PREFIX"), "{unfit}");
    // Another data directory's runs have the same ids.
    let other = Site::new("bucket-other");
    let taken = cloud.refusal(&other, URL);
    assert!(
        taken.contains("another data directory") && taken.contains("another prefix"),
        "{taken}"
    );
    // Runs that have been without a bucket stay so.
    let server = ChildServer::start(&other);
    let created = server.verb(&other, &["run", "create", toml.to_str().unwrap()]);
    assert!(created.status.success(), "{created:?}");
    server.kill();
    let in_folders = cloud.refusal(&other, "s3://tabswarm-test/third");
    assert!(in_folders.contains("leave out --snapshots"), "{in_folders}");
    // What an earlier run has left is not taken for a new run's.
    let server = cloud.start();
    let mut left = Command::new("cp");
    left.arg("-r")
        .arg(prefix.join("digits"))
        .arg(prefix.join("letters"));
    assert!(left.status().unwrap().success());
    let letters = site.file("letters.toml", &run_toml("letters", ""));
    let (code, _, problem) =
        told(&server.verb(site, &["run", "create", letters.to_str().unwrap()]));
    assert_eq!(code, Some(5));
    assert!(problem.contains("another name"), "{problem}");
    server.kill();
    // The bucket is another one, or empty.
    std::fs::remove_dir_all(&prefix).unwrap();
    let emptied = cloud.refusal(site, URL);
    assert!(emptied.contains("AWS_ENDPOINT_URL"), "{emptied}");
    // Nobody answers.
    cloud.bucket.kill();
    let silent = cloud.refusal(&cloud.site, URL);
    assert!(
        silent.contains(URL) && silent.contains("check AWS_ENDPOINT_URL"),
        "{silent}"
    );
}
