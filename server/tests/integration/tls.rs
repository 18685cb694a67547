//! TLS as a client sees it, and proxies that speak for others.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tabswarm_server::{TlsFiles, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::http::request;
use crate::support::{Server, Site};

/// A new certificate is taken up within so long.
const PATIENCE: Duration = Duration::from_secs(30);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/tls")
        .join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(fixture(&format!("{name}.crt"))).unwrap()
}

/// A client that trusts both certificates.
fn connector() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for name in ["first", "second"] {
        roots.add(certificate(name)).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// The certificate that a server shows, and its answer to a request.
async fn ask(address: SocketAddr) -> (CertificateDer<'static>, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector().connect(name, stream).await.unwrap();
    let (_, connection) = stream.get_ref();
    let shown = connection.peer_certificates().unwrap()[0].clone();
    let head = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The server may close the connection without a farewell.
    drop(stream.read_to_string(&mut answer).await);
    (shown, answer)
}

fn put(files: &TlsFiles, certificate: &str, key: &str) {
    fs::copy(fixture(&format!("{certificate}.crt")), &files.certificate).unwrap();
    fs::copy(fixture(&format!("{key}.key")), &files.key).unwrap();
}

fn files(site: &Site) -> TlsFiles {
    TlsFiles {
        certificate: site.file("server.crt", ""),
        key: site.file("server.key", ""),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_up_while_the_server_runs() {
    let site = Site::new("tls");
    let files = files(&site);
    put(&files, "first", "first");
    let mut config = site.config();
    config.tls = Some(files.clone());
    let server = Server::start(config).await;
    let (shown, answer) = ask(server.public()).await;
    assert_eq!(shown, certificate("first"));
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"),
        "{answer}"
    );
    // Half of a change is no change.
    put(&files, "second", "first");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(ask(server.public()).await.0, certificate("first"));
    put(&files, "second", "second");
    let taken_up = async {
        while ask(server.public()).await.0 != certificate("second") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken_up)
        .await
        .expect("the new one is shown");
    // The operators' listener is as it was.
    assert_eq!(server.admin("GET", "/admin/health", "").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_usable_certificate_says_which_file_is_wrong() {
    let site = Site::new("no-tls");
    let files = files(&site);
    let start = || async {
        let mut config = site.config();
        config.tls = Some(files.clone());
        serve(config).await.expect_err("it can't start").to_string()
    };
    let shown = start().await;
    assert!(
        shown.contains("--tls-cert") && shown.contains("server.crt"),
        "{shown}"
    );
    fs::copy(fixture("first.crt"), &files.certificate).unwrap();
    let shown = start().await;
    assert!(
        shown.contains("--tls-key") && shown.contains("server.key"),
        "{shown}"
    );
    put(&files, "first", "second");
    let shown = start().await;
    assert!(shown.contains("together"), "{shown}");
    fs::remove_file(&files.key).unwrap();
    let shown = start().await;
    assert!(shown.contains("server.key"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_those_of_the_clients_behind_a_trusted_proxy() {
    let site = Site::new("proxy");
    let mut config = site.config();
    config.max_connections_per_address = 1;
    config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Server::start(config).await;
    // A worker's socket keeps the place of its client.
    let handshake = |client: &str| {
        format!(
            "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             x-forwarded-for: {client}\r\n\r\n"
        )
    };
    let open = |client: &'static str| {
        let head = handshake(client);
        let address = server.public();
        async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut first = [0; 12];
            stream.read_exact(&mut first).await.unwrap();
            (String::from_utf8_lossy(&first).into_owned(), stream)
        }
    };
    let (first, held) = open("192.0.2.1").await;
    assert_eq!(first, "HTTP/1.1 101");
    assert_eq!(open("192.0.2.1").await.0, "HTTP/1.1 429");
    // Writing more addresses in front makes no other client of it.
    assert_eq!(open("198.51.100.9, 192.0.2.1").await.0, "HTTP/1.1 429");
    assert_eq!(open("192.0.2.2").await.0, "HTTP/1.1 101");
    let headers = [("x-forwarded-for", "192.0.2.1")];
    let refused = request("GET", server.public(), "/api/runs", &headers, "").await;
    assert_eq!(refused.problem(), (429, "too_many_connections".to_owned()));
    drop(held);
    let free_again = async {
        while open("192.0.2.1").await.0 != "HTTP/1.1 101" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free_again)
        .await
        .expect("the place is free again");
    server.stop().await;
}
