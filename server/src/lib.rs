//! The server: everything around the coordinator that touches sockets, files, threads and time.
//!
//! [`serve`] starts one with a [`Config`]. The coordinator runs on one thread (`actor`) and decides; each
//! worker's socket is a task (`ws`) that checks and decodes; evaluations and snapshots have threads of
//! their own. Requests read what the coordinator's thread published (`view`) and never wait for it.
//!
//! Nothing here decides about leases, steps or credit.

mod actor;
mod admin;
mod api;
mod app;
mod assets;
mod auth;
mod blob_cache;
pub mod cli;
mod clock;
mod config;
mod dataset;
mod evaluation;
mod export;
mod extract;
mod history;
mod hosting;
mod http;
mod initial;
mod ledger;
mod limits;
mod listener;
mod log_writer;
mod metrics;
mod object_storage;
mod params;
mod problem;
mod proxies;
mod server;
mod snapshot_place;
mod snapshot_writer;
mod store;
mod telemetry;
mod tensorboard;
mod tls;
mod traces;
mod uploads;
mod view;
mod ws;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod scratch;

pub use auth::{AdminToken, TokenError};
pub use config::{
    Config, DEFAULT_MAX_CONNECTIONS, DEFAULT_MAX_CONNECTIONS_PER_ADDRESS, DEFAULT_MAX_UPLOAD_BYTES,
    DEFAULT_MAX_WORKERS, DEFAULT_WRITE_TIMEOUT,
};
pub use proxies::Network;
pub use server::{Handle, ServeError, serve};
pub use store::StoreError;
pub use tls::{TlsError, TlsFiles};
