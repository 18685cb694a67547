//! Which shape of products an adapter is fastest with: measured when it is first needed, and remembered by the device.

use std::collections::BTreeMap;

use super::device::GpuDevice;
use super::error::GpuError;
use super::params::MatmulParams;
use super::program::{Memory, Program};
use super::recording::places::Slot;
use super::recording::product::{Shape, Size, matmul, matmul_params};

/// The product that is measured: as large as those of small models, which are the slowest for what they do.
const SIZE: Size = Size {
    rows: 128,
    columns: 128,
    depth: 256,
    batches: 1,
};
/// Products handed over at once, and how often: the fastest counts.
const PRODUCTS: usize = 4;
const ROUNDS: usize = 3;

/// Seconds since some moment.
pub type Clock = fn() -> f64;

/// The fastest shape.
///
/// # Errors
/// Where a kernel can't be made, or the device fails.
pub(super) async fn fastest(device: &GpuDevice, clock: Clock) -> Result<Shape, GpuError> {
    let candidates = if device.summary().is_software {
        &Shape::OF_SOFTWARE[..]
    } else {
        &Shape::ALL[..]
    };
    let mut best = (f64::INFINITY, Shape::NARROW);
    for &shape in candidates {
        let seconds = measured(device, shape, clock).await?;
        if seconds < best.0 {
            best = (seconds, shape);
        }
    }
    Ok(best.1)
}

/// Seconds of some products.
async fn measured(device: &GpuDevice, shape: Shape, clock: Clock) -> Result<f64, GpuError> {
    let [left, right, product] = [Slot::Input, Slot::Params, Slot::Sums];
    let sizes = BTreeMap::from([
        (left, SIZE.rows * SIZE.depth),
        (right, SIZE.depth * SIZE.columns),
        (product, SIZE.rows * SIZE.columns),
        (Slot::Void, 1),
    ]);
    let memory = Memory::new(device, &sizes).await?;
    let staging = device.staging(1).await?;
    let params = MatmulParams {
        left_row: word(SIZE.depth),
        left_depth: 1,
        right_depth: word(SIZE.columns),
        right_column: 1,
        target_row: word(SIZE.columns),
        ..matmul_params(SIZE)
    };
    let once = matmul(params, shape, [left, right, product]);
    let products: Vec<_> = (0..PRODUCTS).flat_map(|_| once.clone()).collect();
    let program = Program::new(device, &memory, &products).await?;
    let mut fastest = f64::INFINITY;
    // The first round is for compilers that wait and see.
    for round in 0..=ROUNDS {
        let started = clock();
        program.submit(device);
        device.read(&staging, &[(memory.at(product).0, 1)]).await?;
        if round > 0 {
            fastest = fastest.min(clock() - started);
        }
    }
    Ok(fastest)
}

/// A size of [`SIZE`], all of which are small.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
fn word(size: usize) -> u32 {
    size as u32
}
