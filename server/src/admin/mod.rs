//! What operators may do. Every address but those for supervisors asks for a token; [`routes`] says which scope.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes out what queries are called"
)]

pub(crate) mod access;
mod archive;
pub(crate) mod bans;
pub(crate) mod console;
mod credits;
mod datasets;
mod events;
mod files;
pub(crate) mod health;
pub(crate) mod idempotency;
mod identities;
mod problems;
mod routes;
mod rows;
mod runs;
mod settings;
mod snapshots;
pub(crate) mod stream;
mod tokens;
mod validate;
mod versions;
mod work;
mod workers;

pub(crate) use routes::{document_text, router};
pub(crate) use versions::no_version;
