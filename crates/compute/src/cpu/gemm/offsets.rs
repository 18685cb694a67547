//! Tables of places in an operand that is read where it lies.

/// Places in a slice, and the largest of them, so that a whole table is checked at once.
#[derive(Debug, Clone)]
pub(crate) struct Offsets {
    values: Vec<u32>,
    largest: u32,
}

impl Offsets {
    /// A table of places; those of one sample's image always fit.
    pub(crate) fn new(places: impl Iterator<Item = usize>) -> Self {
        let narrow =
            |place| u32::try_from(place).expect("models are limited far below 2^32 values");
        let values: Vec<u32> = places.map(narrow).collect();
        let largest = values.iter().copied().max().unwrap_or(0);
        Self { values, largest }
    }

    /// All of the table.
    pub(crate) fn all(&self) -> Places<'_> {
        Places {
            values: &self.values,
            largest: self.largest,
        }
    }

    /// `count` places from `first` on.
    pub(crate) fn part(&self, first: usize, count: usize) -> Places<'_> {
        self.all().part(first, count)
    }

    /// Number of places.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

/// A part of [`Offsets`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    values: &'a [u32],
    largest: u32,
}

impl<'a> Places<'a> {
    /// `count` places from `first` on.
    pub(super) fn part(self, first: usize, count: usize) -> Self {
        Self {
            values: &self.values[first..first + count],
            ..self
        }
    }

    /// The places.
    pub(crate) fn values(self) -> &'a [u32] {
        self.values
    }

    /// No place is beyond this.
    pub(crate) fn largest(self) -> usize {
        self.largest as usize
    }
}
