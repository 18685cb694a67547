//! `[workers]`: who is wanted, and how much of the swarm.

use super::Check;
use crate::run_file::WorkersSpec;
use crate::run_file::raw::RawWorkers;

impl Check {
    pub(super) fn workers(&mut self, raw: &RawWorkers) -> WorkersSpec {
        let remedy = "write a number from 0.01 to 100";
        let allowed = |v| (0.01..=100.0).contains(&v);
        self.real("workers.weight", raw.weight, allowed, remedy);
        // More than this a tab can't address.
        self.within("workers.memory_mib", raw.memory_mib.into(), 0, 4_096);
        let remedy = "write a number of samples from 0 to 1000000000";
        self.real(
            "workers.min_samples_per_s",
            raw.min_samples_per_s,
            |v| (0.0..=1e9).contains(&v),
            remedy,
        );
        WorkersSpec {
            weight: raw.weight,
            memory_mib: raw.memory_mib,
            gpu: raw.gpu,
            min_samples_per_s: raw.min_samples_per_s,
        }
    }
}
