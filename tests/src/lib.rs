//! Test beds that are too large for one crate: the simulation of a whole network under a seed.

pub mod sim;
