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
mod survey;
mod table;
mod test_set;
#[cfg(test)]
mod tests;
mod text;
mod writer;

pub(crate) use ingest::{IngestError, Ingested, brotli, ingest, rehearse};
pub(crate) use survey::{ColumnSurvey, Survey, survey};
pub(crate) use test_set::{TestReader, TestSet};
