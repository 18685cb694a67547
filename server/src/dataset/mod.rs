//! Data sets: from the operator's files to chunks that workers fetch and a test set that stays here.

mod arrays;
mod fault;
mod idx;
mod images;
mod ingest;
mod labeled;
mod npy;
mod split;
mod statistics;
mod table;
mod test_set;
mod text;
mod writer;

pub(crate) use ingest::{IngestError, Ingested, brotli, ingest, rehearse};
pub(crate) use test_set::TestSet;
