//! How rows are cut into tiles.

/// Cuts `rows` into the fewest blocks of at most `tallest` rows, as equal as possible, taller ones first.
///
/// Equal heights keep the register tiles busy: 32 rows are 6+6+5+5+5+5 rather than five times 6 and a 2.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heights {
    blocks: usize,
    base: usize,
    taller: usize,
}

impl Heights {
    pub(super) fn new(rows: usize, tallest: usize) -> Self {
        let blocks = rows.div_ceil(tallest);
        Self {
            blocks,
            base: rows.checked_div(blocks).unwrap_or(0),
            taller: rows.checked_rem(blocks).unwrap_or(0),
        }
    }

    pub(super) fn rows(self) -> usize {
        self.blocks * self.base + self.taller
    }

    pub(super) fn blocks(self) -> usize {
        self.blocks
    }

    pub(super) fn height(self, block_idx: usize) -> usize {
        self.base + usize::from(block_idx < self.taller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_cover_all_rows_and_differ_by_at_most_one() {
        for tallest in 1..=6 {
            for rows in 0..100 {
                let heights = Heights::new(rows, tallest);
                let all: Vec<usize> = (0..heights.blocks()).map(|i| heights.height(i)).collect();
                assert_eq!(all.iter().sum::<usize>(), rows);
                assert_eq!(heights.rows(), rows);
                assert_eq!(all.len(), rows.div_ceil(tallest));
                assert!(
                    all.iter().all(|&h| 0 < h && h <= tallest),
                    "{rows} {tallest}: {all:?}"
                );
                assert!(all.iter().max().unwrap_or(&0) - all.iter().min().unwrap_or(&0) <= 1);
            }
        }
    }
}
