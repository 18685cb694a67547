//! Whole sessions against a scripted server, without a browser.

mod lanes;
mod sessions;
mod world;
