//! `[workers]`: who is wanted, and how much of the swarm.

use super::Check;
use crate::run_file::WorkersSpec;
use crate::run_file::raw::{RawCodec, RawRun};

impl Check {
    pub(super) fn workers(&mut self, raw: &RawRun) -> WorkersSpec {
        let (numeric, raw) = (&raw.numeric, &raw.workers);
        let allows_gpus = !numeric.reproducible && numeric.codec == RawCodec::F32;
        let problem = "no GPU computes such a run, since its last bits are its own".to_owned();
        let remedy =
            "leave it out, or write reproducible = false and codec = \"f32\" under [numeric]";
        self.require(!raw.gpu || allows_gpus, "workers.gpu", problem, remedy);
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
