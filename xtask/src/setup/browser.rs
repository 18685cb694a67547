//! A Chromium and a software GPU for the browser tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;

/// Names the browser to test with, for those whose browser is somewhere else.
const CHROMIUM_VARIABLE: &str = "TABSWARM_CHROMIUM";
const CHROMIUM_NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];
const CHROMIUM_MACOS: &str = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
/// Where Linux keeps the list of Vulkan drivers, and how the software one is called there.
const VULKAN_DRIVERS: &str = "/usr/share/vulkan/icd.d";
const SOFTWARE_DRIVER: &str = "lvp_icd";

/// The browser that the tests drive.
pub(crate) fn find_chromium() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os(CHROMIUM_VARIABLE) {
        return Some(PathBuf::from(given));
    }
    let on_macos = Some(PathBuf::from(CHROMIUM_MACOS)).filter(|path| path.is_file());
    CHROMIUM_NAMES
        .iter()
        .find_map(|name| command::find_program(name))
        .or(on_macos)
}

/// Installs what is missing with apt-get, or says what to install.
pub(crate) fn install() -> Result<()> {
    let mut missing = Vec::new();
    if find_chromium().is_none() {
        missing.push("chromium");
    }
    if cfg!(target_os = "linux") && !has_software_driver() {
        missing.push("mesa-vulkan-drivers");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!(
        "by hand, as root on Debian or Ubuntu: apt-get update && apt-get install -y {}\n\
         (a browser that lies elsewhere: {CHROMIUM_VARIABLE}=PATH)",
        missing.join(" ")
    );
    if command::find_program("apt-get").is_none() {
        bail!(
            "missing: {}, and there is no apt-get here; {by_hand}",
            missing.join(", ")
        );
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "missing: {}, and installing needs root; {by_hand}",
            missing.join(", ")
        );
    }
    apt_get(&["update"]).context(by_hand.clone())?;
    let install = ["install", "-y", "--no-install-recommends"];
    apt_get(&[&install[..], &missing].concat()).context(by_hand)
}

fn has_software_driver() -> bool {
    Path::new(VULKAN_DRIVERS).read_dir().is_ok_and(|drivers| {
        drivers.filter_map(Result::ok).any(|driver| {
            driver
                .file_name()
                .to_string_lossy()
                .starts_with(SOFTWARE_DRIVER)
        })
    })
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    command::run(
        apt.arg("-q")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}
