//! Geometry of the operations on images and sequences.

/// A stack of channels over a grid of pixels, channels last: (height, width, channels).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per pixel.
    pub channels: usize,
}

impl Image {
    /// Values of one image.
    pub fn features(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Pixels of one image.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }
}

/// A rectangle that slides over an image; vertical sizes come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Pixels that the window covers.
    pub size: [usize; 2],
    /// Pixels from one position to the next.
    pub stride: [usize; 2],
    /// Rows of zeros above and columns of zeros left of the image. What is missing below and right follows
    /// from the size of the output.
    pub padding: [usize; 2],
}

/// How the border of an image is padded with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// So much that the output has ⌈size / stride⌉ pixels; an odd one goes below and to the right.
    Same,
    /// Not at all.
    Valid,
    /// So many pixels on each of the four sides.
    Pixels(usize),
}

impl Padding {
    /// Along one axis: the number of window positions and the padding before the first pixel; none where the
    /// window is larger than the padded axis, or a size is zero or out of range.
    pub fn resolve(self, input: usize, size: usize, stride: usize) -> Option<(usize, usize)> {
        if input == 0 || size == 0 || stride == 0 {
            return None;
        }
        let (before, after) = match self {
            Self::Valid => (0, 0),
            Self::Pixels(pixels) => (pixels, pixels),
            Self::Same => {
                let positions = input.div_ceil(stride);
                let covered = (positions - 1).checked_mul(stride)?.checked_add(size)?;
                let total = covered.saturating_sub(input);
                (total / 2, total - total / 2)
            }
        };
        let padded = input.checked_add(before)?.checked_add(after)?;
        let positions = padded.checked_sub(size)? / stride + 1;
        Some((positions, before))
    }
}

/// The geometry of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// One sample's input.
    pub input: Image,
    /// One sample's output.
    pub output: Image,
    /// The kernel.
    pub window: Window,
    /// Input and output channels are divided into so many groups that do not see each other.
    pub groups: usize,
}

impl ConvShape {
    /// Input channels of a group.
    pub fn group_inputs(&self) -> usize {
        self.input.channels / self.groups
    }

    /// Output channels of a group.
    pub fn group_outputs(&self) -> usize {
        self.output.channels / self.groups
    }

    /// Products that make one value of the output: kernel height · kernel width · input channels of a group.
    pub fn depth(&self) -> usize {
        self.window.size[0] * self.window.size[1] * self.group_inputs()
    }

    /// Shape of the weights: `[kernel height, kernel width, input channels of a group, output channels]`.
    pub fn weight_shape(&self) -> Vec<usize> {
        let [height, width] = self.window.size;
        vec![height, width, self.group_inputs(), self.output.channels]
    }
}

/// The geometry of a pooling operation; its window has no padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolShape {
    /// One sample's input.
    pub input: Image,
    /// One sample's output, as many channels.
    pub output: Image,
    /// The pooled rectangle.
    pub window: Window,
}

impl PoolShape {
    /// Pixels of a window.
    pub fn area(&self) -> usize {
        self.window.size[0] * self.window.size[1]
    }
}

/// The geometry of self-attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Positions of a sequence.
    pub positions: usize,
    /// Independent heads.
    pub heads: usize,
    /// Width of one head's queries, keys and values.
    pub head_width: usize,
    /// Whether a position sees itself and earlier ones only.
    pub causal: bool,
}

impl AttentionShape {
    /// Width of all heads together.
    pub fn width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Factor of the queries: `1 / sqrt(head_width)`, rounded once.
    pub fn scale(&self) -> f32 {
        crate::rounding::narrow(1.0 / (self.head_width as f64).sqrt())
    }

    /// How many positions are seen from position `position`: they are `0..seen`.
    pub fn seen(&self, position: usize) -> usize {
        if self.causal {
            position + 1
        } else {
            self.positions
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_along_an_axis() {
        use Padding::{Pixels, Same, Valid};
        let cases = [
            (Same, 28, 3, 1, Some((28, 1))),
            (Same, 28, 2, 1, Some((28, 0))),
            (Same, 7, 3, 2, Some((4, 1))),
            (Same, 8, 3, 2, Some((4, 0))),
            (Same, 5, 1, 3, Some((2, 0))),
            (Same, 2, 5, 1, Some((2, 2))),
            (Valid, 28, 3, 1, Some((26, 0))),
            (Valid, 7, 2, 2, Some((3, 0))),
            (Valid, 2, 3, 1, None),
            (Pixels(1), 2, 3, 1, Some((2, 1))),
            (Pixels(2), 5, 3, 2, Some((4, 2))),
            (Pixels(usize::MAX), 5, 3, 2, None),
            (Valid, 5, 0, 1, None),
            (Valid, 5, 1, 0, None),
        ];
        for (padding, input, size, stride, expected) in cases {
            let got = padding.resolve(input, size, stride);
            assert_eq!(got, expected, "{padding:?} {input} {size} {stride}");
        }
    }
}
