//! The stored form of a snapshot's manifest. Only this module knows it; a change raises [`FORMAT`].

use serde::{Deserialize, Serialize};
use tabswarm_coordinator::{RunPhase, RunState};
use tabswarm_model::digest::Digest;
use tabswarm_model::optim::AdamState;
use tabswarm_protocol::ParamVersion;

/// Version of the stored form.
pub(super) const FORMAT: u32 = 1;

/// A manifest as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    format: u32,
    /// Of the body's JSON: a flipped bit in a number would go unnoticed otherwise.
    checksum: Digest,
    body: StoredState,
}

/// Everything of a snapshot but its tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredState {
    version: u64,
    phase: String,
    samples_committed: u64,
    exponents: Vec<i8>,
    exponent_rises: Vec<u32>,
    credits: Vec<(Digest, u64)>,
    /// Bits of two `f64`: they must come back exactly, and decimal text is no place for that.
    beta_power_bits: [u64; 2],
    /// Of the master parameters.
    pub(super) params_digest: Digest,
    /// Name of the file with the tensors, beside the manifest.
    pub(super) tensors_file: String,
    /// Of that file.
    pub(super) tensors_digest: Digest,
    /// Its length.
    pub(super) tensors_bytes: u64,
}

impl StoredState {
    /// The stored form of a coordinator's state; the fields of the tensor file follow.
    pub(super) fn new(
        state: &RunState,
        adam: AdamState,
        params_digest: Digest,
        tensors: (String, &[u8]),
    ) -> Self {
        let (tensors_file, bytes) = tensors;
        Self {
            version: state.version.0,
            phase: state.phase.as_str().to_owned(),
            samples_committed: state.samples_committed,
            exponents: state.exponents.clone(),
            exponent_rises: state.exponent_rises.clone(),
            credits: state.credits.clone(),
            beta_power_bits: adam.beta_powers.map(f64::to_bits),
            params_digest,
            tensors_file,
            tensors_digest: Digest::of(bytes),
            tensors_bytes: bytes.len() as u64,
        }
    }

    /// The coordinator's part and the optimizer's scalars.
    pub(super) fn restore(&self) -> Result<(RunState, AdamState), String> {
        let phase = RunPhase::from_word(&self.phase)
            .ok_or_else(|| format!("the phase {:?} is unknown", self.phase))?;
        let state = RunState {
            version: ParamVersion(self.version),
            phase,
            samples_committed: self.samples_committed,
            exponents: self.exponents.clone(),
            exponent_rises: self.exponent_rises.clone(),
            credits: self.credits.clone(),
        };
        let adam = AdamState {
            beta_powers: self.beta_power_bits.map(f64::from_bits),
        };
        Ok((state, adam))
    }

    /// Steps committed.
    pub(super) fn version(&self) -> ParamVersion {
        ParamVersion(self.version)
    }

    /// The manifest's text.
    pub(super) fn seal(self) -> String {
        let checksum = self.checksum();
        let sealed = Sealed {
            format: FORMAT,
            checksum,
            body: self,
        };
        serde_json::to_string(&sealed).expect(STRING_KEYS)
    }

    /// Reads a manifest's text.
    pub(super) fn unseal(text: &str) -> Result<Self, String> {
        let sealed: Sealed = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if sealed.format != FORMAT {
            return Err(format!("format {} instead of {FORMAT}", sealed.format));
        }
        if sealed.checksum != sealed.body.checksum() {
            return Err("its checksum is wrong".to_owned());
        }
        Ok(sealed.body)
    }

    fn checksum(&self) -> Digest {
        Digest::of(serde_json::to_string(self).expect(STRING_KEYS).as_bytes())
    }
}

const STRING_KEYS: &str = "the stored form has string keys only";

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> StoredState {
        let state = RunState {
            version: ParamVersion(469),
            phase: RunPhase::Running,
            samples_committed: 60_000,
            exponents: vec![-3, 20],
            exponent_rises: vec![0, 15],
            credits: vec![(Digest([7; 32]), u64::MAX)],
        };
        let adam = AdamState {
            beta_powers: [0.9_f64.powi(469), 1.0 / 3.0],
        };
        StoredState::new(
            &state,
            adam,
            Digest([1; 32]),
            ("tensors".to_owned(), b"bytes"),
        )
    }

    #[test]
    fn everything_comes_back() {
        let back = StoredState::unseal(&stored().seal()).unwrap();
        assert_eq!(back, stored());
        let (state, adam) = back.restore().unwrap();
        assert_eq!(state.credits, [(Digest([7; 32]), u64::MAX)]);
        assert_eq!(adam.beta_powers[1].to_bits(), (1.0_f64 / 3.0).to_bits());
    }

    #[test]
    fn damage_is_noticed() {
        let sealed = stored().seal();
        let damaged = [
            sealed.replace("60000", "60001"),
            sealed.replace("\"format\":1", "\"format\":2"),
            sealed.replace("running", "dancing"),
            sealed[..sealed.len() - 1].to_owned(),
        ];
        for text in damaged {
            assert_ne!(text, sealed);
            assert!(StoredState::unseal(&text).is_err(), "{text}");
        }
    }
}
