//! With a server.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::s3_server::{BUCKET, S3Server};
use super::*;

const URL: &str = "s3://tabswarm-test/runs";
const MIB: usize = 1 << 20;

#[test]
fn a_server_keeps_the_contract() {
    let runtime = runtime();
    let server = S3Server::start("contract");
    assert_contract(&server.storage(&runtime, URL, &[]));
    assert_contract(&server.storage(&runtime, &format!("s3://{BUCKET}"), &[]));
}

#[test]
fn lists_have_more_than_one_page() {
    let runtime = runtime();
    let server = S3Server::start("pages");
    let objects = server.storage(&runtime, URL, &[]);
    // A page of S3 has 1,000 names.
    let names: Vec<String> = (0..1_050).map(|number| format!("n{number:04}")).collect();
    for name in &names {
        objects.put(name, b"").unwrap();
    }
    assert_eq!(objects.list().unwrap(), names);
}

#[test]
fn large_objects_come_back_whole() {
    let runtime = runtime();
    let server = S3Server::start("large");
    let objects = server.storage(&runtime, URL, &[]);
    let bytes = noise(1, 64 * MIB);
    objects.put("large", &bytes).unwrap();
    assert!(objects.get("large").unwrap() == bytes, "they differ");
    let other = noise(2, 64 * MIB);
    objects.put("large", &other).unwrap();
    assert!(objects.get("large").unwrap() == other, "they differ");
    assert_eq!(objects.list().unwrap(), ["large"]);
}

/// Bytes of the files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
            _ => entry.metadata().map_or(0, |metadata| metadata.len()),
        })
        .sum()
}

#[test]
fn a_server_that_dies_half_way_leaves_the_old_object() {
    let runtime = runtime();
    let mut server = S3Server::start("killed");
    let objects = server.storage(&runtime, URL, &[]);
    let old = noise(1, 20 * MIB);
    objects.put("large", &old).unwrap();
    let stored = bytes_below(&server.folder());
    let new = noise(2, 128 * MIB);
    std::thread::scope(|scope| {
        let put = scope.spawn(|| objects.put("large", &new));
        // Some pieces have arrived and others have not.
        let start = Instant::now();
        while bytes_below(&server.folder()) < stored + u64::try_from(20 * MIB).unwrap() {
            assert!(start.elapsed() < Duration::from_mins(1), "nothing arrives");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(!put.is_finished(), "it was too quick to be interrupted");
        server.kill();
        let start = Instant::now();
        let error = put.join().unwrap().unwrap_err().to_string();
        assert!(start.elapsed() < Duration::from_mins(1));
        assert!(
            error.contains("s3://tabswarm-test/runs/large can't be written")
                && error.contains("check AWS_ENDPOINT_URL"),
            "{error}"
        );
    });
    for error in [
        objects.get("large").unwrap_err(),
        objects.list().unwrap_err(),
        objects.delete("large").unwrap_err(),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::Other, "{error}");
    }

    let server = server.restart();
    assert!(
        objects.get("large").unwrap() == old,
        "the old object is gone"
    );
    assert_eq!(objects.list().unwrap(), ["large"]);
    objects.put("large", &new).unwrap();
    assert!(objects.get("large").unwrap() == new, "they differ");
    drop(server);
}

#[test]
fn a_server_that_comes_back_in_time_is_waited_for() {
    /// Attempts that find nobody.
    const AWAY: usize = 2;
    let runtime = runtime();
    let server = S3Server::start("back");
    let front = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("http://{}", front.local_addr().unwrap());
    let changes = [("AWS_ENDPOINT_URL", &*endpoint)];
    let objects = server.storage(&runtime, URL, &changes);
    let behind = server.endpoint().replacen("http://", "", 1);
    // How long a real one takes to come back depends on the machine: this one is back for the third attempt.
    background("front", move || {
        for (idx, mut client) in front.incoming().map_while(Result::ok).enumerate() {
            if idx >= AWAY {
                forward(client, &behind);
            } else {
                // It dies with the request in its hands: a connection that ends before there is one is another case.
                client.read_exact(&mut [0; 16]).ok();
            }
        }
    });
    objects.put("a", b"new").unwrap();
    assert_eq!(objects.get("a").unwrap(), b"new");
    drop(server);
}

/// Passes bytes on between a client and a server, in both directions, on threads of their own.
fn forward(client: TcpStream, server: &str) {
    let server = TcpStream::connect(server).unwrap();
    for (mut from, mut to) in [
        (client.try_clone().unwrap(), server.try_clone().unwrap()),
        (server, client),
    ] {
        background("forward", move || {
            // Either side may end it at any time.
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Write));
        });
    }
}

/// Works until the test's process ends.
fn background(name: &str, work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(work).unwrap();
}

#[test]
fn wrong_keys_and_buckets_are_told_apart_from_missing_objects() {
    const WRONG: &str = "not-the-secret";
    let runtime = runtime();
    let server = S3Server::start("wrong");
    // The server knows accounts but computes no signatures, so a wrong secret alone would pass.
    let changes = [
        ("AWS_ACCESS_KEY_ID", "NOBODY"),
        ("AWS_SECRET_ACCESS_KEY", WRONG),
    ];
    let wrong_key = server.storage(&runtime, URL, &changes);
    for error in [
        wrong_key.probe().unwrap_err(),
        wrong_key.get("a").unwrap_err(),
        wrong_key.list().unwrap_err(),
        wrong_key.delete("a").unwrap_err(),
    ] {
        let message = error.to_string();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{message}");
        assert!(
            message.contains("AWS_SECRET_ACCESS_KEY") && !message.contains(WRONG),
            "{message}"
        );
    }
    assert!(!format!("{wrong_key:?}").contains(WRONG));

    let no_bucket = server.storage(&runtime, "s3://no-such-bucket/runs", &[]);
    for error in [
        no_bucket.probe().unwrap_err(),
        no_bucket.get("a").unwrap_err(),
        no_bucket.list().unwrap_err(),
        no_bucket.delete("a").unwrap_err(),
    ] {
        let message = error.to_string();
        assert_eq!(error.kind(), io::ErrorKind::Other, "{message}");
        assert!(
            message.contains("check that the bucket exists"),
            "{message}"
        );
    }
}

#[test]
fn what_is_no_s3_server_is_an_error_and_not_a_panic() {
    let runtime = runtime();
    let server = S3Server::start("tls");
    let tls = server.endpoint().replace("http:", "https:");
    let objects = server.storage(&runtime, URL, &[("AWS_ENDPOINT_URL", &tls)]);
    let error = objects.put("a", b"").unwrap_err().to_string();
    assert!(error.contains("check AWS_ENDPOINT_URL"), "{error}");
}

#[test]
fn a_configuration_that_can_not_work_is_refused() {
    let runtime = runtime();
    for (name, value, reason) in [
        ("AWS_REGION", "us-east-1", "there are no keys"),
        ("AWS_ENDPOINT_URL", "no url", "`no url`, which is no URL"),
        ("AWS_ENDPOINT", "localhost:9000", "AWS_ENDPOINT is"),
        ("AWS_ENDPOINT_URL_S3", "file:///x", "http or https"),
    ] {
        let variables = [(name.to_owned(), value.to_owned())];
        let built = ObjectStorage::s3(location(URL), variables, runtime.handle().clone());
        let error = built.unwrap_err().to_string();
        assert!(error.contains(URL) && error.contains(reason), "{error}");
    }
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let runtime = runtime();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let silent = std::thread::Builder::new()
        .name("silent server".to_owned())
        .spawn(move || {
            let mut attempts = 0_u32;
            let mut held = Vec::new();
            loop {
                let (mut connection, _) = listener.accept().unwrap();
                let mut first = [0];
                if connection.read(&mut first).unwrap_or(0) == 0 || first == *b"!" {
                    return attempts;
                }
                attempts += 1;
                held.push(connection);
            }
        })
        .unwrap();
    let server = S3Server::start("silent");
    let changes = [("AWS_ENDPOINT_URL", &*endpoint), ("AWS_TIMEOUT", "500ms")];
    let objects = server.storage(&runtime, URL, &changes);
    let start = Instant::now();
    let error = objects.get("a").unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(error.contains("runs/a can't be read"), "{error}");

    let address = endpoint.trim_start_matches("http://");
    let mut end = TcpStream::connect(address).unwrap();
    end.write_all(b"!").unwrap();
    assert_eq!(
        silent.join().unwrap(),
        5,
        "one attempt and four repetitions"
    );
}
