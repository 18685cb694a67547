//! What each worker was told, by its identity.

use std::collections::BTreeMap;

use tabswarm_coordinator::RunState;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::server::{Verdict, Welcome};
use tabswarm_protocol::{LeaseId, ServerMessage};

/// What one identity was told.
#[derive(Debug, Default)]
struct Account {
    /// Samples of the updates that it was told count.
    accepted: BTreeMap<LeaseId, u32>,
    /// The largest credit that it was told.
    credit: u64,
}

impl Account {
    fn acknowledged(&self) -> u64 {
        self.accepted.values().copied().map(u64::from).sum()
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: BTreeMap<Digest, Account>,
    compared: u64,
    lost: u64,
    problems: Vec<String>,
}

/// The ledger beside what is stored at the end.
#[derive(Debug)]
pub(crate) struct Told {
    /// Identities that were told that something counts.
    pub(crate) identities: usize,
    /// Samples that they were told count.
    pub(crate) samples: u64,
    /// Those of them that are not credited.
    pub(crate) lost: u64,
}

impl Ledger {
    /// The server says something on a connection whose identity follows from its welcome.
    pub(crate) fn heard(&mut self, identity: &mut Option<Digest>, message: &ServerMessage) {
        match message {
            ServerMessage::Welcome(welcome) => *identity = Some(self.welcome(welcome)),
            ServerMessage::Credited { samples } => {
                if let Some(identity) = *identity {
                    self.credit(identity, *samples);
                }
            }
            ServerMessage::Receipt {
                lease_id,
                verdict: Verdict::Accepted { samples },
            } => match *identity {
                Some(identity) => {
                    let account = self.accounts.entry(identity).or_default();
                    account.accepted.insert(*lease_id, *samples);
                }
                None => self
                    .problems
                    .push("a receipt came before the welcome".to_owned()),
            },
            _ => {}
        }
    }

    fn welcome(&mut self, welcome: &Welcome) -> Digest {
        let identity = Digest::of(&welcome.resume_token.0);
        let credited = welcome.credited_samples;
        if let Some(account) = self.accounts.get(&identity) {
            self.compared += 1;
            let acknowledged = account.acknowledged();
            if credited < acknowledged {
                self.lost += acknowledged - credited;
                self.problems.push(format!(
                    "{identity} was told that {acknowledged} samples count and comes back to {credited}"
                ));
            }
        }
        self.credit(identity, credited);
        identity
    }

    fn credit(&mut self, identity: Digest, samples: u64) {
        let account = self.accounts.entry(identity).or_default();
        if samples < account.credit {
            self.lost += account.credit - samples;
            let had = account.credit;
            let problem = format!("{identity} had {had} credited samples and has {samples}");
            self.problems.push(problem);
        }
        account.credit = account.credit.max(samples);
    }

    /// Welcomes whose credit was compared with what the identity had been told.
    pub(crate) fn compared(&self) -> u64 {
        self.compared
    }

    /// Samples that were acknowledged or credited and were missing at some later moment.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// What was wrong, in words.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().map(String::as_str)
    }

    /// Compares with the run's state at the end.
    pub(crate) fn told(&self, state: &RunState) -> Told {
        let mut told = Told {
            identities: 0,
            samples: 0,
            lost: 0,
        };
        for (&identity, account) in &self.accounts {
            let acknowledged = account.acknowledged();
            told.identities += usize::from(acknowledged > 0);
            told.samples += acknowledged;
            let promised = acknowledged.max(account.credit);
            told.lost += promised.saturating_sub(state.credit_of(identity));
        }
        told
    }
}
