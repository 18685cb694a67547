//! Where each tensor lives in the flat parameter vector.

/// Index of a parameter tensor in a [`Layout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(pub usize);

/// How a tensor's values start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Uniform on `[-bound, bound)`.
    Uniform {
        /// Half width of the interval.
        bound: f32,
    },
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f32,
    },
    /// All zero.
    Zero,
    /// All one.
    One,
}

/// One parameter tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// Unique name, such as `layers.0.weight`.
    pub name: String,
    /// Row-major shape; a dense weight is `[in, out]`.
    pub shape: Vec<usize>,
    /// First element in the flat vector.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
    /// Initial values.
    pub init: Init,
}

impl TensorSpec {
    /// The tensor's elements in the flat vector.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len
    }
}

/// The table of all parameter tensors, in the order of the flat vector.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    tensors: Vec<TensorSpec>,
    len: usize,
}

impl Layout {
    /// Appends a tensor behind the ones there are.
    pub fn push(&mut self, name: String, shape: Vec<usize>, init: Init) -> TensorId {
        let len = shape.iter().product();
        self.tensors.push(TensorSpec {
            name,
            shape,
            offset: self.len,
            len,
            init,
        });
        self.len += len;
        TensorId(self.tensors.len() - 1)
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no parameter at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All tensors in flat order.
    pub fn tensors(&self) -> &[TensorSpec] {
        &self.tensors
    }

    /// One tensor.
    pub fn tensor(&self, id: TensorId) -> &TensorSpec {
        &self.tensors[id.0]
    }

    /// The length of each tensor, in flat order.
    pub fn tensor_lens(&self) -> Vec<usize> {
        self.tensors.iter().map(|t| t.len).collect()
    }
}
