//! Creating runs, commanding them, and what is refused.

use crate::support::{Server, Site, idx, run_toml};

#[tokio::test(flavor = "multi_thread")]
async fn commands_follow_the_phases() {
    let site = Site::new("phases");
    let server = Server::start(site.config()).await;
    let created = server
        .admin("POST", "/admin/runs", &run_toml("digits", ""))
        .await;
    assert_eq!(
        (created.status, created.json()["phase"].as_str()),
        (201, Some("created"))
    );
    // verb, expected status, phase afterwards
    let script = [
        ("pause", 409, "created"),
        ("resume", 409, "created"),
        ("start", 200, "running"),
        ("start", 409, "running"),
        ("resume", 409, "running"),
        ("pause", 200, "paused"),
        ("pause", 409, "paused"),
        ("resume", 200, "running"),
        ("pause", 200, "paused"),
        ("start", 200, "running"),
        ("stop", 200, "stopped"),
        ("start", 409, "stopped"),
        ("stop", 409, "stopped"),
    ];
    for (verb, status, phase) in script {
        let answer = server
            .admin("POST", &format!("/admin/runs/digits/{verb}"), "")
            .await;
        assert_eq!(answer.status, status, "{verb}: {}", answer.text());
        if status == 409 {
            assert_eq!(answer.problem().1, "wrong_phase");
            assert!(
                answer.detail().contains(phase),
                "{verb}: {}",
                answer.detail()
            );
        }
        // What was ordered is visible at once.
        assert_eq!(server.run("digits").await["phase"], phase, "{verb}");
    }
    let answer = server.admin("POST", "/admin/runs/digits/dance", "").await;
    assert_eq!(answer.problem().0, 404);
    assert!(answer.detail().contains("/admin/runs/digits/dance"));
    let answer = server.admin("POST", "/admin/runs/nobody/start", "").await;
    assert_eq!(
        (answer.problem().0, answer.detail().contains("nobody")),
        (404, true)
    );
    let listed = server.admin("GET", "/admin/runs", "").await.json();
    assert_eq!(listed[0]["name"], "digits");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_run_files_are_refused_with_all_their_mistakes() {
    let site = Site::new("bad-run-files");
    let server = Server::start(site.config()).await;
    let good = run_toml("digits", "");
    let cases: [(String, u16, &[&str]); 6] = [
        (good.replace("seed", "sead"), 422, &["sead"]),
        (
            good.replace("units = 4", "units = 0"),
            422,
            &["model.layers[1].units"],
        ),
        (
            good.replace("micro_batch = 2", "micro_batch = 3")
                .replace("epochs = 20", "epochs = 0"),
            422,
            &["train.epochs", "global_batch"],
        ),
        ("name = ".to_owned(), 422, &["line 1"]),
        (String::new(), 422, &["name"]),
        (
            format!("{good}\n#{}", "x".repeat(64 << 10)),
            413,
            &["65536"],
        ),
    ];
    for (body, status, parts) in cases {
        let answer = server.admin("POST", "/admin/runs", &body).await;
        assert_eq!(answer.problem().0, status, "{}", answer.text());
        for part in parts {
            assert!(
                answer.detail().contains(part),
                "{:?} should contain {part:?}",
                answer.detail()
            );
        }
    }
    assert_eq!(
        server
            .get("/api/runs")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert_eq!(server.admin("POST", "/admin/runs", &good).await.status, 201);
    let answer = server.admin("POST", "/admin/runs", &good).await;
    assert_eq!(answer.problem(), (409, "name_taken".to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_data_sets_are_named() {
    let site = Site::new("bad-data");
    let server = Server::start(site.config()).await;
    let images = site.dataset().join("train-images-idx3-ubyte");
    let whole = std::fs::read(&images).unwrap();
    let create = || async {
        let answer = server
            .admin("POST", "/admin/runs", &run_toml("digits", ""))
            .await;
        assert_eq!(answer.problem(), (422, "bad_dataset".to_owned()));
        answer.detail()
    };
    std::fs::write(&images, &whole[..whole.len() - 5]).unwrap();
    let detail = create().await;
    assert!(
        detail.contains("truncated") && detail.contains("cargo xtask setup"),
        "{detail}"
    );
    std::fs::write(&images, idx(&[44, 3, 2], &whole[16..])).unwrap();
    assert!(create().await.contains("model.input is [2, 3]"));
    std::fs::remove_file(&images).unwrap();
    let detail = create().await;
    assert!(
        detail.contains("train-images-idx3-ubyte") && detail.contains("cargo xtask setup"),
        "{detail}"
    );
    // Nothing of the failed attempts is in the way.
    std::fs::write(&images, &whole).unwrap();
    let answer = server
        .admin("POST", "/admin/runs", &run_toml("digits", ""))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    server.stop().await;
}
