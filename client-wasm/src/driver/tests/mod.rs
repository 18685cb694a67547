//! Whole sessions against a scripted server, without a browser.

mod sessions;
mod world;
