//! The queue of HTTP requests: what a lease waits for first, then what it will need, a few at a time, each
//! tried again a few times.

use std::collections::VecDeque;

use tabswarm_model::digest::Digest;
use tabswarm_protocol::Timestamp;

use super::limits::{FETCH_RETRIES, MAX_FETCHES, MAX_PREFETCHES, RETRY_WAIT_MS};

/// What a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The data set's manifest.
    Manifest,
    /// A chunk, by index.
    Chunk(usize),
}

/// Whether something waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// It will be needed later in the epoch.
    Ahead,
    /// A lease or the run waits for it.
    Needed,
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    /// The data set it belongs to: answers for an earlier one are dropped.
    pub(crate) dataset: Digest,
    /// What it brings.
    pub(crate) target: Target,
    /// Its name on the server.
    pub(crate) digest: Digest,
    /// Failed tries before this one. Only the first try may be answered from a cache.
    pub(crate) failures: u32,
}

/// What follows from a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// It is tried again.
    Retry,
    /// It was tried often enough.
    GiveUp,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    job: Job,
    urgency: Urgency,
    not_before: Timestamp,
}

/// Requests waiting and in flight.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    waiting: VecDeque<Entry>,
    active: Vec<(Target, Urgency)>,
    dataset: Option<Digest>,
}

impl Fetches {
    /// Forgets everything; answers that still come are for nothing.
    pub(crate) fn begin(&mut self, dataset: Digest) {
        self.waiting.clear();
        self.active.clear();
        self.dataset = Some(dataset);
    }

    /// Asks for something, unless it is asked for already; then it only gets more urgent.
    pub(crate) fn want(&mut self, target: Target, digest: Digest, urgency: Urgency) {
        let Some(dataset) = self.dataset else {
            return;
        };
        if let Some((_, active)) = self.active.iter_mut().find(|(active, _)| *active == target) {
            *active = urgency.max(*active);
            return;
        }
        if let Some(entry) = self
            .waiting
            .iter_mut()
            .find(|entry| entry.job.target == target)
        {
            entry.urgency = urgency.max(entry.urgency);
            return;
        }
        let job = Job {
            dataset,
            target,
            digest,
            failures: 0,
        };
        self.waiting.push_back(Entry {
            job,
            urgency,
            not_before: Timestamp(0),
        });
    }

    /// The next request to make now, if there is room for it.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<Job> {
        if self.active.len() >= MAX_FETCHES {
            return None;
        }
        let ahead = self
            .active
            .iter()
            .filter(|(_, urgency)| *urgency == Urgency::Ahead)
            .count();
        let due = |entry: &Entry, urgency| entry.urgency == urgency && entry.not_before <= now;
        let needed = self
            .waiting
            .iter()
            .position(|entry| due(entry, Urgency::Needed));
        let at = needed.or_else(|| {
            let room = ahead < MAX_PREFETCHES;
            self.waiting
                .iter()
                .position(|entry| room && due(entry, Urgency::Ahead))
        })?;
        let entry = self.waiting.remove(at)?;
        self.active.push((entry.job.target, entry.urgency));
        Some(entry.job)
    }

    /// Whether an answer is still of use.
    pub(crate) fn is_current(&self, job: &Job) -> bool {
        self.dataset == Some(job.dataset)
    }

    /// A request was answered well.
    pub(crate) fn succeeded(&mut self, job: &Job) {
        self.active.retain(|(target, _)| *target != job.target);
    }

    /// A request failed, or its answer was of no use.
    pub(crate) fn failed(&mut self, job: &Job, now: Timestamp) -> AfterFailure {
        let position = self
            .active
            .iter()
            .position(|(target, _)| *target == job.target);
        let urgency = position.map_or(Urgency::Ahead, |at| self.active.swap_remove(at).1);
        if job.failures == FETCH_RETRIES {
            return AfterFailure::GiveUp;
        }
        self.waiting.push_back(Entry {
            job: Job {
                failures: job.failures + 1,
                ..*job
            },
            urgency,
            not_before: now + (RETRY_WAIT_MS << job.failures),
        });
        AfterFailure::Retry
    }

    /// Whether nothing is waiting or in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// When a retry is due. Everything else starts when something else ends.
    pub(crate) fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let retries = self.waiting.iter().map(|entry| entry.not_before);
        retries.filter(|&at| at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(10_000);

    fn fetches() -> Fetches {
        let mut fetches = Fetches::default();
        fetches.begin(Digest([9; 32]));
        fetches
    }

    fn want(fetches: &mut Fetches, chunk: usize, urgency: Urgency) {
        fetches.want(Target::Chunk(chunk), Digest([0; 32]), urgency);
    }

    fn started(fetches: &mut Fetches, now: Timestamp) -> Vec<Target> {
        std::iter::from_fn(|| fetches.next(now))
            .map(|job| job.target)
            .collect()
    }

    #[test]
    fn needed_chunks_go_first_and_the_rest_leaves_room() {
        let mut fetches = fetches();
        (0..5).for_each(|chunk| want(&mut fetches, chunk, Urgency::Ahead));
        assert_eq!(
            started(&mut fetches, NOW),
            [Target::Chunk(0), Target::Chunk(1)]
        );
        want(&mut fetches, 8, Urgency::Needed);
        want(&mut fetches, 4, Urgency::Needed);
        want(&mut fetches, 8, Urgency::Needed);
        want(&mut fetches, 9, Urgency::Needed);
        assert_eq!(
            started(&mut fetches, NOW),
            [Target::Chunk(4), Target::Chunk(8)]
        );
    }

    #[test]
    fn a_failed_request_is_tried_again_after_growing_waits() {
        let mut fetches = fetches();
        want(&mut fetches, 1, Urgency::Needed);
        let mut now = NOW;
        for wait_ms in [500, 1_000, 2_000] {
            let job = fetches.next(now).unwrap();
            assert_eq!(fetches.failed(&job, now), AfterFailure::Retry);
            assert_eq!(fetches.next_deadline(now), Some(now + wait_ms));
            assert_eq!(fetches.next(now + (wait_ms - 1)), None);
            now = now + wait_ms;
        }
        let job = fetches.next(now).unwrap();
        assert_eq!(fetches.failed(&job, now), AfterFailure::GiveUp);
        assert!(fetches.is_idle());
    }

    #[test]
    fn answers_for_another_data_set_are_recognized() {
        let mut fetches = fetches();
        want(&mut fetches, 1, Urgency::Needed);
        let job = fetches.next(NOW).unwrap();
        assert!(fetches.is_current(&job));
        fetches.begin(Digest([8; 32]));
        assert!(!fetches.is_current(&job));
    }
}
