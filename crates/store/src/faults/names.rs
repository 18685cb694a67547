//! Folders: the names that are seen, those on stable storage, and the changes between.

use std::collections::{BTreeMap, BTreeSet};

use super::random::Random;

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// Index of a file.
    File(usize),
    /// Index of a folder.
    Dir(usize),
}

/// A name in a folder.
type Key = (usize, String);

/// A change of names that happens whole or not at all.
#[derive(Debug, Clone)]
struct Change {
    sets: Vec<(Key, Option<Node>)>,
}

/// All folders; number 0 is the root.
#[derive(Debug, Clone)]
pub(super) struct Names {
    seen: BTreeMap<Key, Node>,
    stable: BTreeMap<Key, Node>,
    pending: Vec<Change>,
    dirs: usize,
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            seen: BTreeMap::new(),
            stable: BTreeMap::new(),
            pending: Vec::new(),
            dirs: 1,
        }
    }

    pub(super) fn get(&self, dir: usize, name: &str) -> Option<Node> {
        self.seen.get(&(dir, name.to_owned())).copied()
    }

    /// Names and nodes of a folder, sorted.
    pub(super) fn of(&self, dir: usize) -> impl Iterator<Item = (&str, Node)> {
        self.seen
            .range((dir, String::new())..(dir + 1, String::new()))
            .map(|((_, name), node)| (name.as_str(), *node))
    }

    pub(super) fn new_dir(&mut self) -> usize {
        self.dirs += 1;
        self.dirs - 1
    }

    /// Changes names, all at once.
    pub(super) fn change(&mut self, sets: Vec<(Key, Option<Node>)>) {
        set_all(&mut self.seen, &sets);
        self.pending.push(Change { sets });
    }

    /// Makes the changes in a folder durable, and the earlier ones that they rest on.
    pub(super) fn sync(&mut self, dir: usize) {
        let mut needed = BTreeSet::new();
        let mut synced = Vec::new();
        for change in std::mem::take(&mut self.pending).into_iter().rev() {
            let touches = |(key, _): &(Key, Option<Node>)| key.0 == dir || needed.contains(key);
            if change.sets.iter().any(touches) {
                needed.extend(change.sets.iter().map(|(key, _)| key.clone()));
                synced.push(change);
            } else {
                self.pending.push(change);
            }
        }
        self.pending.reverse();
        for change in synced.iter().rev() {
            set_all(&mut self.stable, &change.sets);
        }
    }

    /// The sync failed: nobody knows what is durable.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.settle(random);
    }

    /// The power has failed.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        self.settle(random);
        self.seen.clone_from(&self.stable);
    }

    /// Lets chance decide which changes are durable: as a journal keeps them, up to some point, or each for
    /// itself unless it rests on one that was lost.
    fn settle(&mut self, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        let is_journal = random.coin();
        let kept = random.below(pending.len() + 1);
        let mut lost = BTreeSet::new();
        for (idx, change) in pending.into_iter().enumerate() {
            let is_blocked = change.sets.iter().any(|(key, _)| lost.contains(key));
            let is_kept = if is_journal {
                idx < kept
            } else {
                random.coin()
            };
            if is_kept && !is_blocked {
                set_all(&mut self.stable, &change.sets);
            } else {
                lost.extend(change.sets.into_iter().map(|(key, _)| key));
            }
        }
    }
}

fn set_all(names: &mut BTreeMap<Key, Node>, sets: &[(Key, Option<Node>)]) {
    for (key, node) in sets {
        match node {
            Some(node) => drop(names.insert(key.clone(), *node)),
            None => drop(names.remove(key)),
        }
    }
}
