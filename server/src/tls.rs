//! TLS of the public listener, with a certificate that may change while the server runs.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use crate::limits::{HEADER_READ_TIMEOUT, TLS_RELOAD_INTERVAL};

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those that it rests on, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file that can't be read or holds no such thing.
    #[error("{flag} {}: {problem}", path.display())]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The two don't belong together, or are of a kind that rustls does not take.
    #[error("--tls-cert {} and --tls-key {} can't be used together: {problem}", files.certificate.display(), files.key.display())]
    Pair {
        /// The files.
        files: TlsFiles,
        /// What is wrong.
        problem: String,
    },
}

/// What new connections use.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
}

/// When both files were written and how long they are.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// Reads certificate and key.
    pub(crate) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(load(&files)?));
        Ok(Self { files, current })
    }

    /// Takes up new files until it is time to end. Ones that can't be used are complained of, and the old ones stay.
    pub(crate) async fn watch(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut seen = self.stamp();
        loop {
            tokio::select! {
                () = tokio::time::sleep(TLS_RELOAD_INTERVAL) => {}
                _ = shutdown.wait_for(|ends| *ends) => return,
            }
            let stamp = self.stamp();
            if stamp == seen {
                continue;
            }
            match load(&self.files) {
                Ok(config) => {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    *current = Arc::new(config);
                    info!("certificate taken up");
                }
                // Perhaps only one of the two has been replaced yet: then the other one's change comes next.
                Err(error) => warn!(%error, "new certificate not usable; the old one stays"),
            }
            seen = stamp;
        }
    }

    /// Does a client's handshake.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.current());
        let handshake = tokio::time::timeout(HEADER_READ_TIMEOUT, acceptor.accept(stream));
        handshake
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
    }

    fn current(&self) -> Arc<ServerConfig> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    fn stamp(&self) -> Stamp {
        [&self.files.certificate, &self.files.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

fn load(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let in_file = |flag, path: &PathBuf, error: pem::Error| TlsError::File {
        flag,
        path: path.clone(),
        problem: match error {
            pem::Error::NoItemsFound => "it has nothing of the kind in PEM form".to_owned(),
            other => other.to_string(),
        },
    };
    let in_certificate = |error| in_file("--tls-cert", &files.certificate, error);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(in_certificate)?;
    if chain.is_empty() {
        return Err(in_certificate(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| in_file("--tls-key", &files.key, error))?;
    let pair = |error: rustls::Error| TlsError::Pair {
        files: files.clone(),
        problem: error.to_string(),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
