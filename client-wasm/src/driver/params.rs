//! Parameters by version: the newest, and those of leases in progress.

use std::rc::Rc;

use tabswarm_protocol::{ParamVersion, RunId};

/// Names parameters on one connection.
pub(crate) type ParamsKey = (RunId, ParamVersion);

/// The parameters that lanes may need.
#[derive(Debug, Default)]
pub(crate) struct Params {
    /// Oldest first; little-endian `f32`.
    kept: Vec<(ParamsKey, Rc<Vec<u8>>)>,
}

impl Params {
    /// Keeps the newest parameters, and of the older ones only `in_use`.
    pub(crate) fn keep(&mut self, key: ParamsKey, values: Vec<u8>, in_use: &[ParamsKey]) {
        self.kept
            .retain(|(kept, _)| in_use.contains(kept) && *kept != key);
        self.kept.push((key, Rc::new(values)));
    }

    /// The parameters of a version.
    pub(crate) fn get(&self, key: ParamsKey) -> Option<Rc<Vec<u8>>> {
        let found = self.kept.iter().find(|(kept, _)| *kept == key);
        found.map(|(_, values)| Rc::clone(values))
    }

    /// Forgets the parameters of a version.
    pub(crate) fn forget(&mut self, key: ParamsKey) {
        self.kept.retain(|(kept, _)| *kept != key);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(version: u64) -> ParamsKey {
        (RunId(1), ParamVersion(version))
    }

    #[test]
    fn a_lease_keeps_its_parameters_while_newer_ones_come() {
        let mut params = Params::default();
        params.keep(key(1), vec![1], &[]);
        params.keep(key(2), vec![2], &[key(1)]);
        params.keep(key(3), vec![3], &[key(1)]);
        assert_eq!(params.get(key(1)).as_deref(), Some(&vec![1]));
        assert_eq!(params.get(key(2)), None);
        params.forget(key(1));
        assert_eq!(params.kept.len(), 1);
        params.keep(key(4), vec![4], &[]);
        assert_eq!(params.kept.len(), 1);
        params.clear();
        assert_eq!(params.get(key(4)), None);
    }
}
