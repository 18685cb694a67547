//! A fixed block of `f32` that starts on a cache line.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// Values in a cache line.
const LINE: usize = 16;

/// Zeroed `f32` values whose first one lies on a cache line, so that no register-wide access straddles two.
#[derive(Default)]
pub(crate) struct AlignedBuffer {
    /// Never resized, so the values never move.
    storage: Vec<f32>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    pub(crate) fn new(len: usize) -> Self {
        let storage = vec![0.0_f32; len + LINE];
        // `align_offset` may decline in theory; an unaligned start costs speed only.
        let start = storage
            .as_ptr()
            .align_offset(LINE * size_of::<f32>())
            .min(LINE);
        Self {
            storage,
            start,
            len,
        }
    }
}

impl Deref for AlignedBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuffer")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
