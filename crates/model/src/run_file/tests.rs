//! Tests of run files.
