//! What operators do with stored runs whose server is not running.

mod repair;
mod verify;
mod versions;

#[cfg(test)]
mod tests;

pub use repair::{LostStep, RepairReport, repair};
pub use verify::{VerifyReport, verify};
pub use versions::{change, compact, create_with_params, fork, rollback};
