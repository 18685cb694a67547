//! Test beds that are too large for one crate: the simulation of a whole network under a seed, and what the
//! tests with real servers and workers share.

pub mod idx;
pub mod reference;
pub mod sim;
