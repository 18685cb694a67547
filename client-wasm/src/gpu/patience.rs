//! How long a GPU is waited for. Nothing in a browser ends a mapping that hangs, so a timer runs beside each.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use js_sys::Promise;
use js_sys::futures::JsFuture;
use tabswarm_compute::gpu::GpuError;
use wasm_bindgen::JsValue;

use crate::browser::worker_scope;

/// Seconds for making pipelines and testing them: software adapters compile for long.
pub(super) const SETUP_S: u32 = 180;
/// Seconds for a micro-batch or a reading: far more than any takes, but less than a lease has.
pub(super) const ANSWER_S: u32 = 30;

/// What `work` comes to, unless it takes longer.
pub(super) async fn within<T>(
    seconds: u32,
    work: impl Future<Output = Result<T, GpuError>>,
) -> Result<T, GpuError> {
    let alarm = JsFuture::from(after(seconds));
    let race = Race {
        work: pin!(work),
        alarm: pin!(alarm),
    };
    race.await.unwrap_or(Err(GpuError::Hung {
        seconds: seconds.into(),
    }))
}

/// A promise that is kept after so many seconds.
fn after(seconds: u32) -> Promise {
    Promise::new(&mut |resolve, _| {
        let wait_ms = i32::try_from(seconds.saturating_mul(1_000)).unwrap_or(i32::MAX);
        if let Some(scope) = worker_scope() {
            // Where there are no timers nothing hangs for ever either: the promise is kept by nobody.
            let set =
                scope.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, wait_ms);
            drop(set);
        }
    })
}

/// What comes first; none if that is the alarm.
struct Race<'a, W, A> {
    work: Pin<&'a mut W>,
    alarm: Pin<&'a mut A>,
}

impl<W: Future, A: Future<Output = Result<JsValue, JsValue>>> Future for Race<'_, W, A> {
    type Output = Option<W::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(done) = self.work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        self.alarm.as_mut().poll(context).map(|_| None)
    }
}
