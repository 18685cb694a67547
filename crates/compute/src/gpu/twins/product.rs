//! Products of matrices and sums of rows.

use super::super::params::{MatmulParams, SumRowsParams};
use super::activation::activated;
use super::{at, bound, narrow};

/// See `matmul.wgsl`; all tiles.
pub(crate) fn matmul(p: &MatmulParams, buffers: &mut [Vec<f32>]) {
    let [left, right, bias, products, slopes] = bound(buffers);
    let heads = at(p.heads);
    for batch in 0..at(p.batches) {
        let (sample, head) = (batch / heads, batch % heads);
        let start = |start: u32, of_sample: u32, of_head: u32| {
            at(start) + sample * at(of_sample) + head * at(of_head)
        };
        let left_start = start(p.left_start, p.left_sample, p.left_head);
        let right_start = start(p.right_start, p.right_sample, p.right_head);
        let target_start = start(p.target_start, p.target_sample, p.target_head);
        for (row, column) in
            (0..at(p.rows)).flat_map(|row| (0..at(p.columns)).map(move |column| (row, column)))
        {
            let terms = (0..at(p.depth)).map(|k| {
                let a = left[left_start + row * at(p.left_row) + k * at(p.left_depth)];
                let b = right[right_start + k * at(p.right_depth) + column * at(p.right_column)];
                f64::from(a) * f64::from(b)
            });
            let mut value = terms.sum::<f64>() * f64::from(p.scale);
            if p.has_bias != 0 {
                value += f64::from(bias[at(p.bias_start) + column]);
            }
            let (value, slope) = activated(p.activation, value);
            let target = target_start + row * at(p.target_row) + column;
            let before = if p.adds == 0 { 0.0 } else { products[target] };
            products[target] = narrow(f64::from(before) + value);
            if p.has_slope != 0 {
                slopes[target] = narrow(slope);
            }
        }
    }
}

/// See `sum_rows.wgsl`.
pub(crate) fn sum_rows(p: &SumRowsParams, buffers: &mut [Vec<f32>]) {
    let [values, sums] = bound(buffers);
    for column in 0..at(p.columns) {
        let column_values = (0..at(p.rows)).map(|row| values[row * at(p.columns) + column]);
        let sum: f64 = column_values.map(f64::from).sum();
        let target = &mut sums[at(p.sums_start) + column];
        let before = if p.adds == 0 { 0.0 } else { f64::from(*target) };
        *target = narrow(before + sum);
    }
}
