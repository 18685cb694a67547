//! Makes cargo notice a changed page.
//!
//! Release builds hold the page; debug builds read it from disk on every request and need no rebuild.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo::rerun-if-changed=../www/dist");
    }
}
