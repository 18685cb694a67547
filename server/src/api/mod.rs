//! What everybody may read: runs, their histories and parameters, training data. `docs/protocol.md` lists it.

pub(crate) mod blobs;
pub(crate) mod leaders;
pub(crate) mod runs;
pub(crate) mod wire;
