//! Faults, injected on purpose: each must be caught before a gradient is handed out.

use super::device::GpuDevice;
use super::program::{Memory, Program};
use super::recording::places::Slot;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// The kernels leave zeros.
    ZeroGradient,
    /// The kernels do not run, without an error: the buffer keeps what it had.
    StaleGradient,
    /// One value is not a number.
    NanGradient { index: usize },
    /// All of what is read back is zero.
    ZeroAnswer,
    /// What is read back is that of an earlier lease.
    StaleAnswer,
    /// One value read back is not a number.
    NanAnswer { index: usize },
    /// The device goes away.
    LostDevice,
}

/// Computes a micro-batch's gradient, or does not.
pub(super) fn before(
    fault: Option<Fault>,
    device: &GpuDevice,
    memory: &Memory,
    gradient: &Program,
) {
    match fault {
        Some(Fault::StaleGradient) => return,
        Some(Fault::LostDevice) => device.device.destroy(),
        _ => gradient.submit(device),
    }
    let (buffer, values) = memory.at(Slot::Gradient);
    match fault {
        Some(Fault::ZeroGradient) => memory.write(device, Slot::Gradient, &vec![0.0; values]),
        Some(Fault::NanGradient { index }) => {
            let bytes = f32::NAN.to_le_bytes();
            let at = super::device::byte_size(index % values);
            device.queue.write_buffer(buffer, at, &bytes);
        }
        _ => {}
    }
}

/// Breaks what was read back; keeps what was right for a later fault.
pub(super) fn after(fault: Option<Fault>, returned: &mut Vec<f32>, earlier: &mut Vec<f32>) {
    match fault {
        Some(Fault::ZeroAnswer) => returned.fill(0.0),
        Some(Fault::StaleAnswer) => returned.clone_from(earlier),
        Some(Fault::NanAnswer { index }) => {
            let at = index % returned.len();
            returned[at] = f32::NAN;
        }
        _ => earlier.clone_from(returned),
    }
}
