//! Immutable bytes that were asked for lately, shared by all connections that are sending them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// A bounded cache; the oldest entries go first.
#[derive(Debug)]
pub(crate) struct BlobCache {
    max_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    blobs: HashMap<String, Bytes>,
    order: VecDeque<String>,
    bytes: usize,
}

impl BlobCache {
    /// A cache of so many bytes.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            inner: Mutex::default(),
        }
    }

    /// An entry.
    pub(crate) fn get(&self, key: &str) -> Option<Bytes> {
        self.lock().blobs.get(key).cloned()
    }

    /// Adds an entry; one that is too large for the whole cache is not kept.
    pub(crate) fn put(&self, key: String, bytes: Bytes) {
        let mut inner = self.lock();
        if bytes.len() > self.max_bytes || inner.blobs.contains_key(&key) {
            return;
        }
        inner.bytes += bytes.len();
        inner.order.push_back(key.clone());
        inner.blobs.insert(key, bytes);
        while inner.bytes > self.max_bytes {
            let Some(oldest) = inner.order.pop_front() else {
                return;
            };
            if let Some(bytes) = inner.blobs.remove(&oldest) {
                inner.bytes -= bytes.len();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic between two lines above could only make the count of bytes too high.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let cache = BlobCache::new(10);
        for key in ["a", "b", "c"] {
            cache.put(key.to_owned(), Bytes::from_static(b"1234"));
        }
        assert_eq!(cache.get("a"), None);
        assert!(cache.get("b").is_some() && cache.get("c").is_some());
        cache.put("huge".to_owned(), Bytes::from_static(&[0; 11]));
        assert_eq!(cache.get("huge"), None);
        assert!(cache.get("b").is_some());
    }
}
