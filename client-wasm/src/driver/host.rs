//! What the driver needs of the browser, so that it can be tested without one.

use tabswarm_compute::task::{InnerWork, TaskPart};
use tabswarm_model::samples::MicroBatch;
use tabswarm_protocol::Timestamp;

use super::command::GpuWish;
use super::fetches::Job;

/// A lane's place and how often it was begun anew: what an earlier one still says is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneId {
    /// Index among the lanes.
    pub(crate) idx: u16,
    /// Which one of those that had this index.
    pub(crate) generation: u32,
}

/// What a lane computes in one go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work<'a> {
    /// Which micro-batches these are, batch by batch.
    pub(crate) parts: &'a [TaskPart],
    /// Where the parts are inner steps of a shard.
    pub(crate) inner: Option<&'a InnerWork>,
    /// The samples of all micro-batches, one after the other.
    pub(crate) batches: &'a [MicroBatch],
    /// Fixed-point exponents; empty for the `f32` codec.
    pub(crate) exponents: &'a [i8],
}

/// Socket, lanes, HTTP, clock and the page. Nothing here answers at once: answers come as events.
pub(crate) trait Host {
    /// Time on a monotonic clock that began with this worker.
    fn now(&self) -> Timestamp;

    /// Opens the socket; `connection` comes back with its events.
    ///
    /// # Errors
    /// Where the browser refuses, with a sentence.
    fn connect(&mut self, connection: u32, url: &str) -> Result<(), String>;
    /// Closes the socket, if it is open. Nothing is heard of it afterwards.
    fn disconnect(&mut self);
    /// Sends a frame. On a socket that is closing it is lost, and the closing is heard of anyway.
    fn send(&mut self, frame: &[u8]);

    /// Begins a lane, which may have the GPU.
    ///
    /// # Errors
    /// Where the browser refuses, with a sentence.
    fn start_lane(&mut self, lane: LaneId, gpu: GpuWish) -> Result<(), String>;
    /// Ends a lane at once.
    fn stop_lane(&mut self, idx: u16);
    /// Makes a lane ready for a run; it answers once.
    fn load_lane(&mut self, idx: u16, run_json: &str);
    /// Gives a lane parameters for all later work.
    fn give_params(&mut self, idx: u16, params: &[u8]);
    /// Gives a lane work; it answers once.
    fn give_work(&mut self, idx: u16, work: Work<'_>);

    /// Requests something from the server; the answer names the job.
    fn fetch(&mut self, job: Job, url: String);

    /// Asks for a timer event at `at` or somewhat earlier.
    fn wake_at(&mut self, at: Option<Timestamp>);
    /// Tells the page.
    fn post_status(&mut self, json: &str);
}
