//! `tabswarm dataset …`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde::Deserialize;

use super::client::{ClientArgs, parse};
use super::table::{Align, grouped, pairs, table};
use super::{print, print_lines};
use crate::uploads::{MAX_NAME_BYTES, is_name};

/// Verbs about data sets.
#[derive(Debug, Subcommand)]
pub(super) enum DatasetCommand {
    /// List all data sets.
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Show a data set and its files.
    Show {
        /// The data set's name.
        name: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Upload files, or all files of folders, as a data set.
    #[command(after_help = "Examples:\n  tabswarm dataset upload iris iris.csv\n  \
            tabswarm dataset upload digits ./digits      (the folder's files)\n\n\
            A run file reads them with data.path beginning with the data set's name.")]
    Upload {
        /// The data set's name: letters, digits, dots, dashes, underscores.
        name: String,
        /// Files and folders.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Delete a data set that was uploaded.
    Delete {
        /// The data set's name.
        name: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Deserialize)]
struct DatasetRow {
    name: String,
    source: String,
    n_files: u64,
    bytes: u64,
    used_by: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Shown {
    #[serde(flatten)]
    about: DatasetRow,
    files: Vec<FileRow>,
}

#[derive(Debug, Deserialize)]
struct FileRow {
    path: String,
    bytes: u64,
}

#[derive(Debug, Deserialize)]
struct Uploaded {
    bytes: u64,
    digest: String,
}

impl DatasetCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { client } => list(&client),
            Self::Show { name, client } => show(&name, &client),
            Self::Upload {
                name,
                files,
                client,
            } => upload(&name, &files, &client),
            Self::Delete { name, client } => {
                let path = format!("/admin/datasets/{}", segment(&name)?);
                let answer = client.client()?.delete(&path)?;
                if client.json {
                    return print(&answer);
                }
                print(&format!("The data set {name:?} is deleted."))
            }
        }
    }
}

/// A part of an address; what else would change it is refused.
fn segment(name: &str) -> anyhow::Result<&str> {
    if !is_name(name) {
        bail!(
            "{name:?} can't name a data set or a file of one: use at most {MAX_NAME_BYTES} letters, digits, dots, dashes and underscores, and no dot first"
        );
    }
    Ok(name)
}

fn list(client: &ClientArgs) -> anyhow::Result<()> {
    let answer = client.client()?.get("/admin/datasets")?;
    if client.json {
        return print(&answer);
    }
    let datasets: Vec<DatasetRow> = parse(&answer)?;
    if datasets.is_empty() {
        return print(
            "There are no data sets; upload one with `tabswarm dataset upload NAME FILE`.",
        );
    }
    let columns = [
        ("NAME", Align::Left),
        ("FROM", Align::Left),
        ("FILES", Align::Right),
        ("BYTES", Align::Right),
        ("USED BY", Align::Left),
    ];
    let row = |row: DatasetRow| {
        vec![
            row.name,
            row.source,
            grouped(row.n_files),
            grouped(row.bytes),
            row.used_by.join(", "),
        ]
    };
    let rows: Vec<_> = datasets.into_iter().map(row).collect();
    print(&table(&columns, &rows))
}

fn show(name: &str, client: &ClientArgs) -> anyhow::Result<()> {
    let path = format!("/admin/datasets/{}", segment(name)?);
    let answer = client.client()?.get(&path)?;
    if client.json {
        return print(&answer);
    }
    let Shown { about, files } = parse(&answer)?;
    let used_by = if about.used_by.is_empty() {
        "no run".to_owned()
    } else {
        about.used_by.join(", ")
    };
    let head = pairs(&[
        ("name", about.name),
        ("from", about.source),
        ("files", grouped(about.n_files)),
        ("bytes", grouped(about.bytes)),
        ("used by", used_by),
    ]);
    let rows: Vec<_> = files
        .into_iter()
        .map(|file| vec![file.path, grouped(file.bytes)])
        .collect();
    let columns = [("FILE", Align::Left), ("BYTES", Align::Right)];
    print(&format!("{head}\n\n{}", table(&columns, &rows)))
}

fn upload(name: &str, files: &[PathBuf], client: &ClientArgs) -> anyhow::Result<()> {
    segment(name)?;
    let mut all = Vec::new();
    for file in files {
        if file.is_dir() {
            all.extend(files_of(file)?);
        } else {
            all.push(file.clone());
        }
    }
    // Before the first is sent: nothing should be half done for a name.
    let mut named = Vec::new();
    for file in all {
        let own = file.file_name().and_then(|name| name.to_str());
        let own =
            own.with_context(|| format!("{} has no name that can be sent", file.display()))?;
        named.push((segment(own)?.to_owned(), file));
    }
    let to = client.client()?;
    for (own, file) in named {
        let answer = to.upload(&format!("/admin/datasets/{name}/{own}"), &file)?;
        let line = if client.json {
            answer
        } else {
            let Uploaded { bytes, digest } = parse(&answer)?;
            format!("{name}/{own}: {} bytes, digest {digest}", grouped(bytes))
        };
        print_lines(&[line])?;
    }
    Ok(())
}

/// The files of a folder, sorted; folders in it are left alone.
fn files_of(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = || format!("the folder {} can't be read", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        bail!("the folder {} has no files", folder.display());
    }
    Ok(files)
}
