//! What a server needs to know to start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tabswarm_store::{Disk, RealDisk};

use crate::auth::AdminToken;
use crate::proxies::Network;
use crate::tls::TlsFiles;

/// Connections of both listeners.
pub const DEFAULT_MAX_CONNECTIONS: usize = 4_096;
/// Connections of one remote address (an IPv6 network counts as one).
pub const DEFAULT_MAX_CONNECTIONS_PER_ADDRESS: usize = 64;
/// Workers connected at a time.
pub const DEFAULT_MAX_WORKERS: usize = 2_048;

/// Largest file that can be uploaded: larger data sets come in several.
pub const DEFAULT_MAX_UPLOAD_BYTES: u64 = 16 << 30;

/// One WebSocket write must get through within so long: 1 MiB at 50 KB/s.
pub const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// A server's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where volunteers connect.
    pub listen: SocketAddr,
    /// Where operators connect.
    pub admin_listen: SocketAddr,
    /// Everything that the server keeps.
    pub data_dir: PathBuf,
    /// The file system that runs are stored in: the real one, except in tests.
    pub disk: Arc<dyn Disk>,
    /// Where snapshots are kept if not in the runs' folders, as `s3://BUCKET/PREFIX`.
    pub snapshots: Option<String>,
    /// The operator's data sets, one folder each.
    pub datasets_dir: PathBuf,
    /// Origins besides the server's own whose pages may connect.
    pub allowed_origins: Vec<String>,
    /// The admin token; one is kept in the data directory if none.
    pub admin_token: Option<AdminToken>,
    /// Most open connections of each listener.
    pub max_connections: usize,
    /// Most open connections of one address. Loopback addresses are exempt: a proxy on this machine speaks
    /// for everybody.
    pub max_connections_per_address: usize,
    /// Most connected workers.
    pub max_workers: usize,
    /// Largest file of a data set that can be uploaded.
    pub max_upload_bytes: u64,
    /// A worker that takes one message for longer is cut.
    pub write_timeout: Duration,
    /// Certificate and key of the volunteers' listener; without them it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

impl Config {
    /// Both listeners on the loopback with ports that the system chooses.
    pub fn local(data_dir: PathBuf, datasets_dir: PathBuf) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen,
            admin_listen: listen,
            data_dir,
            disk: Arc::new(RealDisk),
            snapshots: None,
            datasets_dir,
            allowed_origins: Vec::new(),
            admin_token: None,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            max_connections_per_address: DEFAULT_MAX_CONNECTIONS_PER_ADDRESS,
            max_workers: DEFAULT_MAX_WORKERS,
            max_upload_bytes: DEFAULT_MAX_UPLOAD_BYTES,
            write_timeout: DEFAULT_WRITE_TIMEOUT,
            tls: None,
            trusted_proxies: Vec::new(),
        }
    }
}
