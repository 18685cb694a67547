//! What the version before this one says in other bytes: only the server reads it.

use serde::Deserialize;

use crate::client::{Class, ClientMessage, Hello, WorkerKind};
use crate::error::FrameError;
use crate::frame::RawMessage;
use crate::ids::Token;
use crate::server::{IdleReason, ServerMessage};

/// A hello of version 2: it says nothing of memory and GPUs.
#[derive(Deserialize)]
struct HelloV2 {
    kind: WorkerKind,
    software: String,
    run: Option<String>,
    resume: Option<Token>,
    join_token: Option<Token>,
    lanes: u16,
    classes: Vec<Class>,
}

/// Reads a message of version 2.
pub(crate) fn read_client_message(raw: &RawMessage) -> Result<ClientMessage, FrameError> {
    // The number of the variant `Hello`.
    if raw.control.first() != Some(&0) {
        return raw.control();
    }
    let (_variant, hello): (u8, HelloV2) = raw.control()?;
    Ok(ClientMessage::Hello(Hello {
        kind: hello.kind,
        software: hello.software,
        run: hello.run,
        resume: hello.resume,
        join_token: hello.join_token,
        lanes: hello.lanes,
        classes: hello.classes,
        memory_mib: 0,
        gpu: false,
    }))
}

impl ServerMessage {
    /// What is said instead to a peer of version 2.
    #[must_use]
    pub fn for_older(self) -> Self {
        match self {
            Self::Idle {
                reason: IdleReason::Requirements,
            } => Self::Idle {
                reason: IdleReason::NoRun,
            },
            other => other,
        }
    }
}
