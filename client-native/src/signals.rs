//! Ctrl-C, and SIGTERM where there is such a thing.

#[cfg(unix)]
pub(crate) use unix::StopSignals;

#[cfg(not(unix))]
pub(crate) use other::StopSignals;

#[cfg(unix)]
mod unix {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// Signals that ask the process to stop.
    pub(crate) struct StopSignals {
        interrupt: Signal,
        terminate: Signal,
    }

    impl StopSignals {
        /// From now on the signals do not kill the process.
        pub(crate) fn listen() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }

        /// Waits for the next one.
        pub(crate) async fn next(&mut self) {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
        }
    }
}

#[cfg(not(unix))]
mod other {
    use std::io;

    /// Signals that ask the process to stop.
    pub(crate) struct StopSignals;

    impl StopSignals {
        /// Nothing to prepare.
        pub(crate) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        /// Waits for the next one.
        pub(crate) async fn next(&mut self) {
            if tokio::signal::ctrl_c().await.is_err() {
                // There is no such signal here: nothing will ever come.
                std::future::pending().await
            }
        }
    }
}
