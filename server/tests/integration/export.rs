//! Trained models as files: what is offered, to whom, and under which names.

use std::fs;

use serde_json::{Value, json};
use tabswarm_model::digest::Digest;

use crate::durability::finish;
use crate::support::child::{ChildServer, told};
use crate::support::worker::Worker;
use crate::support::{Server, Site, run_toml};

const SHARED: &str = "[about]\nowner = \"A school\"\nlicense = \"CC0-1.0\"\ndownload = true\n";

/// Head and data of a safetensors file.
fn opened(bytes: &[u8]) -> (Value, &[u8]) {
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap());
    let (head, data) = rest.split_at(usize::try_from(length).unwrap());
    (serde_json::from_slice(head).unwrap(), data)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trained_model_is_exported_to_those_who_may_have_it() {
    let site = Site::new("export");
    let server = Server::start(site.config()).await;
    let run = run_toml("digits", SHARED);
    let created = server.admin("POST", "/admin/runs?start=true", &run).await;
    assert_eq!(created.status, 201, "{}", created.text());
    finish(&server).await;
    let newest = server.run("digits").await;
    let step = newest["version"].as_u64().unwrap();
    assert!(step > 0, "{newest}");

    let file = server
        .get("/api/runs/digits/export?format=safetensors")
        .await;
    assert_eq!(file.status, 200, "{}", file.text());
    let disposition = format!("attachment; filename=\"digits-step-{step}.safetensors\"");
    assert_eq!(file.header("content-disposition"), disposition);
    let (head, data) = opened(&file.body);
    assert_eq!(head["layers.1.weight"]["shape"], json!([6, 4]));
    let mut ranges: Vec<(u64, u64)> = head
        .as_object()
        .unwrap()
        .values()
        .filter_map(|tensor| tensor["data_offsets"].as_array())
        .map(|range| (range[0].as_u64().unwrap(), range[1].as_u64().unwrap()))
        .collect();
    ranges.sort_unstable();
    assert_eq!(ranges.last().unwrap().1, data.len() as u64);
    let metadata = &head["__metadata__"];
    assert_eq!(metadata["tabswarm_step"], json!(step.to_string()));
    assert_eq!(metadata["tabswarm_params_digest"], newest["params_digest"]);

    let card = server.get("/api/runs/digits/export?format=card").await;
    assert_eq!(card.header("content-type"), "text/markdown; charset=utf-8");
    let text = card.text();
    assert_eq!(metadata["model_card"], json!(text));
    let dataset = newest["dataset"].as_str().unwrap();
    for part in ["A school", "CC0-1.0", dataset, "Training loss", "layers[1]"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }

    // A snapshot of the beginning is another model than the newest.
    let onnx = server.get("/api/runs/digits/export?format=onnx").await;
    let first = server
        .get("/api/runs/digits/export?format=onnx&version=0")
        .await;
    assert_eq!((onnx.status, first.status), (200, 200));
    assert_ne!(Digest::of(&onnx.body), Digest::of(&first.body));
    let again = server
        .admin("GET", "/admin/runs/digits/export?format=onnx", "")
        .await;
    assert_eq!(again.body, onnx.body);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_not_possible_has_a_reason() {
    let site = Site::new("no-export");
    let server = Server::start(site.config()).await;
    let run = run_toml("kept", "");
    let created = server.admin("POST", "/admin/runs?start=true", &run).await;
    assert_eq!(created.status, 201, "{}", created.text());
    for (path, status, code) in [
        ("/api/runs/kept/export?format=onnx", 403, "not_offered"),
        ("/api/runs/none/export?format=onnx", 404, "not_found"),
        ("/api/runs/kept/export", 400, "bad_query"),
        ("/api/runs/kept/export?format=gguf", 400, "bad_query"),
        (
            "/api/runs/kept/export?format=onnx&version=x",
            400,
            "bad_query",
        ),
        ("/api/runs/kept/export?format=onnx&more=1", 400, "bad_query"),
    ] {
        let got = server.get(path).await.problem();
        assert_eq!(got, (status, code.to_owned()), "{path}");
    }
    let admin = |path: &'static str| server.admin("GET", path, "");
    let card = admin("/admin/runs/kept/export?format=card").await;
    assert_eq!(card.status, 200);
    let missing = admin("/admin/runs/kept/export?format=card&version=77").await;
    assert_eq!(missing.problem(), (404, "no_such_version".to_owned()));
    server.stop().await;
}

#[test]
fn the_command_line_writes_files_and_overwrites_none() {
    let site = Site::new("export-verb");
    let server = ChildServer::start(&site);
    let run_file = site.file("digits.toml", &run_toml("digits", ""));
    let run_file = run_file.to_str().unwrap();
    let (code, _, stderr) = told(&server.verb(&site, &["run", "create", run_file, "--start"]));
    assert_eq!(code, Some(0), "{stderr}");
    let out = site.data_dir().with_file_name("digits.safetensors");
    let args = [
        "export",
        "digits",
        "--format",
        "safetensors",
        "--out",
        out.to_str().unwrap(),
    ];
    let (code, stdout, stderr) = told(&server.verb(&site, &args));
    assert_eq!(code, Some(0), "{stderr}");
    let card = out.with_extension("md");
    assert!(stdout.contains(card.to_str().unwrap()), "{stdout}");
    let (head, _) = opened(&fs::read(&out).unwrap());
    let card = fs::read_to_string(card).unwrap();
    assert_eq!(head["__metadata__"]["model_card"], json!(card));
    let (code, _, stderr) = told(&server.verb(&site, &args));
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("exists") && stderr.contains("--out"),
        "{stderr}"
    );
    assert_eq!(server.terminate().0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_begins_with_the_parameters_of_another() {
    let site = Site::new("init");
    let server = Server::start(site.config()).await;
    let created = server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    assert_eq!(created.status, 201, "{}", created.text());
    let digest = finish(&server).await;
    let model = "/admin/runs/digits/export?format=safetensors";
    let model = server.admin("GET", model, "").await.body;
    fs::write(site.datasets_dir().join("digits.safetensors"), &model).unwrap();
    let begun = |name: &str, file: &str| {
        run_toml(name, "").replace(
            "model = {",
            &format!("model = {{ init = \"{file}.safetensors\","),
        )
    };
    let next = begun("next", "digits");
    let created = server.admin("POST", "/admin/runs", &next).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let check = |run: &Value| {
        assert_eq!(run["version"], json!(0));
        assert_eq!(run["params_digest"], json!(digest));
    };
    check(&server.run("next").await);
    for (file, content, part) in [
        ("none", None, "none.safetensors"),
        ("half", Some(&model[..100]), "no safetensors file"),
    ] {
        if let Some(content) = content {
            fs::write(
                site.datasets_dir().join(format!("{file}.safetensors")),
                content,
            )
            .unwrap();
        }
        let refused = server
            .admin("POST", "/admin/runs", &begun("bad", file))
            .await;
        assert_eq!(refused.problem(), (422, "bad_parameters".to_owned()));
        assert!(refused.detail().contains(part), "{}", refused.detail());
    }
    let wider = begun("bad", "digits").replace("units = 4", "units = 5");
    let refused = server.admin("POST", "/admin/runs", &wider).await.detail();
    assert!(
        refused.contains("shape [6, 4]") && refused.contains("[6, 5]"),
        "{refused}"
    );
    let outside = begun("bad", "../digits");
    let refused = server.admin("POST", "/admin/runs", &outside).await;
    assert_eq!(refused.problem().0, 422);
    assert!(!site.data_dir().join("runs/bad").exists());
    server.stop().await;

    // After a restart too, without the file, which has been taken over.
    fs::remove_file(site.datasets_dir().join("digits.safetensors")).unwrap();
    let server = Server::start(site.config()).await;
    check(&server.run("next").await);
    let started = server.admin("POST", "/admin/runs/next/start", "").await;
    assert_eq!(started.status, 200, "{}", started.text());
    let (mut worker, _) = Worker::join(server.public(), Some("next")).await;
    worker.work_for(20).await;
    let run = server
        .run_until("next", |run| run["version"].as_u64() > Some(0))
        .await;
    assert_ne!(run["params_digest"], json!(digest));
    server.stop().await;
}
