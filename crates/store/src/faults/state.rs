//! The disk's state, and when an operation fails.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::file::Inode;
use super::names::{Names, Node};
use super::random::Random;
use super::{Fault, FaultPlan};

/// What an operation does, as far as faults care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Look,
    Names,
    Write,
    Sync,
}

#[derive(Debug, Clone)]
pub(super) struct State {
    inodes: Vec<Inode>,
    names: Names,
    random: Random,
    pub(super) plan: Option<FaultPlan>,
    pub(super) operations: u64,
    pub(super) crashed: Option<Fault>,
    pub(super) boot: u64,
    pub(super) misuses: u64,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            inodes: Vec::new(),
            names: Names::new(),
            random: Random::new(seed),
            plan: None,
            operations: 0,
            crashed: None,
            boot: 0,
            misuses: 0,
        }
    }

    pub(super) fn reseed(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    pub(super) fn restart(&mut self) {
        if self.crashed == Some(Fault::PowerCut) {
            for inode in &mut self.inodes {
                inode.lose_power(&mut self.random);
            }
            self.names.lose_power(&mut self.random);
        }
        self.crashed = None;
        self.plan = None;
        self.boot += 1;
    }

    /// Counts an operation and says what goes wrong with it. A crash lets it happen or not.
    fn begin(&mut self, kind: Kind) -> io::Result<Option<Fault>> {
        if self.crashed.is_some() {
            return Err(crash());
        }
        let number = self.operations;
        self.operations += 1;
        let planned = self
            .plan
            .filter(|plan| (plan.first..plan.first.saturating_add(plan.count)).contains(&number));
        let Some(FaultPlan { fault, .. }) = planned else {
            return Ok(None);
        };
        match fault {
            Fault::PowerCut | Fault::Kill => {
                self.crashed = Some(fault);
                if self.random.coin() {
                    return Err(crash());
                }
            }
            Fault::NoSpace if matches!(kind, Kind::Look | Kind::Sync) => return Ok(None),
            Fault::SyncError if kind != Kind::Sync => return Ok(None),
            Fault::NoSpace | Fault::SyncError | Fault::IoError => {}
        }
        Ok(Some(fault))
    }

    fn end<T>(&self, done: T) -> io::Result<T> {
        if self.crashed.is_some() {
            return Err(crash());
        }
        Ok(done)
    }

    pub(super) fn look<T>(&mut self, look: impl FnOnce(&Self) -> io::Result<T>) -> io::Result<T> {
        if let Some(Fault::IoError) = self.begin(Kind::Look)? {
            return Err(io_error());
        }
        let seen = look(self)?;
        self.end(seen)
    }

    pub(super) fn change_names<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.begin(Kind::Names)? {
            Some(Fault::IoError) => return Err(io_error()),
            Some(Fault::NoSpace) => return Err(no_space()),
            _ => {}
        }
        let changed = change(self)?;
        self.end(changed)
    }

    pub(super) fn write(
        &mut self,
        inode: usize,
        boot: u64,
        path: &Path,
        bytes: &[u8],
    ) -> io::Result<()> {
        let fault = self.begin(Kind::Write)?;
        self.check_handle(inode, boot, path)?;
        let written = match fault {
            Some(_) => self.random.below(bytes.len() + 1),
            None => bytes.len(),
        };
        self.inodes[inode].append(&bytes[..written]);
        match fault {
            Some(Fault::IoError) => Err(io_error()),
            Some(Fault::NoSpace) => Err(no_space()),
            _ => self.end(()),
        }
    }

    pub(super) fn sync_file(&mut self, inode: usize, boot: u64, path: &Path) -> io::Result<()> {
        let fault = self.begin(Kind::Sync)?;
        self.check_handle(inode, boot, path)?;
        if let Some(Fault::SyncError | Fault::IoError) = fault {
            self.inodes[inode].fail_sync(&mut self.random);
            return Err(io_error());
        }
        self.inodes[inode].sync();
        self.end(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let fault = self.begin(Kind::Sync)?;
        let dir = self.dir(dir)?;
        if let Some(Fault::SyncError | Fault::IoError) = fault {
            self.names.fail_sync(&mut self.random);
            return Err(io_error());
        }
        self.names.sync(dir);
        self.end(())
    }

    fn check_handle(&mut self, inode: usize, boot: u64, path: &Path) -> io::Result<()> {
        if boot != self.boot {
            return Err(io::Error::other(format!(
                "{} was open before the restart",
                path.display()
            )));
        }
        if self.inodes[inode].is_spoiled {
            self.misuses += 1;
        }
        Ok(())
    }

    pub(super) fn find(&self, path: &Path) -> Option<Node> {
        parts(path).try_fold(Node::Dir(0), |node, name| match node {
            Node::Dir(dir) => self.names.get(dir, name),
            Node::File(_) => None,
        })
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<&Inode> {
        match self.find(path) {
            Some(Node::File(inode)) => Ok(&self.inodes[inode]),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn dir(&self, path: &Path) -> io::Result<usize> {
        match self.find(path) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir = self.dir(dir)?;
        Ok(self
            .names
            .of(dir)
            .map(|(name, _)| name.to_owned())
            .collect())
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut dir = 0;
        for name in parts(path) {
            dir = match self.names.get(dir, name) {
                Some(Node::Dir(below)) => below,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    let below = self.names.new_dir();
                    self.names
                        .change(vec![((dir, name.to_owned()), Some(Node::Dir(below)))]);
                    below
                }
            };
        }
        Ok(())
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<usize> {
        if self.find(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let key = self.key(path)?;
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.names.change(vec![(key, Some(Node::File(inode)))]);
        Ok(inode)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from).ok_or(io::ErrorKind::NotFound)?;
        if matches!((node, self.find(to)), (_, Some(Node::Dir(_)))) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let sets = vec![(self.key(from)?, None), (self.key(to)?, Some(node))];
        self.names.change(sets);
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let key = self.key(path)?;
        self.names.change(vec![(key, None)]);
        Ok(())
    }

    fn key(&self, path: &Path) -> io::Result<(usize, String)> {
        let dir = self.dir(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().and_then(|name| name.to_str());
        Ok((dir, name.ok_or(io::ErrorKind::InvalidInput)?.to_owned()))
    }

    pub(super) fn files(&self) -> Vec<(PathBuf, usize)> {
        let mut files = Vec::new();
        let mut dirs = vec![(0, PathBuf::from("/"))];
        while let Some((dir, path)) = dirs.pop() {
            for (name, node) in self.names.of(dir) {
                match node {
                    Node::File(inode) => {
                        files.push((path.join(name), self.inodes[inode].seen().len()));
                    }
                    Node::Dir(below) => dirs.push((below, path.join(name))),
                }
            }
        }
        files.sort();
        files
    }

    pub(super) fn flip_bit(&mut self, path: &Path, bit: usize) {
        let Some(Node::File(inode)) = self.find(path) else {
            panic!("there is no file {}", path.display())
        };
        self.inodes[inode].flip_bit(bit);
    }
}

/// The names on a path, from the root.
fn parts(path: &Path) -> impl Iterator<Item = &str> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    })
}

fn crash() -> io::Error {
    io::Error::other("the machine is down")
}

fn io_error() -> io::Error {
    io::Error::other("input/output error")
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}
