//! The lanes: which ones there are, what each was given, and whose answer is whose.

use std::collections::VecDeque;

use tabswarm_client_core::Task;

use super::command::GpuWish;
use super::host::{Host, LaneId, Work};
use super::params::ParamsKey;
use crate::lane::Report;

/// All lanes.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    slots: Vec<Slot>,
    wanted: u16,
    started: u32,
    /// What the first lane may have.
    gpu: GpuWish,
    run_json: Option<String>,
}

#[derive(Debug)]
struct Slot {
    id: LaneId,
    /// Runs that it was told to load and did not answer for yet.
    loads: u32,
    /// Why it can't be used.
    fault: Option<String>,
    /// Whether it failed so often that it gets no more work.
    retired: bool,
    /// What it was begun with.
    gpu: GpuWish,
    params: Option<ParamsKey>,
    /// Tasks under way, oldest first: a lane answers in order.
    tasks: VecDeque<Task>,
}

impl Lanes {
    /// Begins lanes until there are `wanted`.
    pub(crate) fn grow(&mut self, wanted: u16, host: &mut impl Host) {
        self.wanted = self.wanted.max(wanted);
        while self.slots.len() < usize::from(wanted) {
            let idx = u16::try_from(self.slots.len()).expect("fewer than `wanted`");
            let slot = self.begin(idx, host);
            self.slots.push(slot);
        }
    }

    /// Ends lanes until there are `wanted`; those that have work end when they are done with it.
    pub(crate) fn shrink(&mut self, wanted: u16, host: &mut impl Host) {
        self.wanted = self.wanted.min(wanted);
        self.trim(host);
    }

    /// Lets the first lane have the GPU, or not: it begins anew once it has no work.
    pub(crate) fn set_gpu(&mut self, gpu: GpuWish, host: &mut impl Host) {
        self.gpu = gpu;
        self.renew(host);
    }

    fn renew(&mut self, host: &mut impl Host) {
        let is_due = |slot: &Slot| slot.gpu != self.gpu && slot.tasks.is_empty() && !slot.retired;
        if self.slots.first().is_some_and(is_due) {
            self.restart(0, host);
        }
    }

    fn begin(&mut self, idx: u16, host: &mut impl Host) -> Slot {
        self.started += 1;
        let id = LaneId {
            idx,
            generation: self.started,
        };
        let gpu = if idx == 0 { self.gpu } else { GpuWish::Off };
        let fault = host.start_lane(id, gpu).err();
        let mut slot = Slot {
            id,
            loads: 0,
            fault,
            retired: false,
            gpu,
            params: None,
            tasks: VecDeque::new(),
        };
        if let Some(run_json) = &self.run_json {
            slot.load(run_json, host);
        }
        slot
    }

    /// Replaces a lane. Tasks that it had get no answer.
    pub(crate) fn restart(&mut self, idx: u16, host: &mut impl Host) {
        if usize::from(idx) < self.slots.len() {
            host.stop_lane(idx);
            self.slots[usize::from(idx)] = self.begin(idx, host);
        }
    }

    /// Ends a lane that failed too often; its place stays, and a restart fills it again.
    pub(crate) fn retire(&mut self, idx: u16, message: String, host: &mut impl Host) {
        if let Some(slot) = self.slots.get_mut(usize::from(idx)) {
            host.stop_lane(idx);
            slot.loads = 0;
            slot.fault = Some(message);
            slot.retired = true;
            slot.tasks.clear();
        }
    }

    /// Makes all lanes ready for a run.
    pub(crate) fn load(&mut self, run_json: &str, host: &mut impl Host) {
        self.run_json = Some(run_json.to_owned());
        for idx in 0..self.slots.len() {
            let slot = &mut self.slots[idx];
            if slot.retired {
                continue;
            }
            if slot.fault.is_some() {
                let idx = slot.id.idx;
                self.restart(idx, host);
            } else {
                slot.load(run_json, host);
            }
        }
    }

    /// Whether all lanes that are not retired loaded the run.
    ///
    /// # Errors
    /// Why one of them can't.
    pub(crate) fn are_ready(&self) -> Result<bool, String> {
        let mut slots = self.slots.iter().filter(|slot| !slot.retired);
        match slots.clone().find_map(|slot| slot.fault.clone()) {
            Some(fault) => Err(fault),
            None => Ok(slots.all(|slot| slot.loads == 0)),
        }
    }

    /// Gives parameters to all lanes, so that they prepare them before work comes.
    pub(crate) fn give_params(&mut self, key: ParamsKey, params: &[u8], host: &mut impl Host) {
        for slot in &mut self.slots {
            slot.give_params(key, params, host);
        }
    }

    /// Gives a lane a task.
    ///
    /// # Errors
    /// Why the lane can't take it.
    pub(crate) fn compute(
        &mut self,
        idx: u16,
        task: Task,
        (key, params): (ParamsKey, &[u8]),
        work: Work<'_>,
        host: &mut impl Host,
    ) -> Result<(), String> {
        let slot = self.slots.get_mut(usize::from(idx));
        let slot = slot.ok_or_else(|| format!("There is no lane {idx}."))?;
        if let Some(fault) = &slot.fault {
            return Err(fault.clone());
        }
        slot.give_params(key, params, host);
        slot.tasks.push_back(task);
        host.give_work(idx, work);
        Ok(())
    }

    /// Takes note of an answer and returns the tasks that it is for; none where the lane has been replaced.
    pub(crate) fn answered(
        &mut self,
        id: LaneId,
        report: &Report,
        host: &mut impl Host,
    ) -> Option<Vec<Task>> {
        let slot = self.slots.get_mut(usize::from(id.idx));
        let slot = slot.filter(|slot| slot.id == id && !slot.retired)?;
        let tasks = match report {
            Report::Backend(_) => Vec::new(),
            Report::Ready => {
                slot.loads = slot.loads.saturating_sub(1);
                Vec::new()
            }
            Report::Done(_) | Report::Overflow { .. } | Report::Diverged => {
                slot.tasks.pop_front().into_iter().collect()
            }
            Report::Failed { message } if slot.loads > 0 => {
                slot.fault = Some(message.clone());
                slot.tasks.drain(..).collect()
            }
            Report::Failed { .. } => slot.tasks.pop_front().into_iter().collect(),
            Report::Crashed { message } => {
                slot.fault = Some(message.clone());
                slot.tasks.drain(..).collect()
            }
        };
        self.trim(host);
        self.renew(host);
        Some(tasks)
    }

    /// Ends all lanes.
    pub(crate) fn stop(&mut self, host: &mut impl Host) {
        for slot in self.slots.drain(..) {
            host.stop_lane(slot.id.idx);
        }
        self.wanted = 0;
    }

    fn trim(&mut self, host: &mut impl Host) {
        while self.slots.len() > usize::from(self.wanted) {
            let Some(slot) = self.slots.pop_if(|slot| slot.tasks.is_empty()) else {
                return;
            };
            host.stop_lane(slot.id.idx);
        }
    }
}

impl Slot {
    fn load(&mut self, run_json: &str, host: &mut impl Host) {
        if self.fault.is_none() {
            self.loads += 1;
            self.params = None;
            host.load_lane(self.id.idx, run_json);
        }
    }

    fn give_params(&mut self, key: ParamsKey, params: &[u8], host: &mut impl Host) {
        if self.fault.is_none() && self.params != Some(key) {
            self.params = Some(key);
            host.give_params(self.id.idx, params);
        }
    }
}
