//! The assigned run: what it is, and the samples that are here.

use tabswarm_model::dataset::Manifest;
use tabswarm_model::digest::Digest;
use tabswarm_model::parts::{Leased, Part};
use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::samples::SampleStore;
use tabswarm_model::{ArithmeticClass, Graph, Run};
use tabswarm_protocol::RunId;
use tabswarm_protocol::server::{ParamsHeader, RunAssignment};

/// A run that the server assigned.
#[derive(Debug)]
pub(crate) struct ActiveRun {
    /// Its name on this connection.
    pub(crate) run_id: RunId,
    /// The training set's manifest.
    pub(crate) dataset: Digest,
    /// The run file.
    pub(crate) run: Run,
    /// The samples; none before the manifest is here.
    pub(crate) store: Option<SampleStore>,
    /// What its versions are made of; none before the manifest is here.
    pub(crate) plan: Option<RoundPlan>,
    run_json: String,
    graph: Graph,
}

impl ActiveRun {
    /// Reads an assignment.
    ///
    /// # Errors
    /// A sentence where the run can't be read, or this browser does not compute as the run needs it.
    pub(crate) fn new(
        assignment: RunAssignment,
        classes: &[ArithmeticClass],
    ) -> Result<Self, String> {
        let run = Run::from_json(&assignment.run_json).map_err(|error| {
            format!("The server's run can't be read; reload the page to get its newest version. ({error})")
        })?;
        if !classes.contains(&run.class) {
            return Err(format!(
                "The run needs {} arithmetic, and this browser failed the known-answer test for it.",
                run.class.as_str()
            ));
        }
        let graph = run.graph();
        Ok(Self {
            run_id: assignment.run_id,
            dataset: Digest(assignment.dataset),
            store: None,
            plan: None,
            run_json: assignment.run_json,
            graph,
            run,
        })
    }

    /// Whether an assignment is for this run on this data, be it under another number.
    pub(crate) fn is(&self, assignment: &RunAssignment) -> bool {
        self.run_json == assignment.run_json && self.dataset.0 == assignment.dataset
    }

    /// The run file as it came.
    pub(crate) fn json(&self) -> &str {
        &self.run_json
    }

    /// Bytes of the parameters.
    pub(crate) fn params_bytes(&self) -> usize {
        self.graph.layout.len() * size_of::<f32>()
    }

    /// Takes the manifest.
    ///
    /// # Errors
    /// A sentence where it is not the one named, or does not go with the model.
    pub(crate) fn take_manifest(&mut self, bytes: &[u8]) -> Result<(), String> {
        let useless = |error| format!("The training data is of no use: {error}.");
        let manifest = Manifest::from_bytes(bytes, self.dataset).map_err(useless)?;
        let samples = manifest.samples;
        let store = SampleStore::of_run(&self.run, &self.graph, manifest);
        self.store = Some(store.map_err(useless)?);
        self.plan = Some(RoundPlan::new(&self.run, samples));
        Ok(())
    }

    /// Versions of the whole run; 0 before the manifest is here.
    pub(crate) fn steps_total(&self) -> u64 {
        self.plan.as_ref().map_or(0, RoundPlan::versions_total)
    }

    /// Checks parameters that came.
    ///
    /// # Errors
    /// A sentence where they are not what they should be.
    pub(crate) fn check_params(&self, header: &ParamsHeader, tensor: &[u8]) -> Result<(), String> {
        if header.run_id != self.run_id {
            return Err("The server sent parameters of another run.".to_owned());
        }
        if tensor.len() != self.params_bytes() {
            let (got, expected) = (tensor.len(), self.params_bytes());
            return Err(format!(
                "The server sent {got} bytes of parameters, the model has {expected}."
            ));
        }
        if Digest::of(tensor).0 != header.digest {
            return Err("The parameters were damaged on their way.".to_owned());
        }
        Ok(())
    }

    /// The samples of a lease, part by part.
    ///
    /// # Errors
    /// A sentence where the lease is not possible.
    pub(crate) fn parts(&self, lease: Leased) -> Result<Vec<Part>, String> {
        let plan = self.plan.as_ref();
        let plan = plan.ok_or("The data set is not loaded yet.")?;
        let parts = plan.leased(lease);
        parts.map_err(|error| format!("The lease is impossible: {error}."))
    }
}

#[cfg(test)]
mod tests {
    use tabswarm_protocol::ParamVersion;

    use super::*;
    use crate::fixture::{self, manifest};

    fn run() -> ActiveRun {
        let assignment = RunAssignment {
            run_id: RunId(1),
            run_json: fixture::run_json("exact"),
            dataset: Digest::of(manifest().to_json().as_bytes()).0,
        };
        ActiveRun::new(assignment, &[ArithmeticClass::Portable]).unwrap()
    }

    #[test]
    fn a_class_that_failed_its_test_is_named() {
        let assignment = RunAssignment {
            run_id: RunId(1),
            run_json: fixture::run_json("exact"),
            dataset: [0; 32],
        };
        let error = ActiveRun::new(assignment, &[]).unwrap_err();
        assert!(error.contains("portable arithmetic"), "{error}");
    }

    #[test]
    fn only_the_named_manifest_that_fits_the_model_is_taken() {
        let mut run = run();
        let error = run.take_manifest(b"{}").unwrap_err();
        assert!(error.contains("damaged"), "{error}");
        assert_eq!(run.steps_total(), 0);
        let mut wide = manifest();
        wide.sample_shape = vec![5];
        run.dataset = Digest::of(wide.to_json().as_bytes());
        let error = run.take_manifest(wide.to_json().as_bytes()).unwrap_err();
        assert!(error.contains("does not fit the model"), "{error}");
        run.dataset = Digest::of(manifest().to_json().as_bytes());
        assert_eq!(run.take_manifest(manifest().to_json().as_bytes()), Ok(()));
        assert_eq!(run.steps_total(), 6);
    }

    #[test]
    fn impossible_leases_are_refused() {
        let mut run = run();
        let leased = |batch, first, count| Leased {
            version: batch,
            batch,
            first,
            count,
            inner_steps: None,
        };
        assert!(run.parts(leased(0, 0, 1)).is_err());
        run.take_manifest(manifest().to_json().as_bytes()).unwrap();
        let parts = run.parts(leased(0, 0, 4)).unwrap();
        assert_eq!(parts[0].step.micro_batches, 4);
        // The last batch of an epoch of 20 samples has 4 samples.
        assert!(run.parts(leased(2, 0, 3)).is_err());
    }

    #[test]
    fn damaged_and_foreign_parameters_are_refused() {
        let run = run();
        let tensor = vec![0; run.params_bytes()];
        let header = ParamsHeader {
            run_id: RunId(1),
            version: ParamVersion(3),
            digest: Digest::of(&tensor).0,
        };
        assert_eq!(run.check_params(&header, &tensor), Ok(()));
        assert!(run.check_params(&header, &tensor[4..]).is_err());
        let mut damaged = tensor.clone();
        damaged[7] ^= 1;
        assert!(run.check_params(&header, &damaged).is_err());
        let foreign = ParamsHeader {
            run_id: RunId(2),
            ..header
        };
        assert!(run.check_params(&foreign, &tensor).is_err());
    }
}
