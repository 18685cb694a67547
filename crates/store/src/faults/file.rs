//! One file: what is seen of it and what is on stable storage.

use super::random::Random;

/// What a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// One file.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    seen: Vec<u8>,
    stable: Vec<u8>,
    /// Appended and not synced: offset and length in `seen`.
    pending: Vec<(usize, usize)>,
    /// A sync has failed: whoever uses the handle again has made a mistake.
    pub(super) is_spoiled: bool,
}

impl Inode {
    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.pending.push((self.seen.len(), bytes.len()));
            self.seen.extend_from_slice(bytes);
        }
    }

    pub(super) fn sync(&mut self) {
        // What an earlier failed sync lost stays lost: only pages that count as dirty are written.
        for (offset, len) in std::mem::take(&mut self.pending) {
            self.store(offset, len);
        }
    }

    /// The pages are clean now, wherever they went.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.settle(random);
        self.is_spoiled = true;
    }

    /// The power has failed: what is on stable storage is all there is.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        self.settle(random);
        self.seen.clone_from(&self.stable);
    }

    pub(super) fn flip_bit(&mut self, bit: usize) {
        let (byte, mask) = (bit / 8, 1 << (bit % 8));
        self.seen[byte] ^= mask;
        if let Some(byte) = self.stable.get_mut(byte) {
            *byte ^= mask;
        }
    }

    /// Lets chance decide which sectors of the pending writes reach stable storage.
    fn settle(&mut self, random: &mut Random) {
        for (offset, len) in std::mem::take(&mut self.pending) {
            match random.below(4) {
                0 => self.store(offset, len),
                1 => {}
                2 => {
                    let sectors = len.div_ceil(SECTOR_BYTES);
                    let end = (offset / SECTOR_BYTES + 1 + random.below(sectors)) * SECTOR_BYTES;
                    self.store(offset, len.min(end.saturating_sub(offset)));
                }
                _ => self.store_some_sectors(offset, len, random),
            }
        }
    }

    fn store_some_sectors(&mut self, offset: usize, len: usize, random: &mut Random) {
        let end = offset + len;
        let mut at = offset;
        while at < end {
            let next = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
            if random.coin() {
                self.store(at, next - at);
            }
            at = next;
        }
    }

    /// Sectors that were skipped before are holes, which read as zeros.
    fn store(&mut self, offset: usize, len: usize) {
        let end = offset + len;
        if self.stable.len() < end {
            self.stable.resize(end, 0);
        }
        self.stable[offset..end].copy_from_slice(&self.seen[offset..end]);
    }
}
