//! The sum of a lease's gradients, put together from the sums of its tasks.

use std::collections::BTreeMap;

use tabswarm_compute::sums::{add_exact, add_f32};
use tabswarm_protocol::client::MicroBatchRange;
use tabswarm_protocol::codec;

use crate::lane::Sums;

/// What is summed of a lease so far.
#[derive(Debug)]
pub(crate) struct LeaseSums {
    range: MicroBatchRange,
    exact: Vec<i32>,
    /// By first micro-batch. Floating-point sums are taken from the lease's first micro-batch on, whatever
    /// the order in which lanes finish: a sum waits here until everything before it is in.
    plain: BTreeMap<u32, PlainRun>,
}

/// The sum of consecutive micro-batches.
#[derive(Debug)]
struct PlainRun {
    count: u32,
    sums: Vec<f32>,
}

impl PlainRun {
    fn append(&mut self, next: &Self) {
        self.count += next.count;
        add_f32(&mut self.sums, &next.sums);
    }
}

impl LeaseSums {
    /// Nothing yet of a lease's micro-batches.
    pub(crate) fn new(range: MicroBatchRange) -> Self {
        Self {
            range,
            exact: Vec::new(),
            plain: BTreeMap::new(),
        }
    }

    /// Adds a task's sums.
    pub(crate) fn add(&mut self, range: MicroBatchRange, sums: Sums) {
        match sums {
            Sums::Exact(values) => self.add_exact(values),
            Sums::Plain(sums) => {
                let count = range.count;
                self.plain.insert(range.first, PlainRun { count, sums });
                self.join_plain();
            }
        }
    }

    fn add_exact(&mut self, values: Vec<i32>) {
        if self.exact.is_empty() {
            self.exact = values;
            return;
        }
        add_exact(&mut self.exact, &values);
    }

    /// Adds to the first run whatever follows it without a gap.
    fn join_plain(&mut self) {
        let first = self.range.first;
        let Some(mut start) = self.plain.remove(&first) else {
            return;
        };
        while let Some(next) = self.plain.remove(&(first + start.count)) {
            start.append(&next);
        }
        self.plain.insert(first, start);
    }

    /// The tensor part of the update.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut runs = self.plain.into_values();
        let Some(mut sum) = runs.next() else {
            return codec::exact::encode(&self.exact);
        };
        for run in runs {
            sum.append(&run);
        }
        codec::f32::encode(&sum.sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, count: u32) -> MicroBatchRange {
        MicroBatchRange { first, count }
    }

    #[test]
    fn exact_sums_do_not_depend_on_the_order_of_tasks() {
        let tasks = [vec![1, -2], vec![30, 40], vec![-500, 600]];
        for order in [[0, 1, 2], [2, 1, 0]] {
            let mut sums = LeaseSums::new(range(0, 7));
            for idx in order {
                let first = u32::try_from(idx).unwrap();
                sums.add(range(first, 1), Sums::Exact(tasks[idx].clone()));
            }
            assert_eq!(codec::exact::decode(&sums.encode(), 2), Ok(vec![-469, 638]));
        }
    }

    #[test]
    fn plain_sums_are_taken_in_the_order_of_micro_batches() {
        // Added to 1e8 one by one both fours are lost; 4 + 4 first keeps them.
        let tasks = [(range(0, 2), 4.0), (range(2, 1), 4.0), (range(3, 4), 1e8)];
        let expected = (4.0_f32 + 4.0) + 1e8;
        for order in [[0, 1, 2], [2, 0, 1], [0, 2, 1], [1, 2, 0]] {
            let mut sums = LeaseSums::new(range(0, 7));
            for idx in order {
                let (range, value) = tasks[idx];
                sums.add(range, Sums::Plain(vec![value]));
            }
            assert_eq!(sums.plain.len(), 1, "{order:?}");
            assert_eq!(
                codec::f32::decode(&sums.encode(), 1),
                Ok(vec![expected]),
                "{order:?}"
            );
        }
    }

    #[test]
    fn a_lease_cut_short_may_have_gaps() {
        let mut sums = LeaseSums::new(range(0, 7));
        sums.add(range(0, 1), Sums::Plain(vec![1.0]));
        sums.add(range(2, 1), Sums::Plain(vec![2.0]));
        assert_eq!(codec::f32::decode(&sums.encode(), 1), Ok(vec![3.0]));
    }
}
