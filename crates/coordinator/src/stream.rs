//! Batches that are applied as they arrive: which are to be done, and who has which.

use std::collections::BTreeSet;

/// Batches of an async run.
#[derive(Debug)]
pub(crate) struct Stream {
    /// No batch from it on was given away yet.
    next: u64,
    total: u64,
    /// Batches before `next` that somebody else has to do.
    returned: BTreeSet<u64>,
}

impl Stream {
    /// The batches that are left when those before `next` are applied, but for some that are missing.
    pub(crate) fn new(next: u64, missing: &[u64], total: u64) -> Self {
        Self {
            next,
            total,
            returned: missing.iter().copied().collect(),
        }
    }

    /// Batches that nobody has.
    pub(crate) fn n_free(&self) -> u64 {
        self.total - self.next + self.returned.len() as u64
    }

    /// The first batch that nobody has.
    pub(crate) fn take(&mut self) -> Option<u64> {
        if let Some(batch) = self.returned.pop_first() {
            return Some(batch);
        }
        (self.next < self.total).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// A batch that was given away is to be done by somebody else.
    pub(crate) fn give_back(&mut self, batch: u64) {
        self.returned.insert(batch);
    }

    /// Whether a batch was given back and nobody else has it.
    pub(crate) fn has(&self, batch: u64) -> bool {
        self.returned.contains(&batch)
    }

    /// Takes a batch that was given back, for its first owner; false if somebody else has it.
    pub(crate) fn reclaim(&mut self, batch: u64) -> bool {
        self.returned.remove(&batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_is_given_to_one_at_a_time() {
        let mut stream = Stream::new(3, &[1], 6);
        assert_eq!(stream.n_free(), 4);
        assert_eq!([stream.take(), stream.take()], [Some(1), Some(3)]);
        stream.give_back(1);
        assert!(stream.reclaim(1) && !stream.reclaim(1) && !stream.reclaim(3));
        stream.give_back(3);
        let rest: Vec<u64> = std::iter::from_fn(|| stream.take()).collect();
        assert_eq!(rest, [3, 4, 5]);
        assert_eq!(stream.n_free(), 0);
    }
}
