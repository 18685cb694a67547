//! Data sets: from the operator's files to chunks that workers fetch and a test set that stays here.

mod idx;
mod ingest;
mod test_set;

pub(crate) use ingest::{IngestError, Ingested, brotli, ingest};
pub(crate) use test_set::TestSet;
