//! Data sets: from the operator's files to chunks that workers fetch and a test set that stays here.

mod idx;
mod ingest;
mod labeled;
mod test_set;
mod text;

pub(crate) use ingest::{IngestError, Ingested, brotli, ingest};
pub(crate) use test_set::TestSet;
