//! Joining, leaving, pausing, falling silent.

use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::Hello;
use tabswarm_protocol::limits::{MAX_LANES, MAX_RUN_NAME_BYTES, MAX_SOFTWARE_BYTES};
use tabswarm_protocol::server::{IdleReason, RefusalCode, Welcome};
use tabswarm_protocol::{ClientMessage, ServerMessage, Timestamp, Token, WorkerId};

use super::sharing::lacks;
use super::{Coordinator, send};
use crate::effect::Effect;
use crate::event::Event;
use crate::input::ConnectionId;
use crate::limits::{
    HEARTBEAT_MS, IDLE_NOTICE_MS, MAX_WORKERS, RESUME_MS, SILENCE_LIMIT_MS, SWEEP_MS,
};
use crate::run::HostedRun;

const SOFTWARE: &str = concat!("tabswarm ", env!("CARGO_PKG_VERSION"));

impl Coordinator {
    pub(super) fn hello(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        hello: Hello,
        fresh_token: Token,
        effects: &mut Vec<Effect>,
    ) {
        if let Err((code, message)) = self.admit(now, connection, &hello) {
            refuse(connection, code, message, effects);
            return;
        }
        // An unknown token stays the worker's: credits of before a restart are kept under it.
        let token = hello.resume.unwrap_or(fresh_token);
        let known = self.registry.by_token(token);
        let worker_id = known.unwrap_or_else(|| self.registry.add(now, token, &hello));
        let resumed = known.is_some();
        let (kind, software) = (hello.kind, hello.software.clone());
        if let Some(replaced) = self.registry.connect(now, worker_id, connection, hello) {
            let message = "Another connection goes on as this worker.".to_owned();
            refuse(replaced, RefusalCode::Replaced, message, effects);
        }
        self.lapse_leases(now, worker_id, effects);
        let identity = Digest::of(&token.0);
        let credited_samples = self.credited(identity);
        if let Some(worker) = self.registry.get(worker_id) {
            worker.credited = credited_samples;
        }
        effects.push(send(
            connection,
            ServerMessage::Welcome(Welcome {
                worker_id,
                resume_token: token,
                resumed,
                software: SOFTWARE.to_owned(),
                heartbeat_ms: HEARTBEAT_MS,
                credited_samples,
            }),
        ));
        effects.push(Effect::Event(Event::WorkerJoined {
            worker_id,
            resumed,
            identity,
            kind,
            software,
        }));
        self.assign(now, worker_id, effects);
        self.hand_out_everywhere(now, effects);
    }

    fn admit(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        hello: &Hello,
    ) -> Result<(), (RefusalCode, String)> {
        let refuse = |code, message: &str| Err((code, message.to_owned()));
        if self.registry.by_connection(connection).is_some() {
            return refuse(
                RefusalCode::ProtocolError,
                "A second hello on the same connection.",
            );
        }
        let run_name = hello.run.as_deref().unwrap_or_default();
        let in_bounds = hello.software.len() <= MAX_SOFTWARE_BYTES
            && run_name.len() <= MAX_RUN_NAME_BYTES
            && (1..=MAX_LANES).contains(&hello.lanes)
            && (1..=2).contains(&hello.classes.len());
        if !in_bounds {
            return refuse(
                RefusalCode::ProtocolError,
                "A field of the hello is out of range.",
            );
        }
        if self.draining {
            return refuse(
                RefusalCode::Full,
                "The server is going down; try again in a minute.",
            );
        }
        let identity = hello.resume.map(|token| Digest::of(&token.0));
        if let Some(message) = identity.and_then(|identity| self.banned(now, identity)) {
            return refuse(RefusalCode::Unauthorized, &message);
        }
        let is_known = hello
            .resume
            .is_some_and(|token| self.registry.by_token(token).is_some());
        if self.registry.workers.len() >= MAX_WORKERS && !is_known {
            return refuse(
                RefusalCode::Full,
                "The server has as many workers as it takes; try again later.",
            );
        }
        let Some(name) = &hello.run else {
            return Ok(());
        };
        let Some(run) = self.runs.values().find(|run| run.spec.name == *name) else {
            let message =
                format!("There is no run named {name:?} here; leave the name out to work for any.");
            return Err((RefusalCode::UnknownRun, message));
        };
        lacks(&run.spec, &hello.classes, hello.memory_mib, hello.gpu).map_or(Ok(()), |what| {
            let message =
                format!("The run {name:?} needs {what}, which this device does not have.");
            Err((RefusalCode::Unsupported, message))
        })
    }

    pub(super) fn message(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: ClientMessage,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.registry.by_connection(connection) else {
            // Closed meanwhile, or never greeted: the edge lets only hellos through first.
            return;
        };
        worker.last_heard = now;
        let worker_id = worker.id;
        match message {
            ClientMessage::Ready { run_id } => {
                if worker.run_id == Some(run_id) {
                    worker.ready = true;
                    worker.paused = None;
                    worker.idle_since = now;
                    self.notify_idle(worker_id, effects);
                    self.hand_out(now, run_id, effects);
                }
            }
            ClientMessage::Pause { reason } => {
                worker.ready = false;
                worker.paused = Some(reason);
                self.lapse_leases(now, worker_id, effects);
                self.hand_out_for(now, worker_id, effects);
            }
            ClientMessage::Overflow { lease_id, fits } => {
                self.overflow(now, worker_id, lease_id, &fits, effects);
            }
            ClientMessage::Release { lease_id, reason } => {
                self.release(now, worker_id, lease_id, reason, effects);
            }
            ClientMessage::Pong { .. } => {}
            ClientMessage::Goodbye => self.leave(now, worker_id, effects),
            ClientMessage::Lanes { lanes } if (1..=MAX_LANES).contains(&lanes) => {
                worker.lanes = lanes;
                self.hand_out_for(now, worker_id, effects);
            }
            ClientMessage::Hello(_) | ClientMessage::Update(_) | ClientMessage::Lanes { .. } => {
                let message = "A message out of place.".to_owned();
                self.cut(
                    now,
                    connection,
                    RefusalCode::ProtocolError,
                    message,
                    effects,
                );
            }
        }
    }

    fn leave(&mut self, now: Timestamp, worker_id: WorkerId, effects: &mut Vec<Effect>) {
        let Some(worker) = self.registry.get(worker_id) else {
            return;
        };
        let (connection, run_id) = (worker.connection, worker.run_id);
        self.lapse_leases(now, worker_id, effects);
        self.registry.remove(worker_id);
        effects.extend(connection.map(|connection| Effect::Close { connection }));
        let goodbye = true;
        effects.push(Effect::Event(Event::WorkerLeft { worker_id, goodbye }));
        if let Some(run_id) = run_id {
            self.hand_out(now, run_id, effects);
        }
    }

    pub(super) fn disconnected(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker_id) = self.registry.disconnect(now, connection) else {
            return;
        };
        let goodbye = false;
        effects.push(Effect::Event(Event::WorkerLeft { worker_id, goodbye }));
        self.lapse_leases(now, worker_id, effects);
        self.hand_out_for(now, worker_id, effects);
    }

    /// Closes a connection with a reason.
    pub(super) fn cut(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        code: RefusalCode,
        message: String,
        effects: &mut Vec<Effect>,
    ) {
        refuse(connection, code, message, effects);
        self.disconnected(now, connection, effects);
    }

    /// Tells a worker without a lease why, once per reason. Waiting for a step's tail is told by the sweep.
    pub(super) fn notify_idle(&mut self, worker_id: WorkerId, effects: &mut Vec<Effect>) {
        let Some(worker) = self.registry.get(worker_id) else {
            return;
        };
        let run = worker.run_id.and_then(|run_id| self.runs.get(&run_id));
        let reason = match run {
            Some(run) => run.idle_reason(),
            None if self.runs.values().any(HostedRun::is_running) => IdleReason::Requirements,
            None => IdleReason::NoRun,
        };
        if reason != IdleReason::StepTail {
            tell_idle(worker, reason, effects);
        }
    }

    /// Looks at everything that depends on time.
    pub(super) fn sweep(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.next_sweep = now + SWEEP_MS;
        self.expire_leases(now, effects);
        self.close_rounds(now, effects);
        self.pause_diverged(now, effects);
        self.hedge(now, effects);
        self.share(now, effects);
        self.tell_credits(now, effects);
        self.send_drained_away(now, effects);
        for run in self.runs.values_mut() {
            run.begin_snapshot(now, effects);
        }
        let mut silent = Vec::new();
        let mut forgotten = Vec::new();
        for worker in self.registry.workers.values_mut() {
            let quiet_ms = now.since_ms(worker.last_heard);
            let Some(connection) = worker.connection else {
                if quiet_ms >= RESUME_MS {
                    forgotten.push(worker.id);
                }
                continue;
            };
            if quiet_ms >= SILENCE_LIMIT_MS {
                silent.push(connection);
            } else if now.since_ms(worker.last_ping) >= u64::from(HEARTBEAT_MS) {
                worker.last_ping = now;
                self.next_nonce += 1;
                let nonce = self.next_nonce;
                effects.push(send(connection, ServerMessage::Ping { nonce }));
            }
            let running = worker
                .run_id
                .and_then(|run_id| self.runs.get(&run_id))
                .filter(|run| run.is_running());
            if let Some(run) = running
                && worker.is_idle()
                && now.since_ms(worker.idle_since) >= IDLE_NOTICE_MS
            {
                tell_idle(worker, run.idle_reason(), effects);
            }
        }
        for connection in silent {
            let message = "The worker was silent for too long.".to_owned();
            self.cut(now, connection, RefusalCode::TimedOut, message, effects);
        }
        forgotten
            .into_iter()
            .for_each(|worker_id| self.registry.remove(worker_id));
    }

    pub(super) fn credited(&self, identity: Digest) -> u64 {
        self.runs.values().map(|run| run.credited(identity)).sum()
    }

    pub(super) fn shutdown(
        &mut self,
        now: Timestamp,
        reconnect_in_ms: u32,
        effects: &mut Vec<Effect>,
    ) {
        self.draining = true;
        let restarting = ServerMessage::Restarting {
            reconnect_in_ms,
            try_for_ms: 60 * 60 * 1_000,
        };
        for worker in self.registry.workers.values() {
            if let Some(connection) = worker.connection {
                effects.push(send(connection, restarting.clone()));
                effects.push(Effect::Close { connection });
            }
        }
        self.snapshot_for_shutdown(now, effects);
    }
}

fn tell_idle(worker: &mut crate::registry::Worker, reason: IdleReason, effects: &mut Vec<Effect>) {
    if worker.idle_notice != Some(reason) && worker.leases.is_empty() {
        worker.idle_notice = Some(reason);
        let idle = ServerMessage::Idle { reason };
        effects.extend(worker.connection.map(|connection| send(connection, idle)));
    }
}

fn refuse(connection: ConnectionId, code: RefusalCode, message: String, effects: &mut Vec<Effect>) {
    let refused = ServerMessage::Refused {
        code,
        message: message.clone(),
    };
    effects.push(send(connection, refused));
    effects.push(Effect::Close { connection });
    effects.push(Effect::Event(Event::Refused { code, message }));
}
