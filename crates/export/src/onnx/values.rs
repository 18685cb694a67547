//! Names and shapes of the values between operators.

use tabswarm_model::graph::shape::Image;

/// What a buffer of the graph is in the model: one value, in one or both of two orders.
#[derive(Debug, Clone, Default)]
pub(super) struct Value {
    /// In our order: its name, and its shape without the axis of samples.
    pub(super) plain: Option<(String, Vec<usize>)>,
    /// An image with its channels first.
    pub(super) channels_first: Option<(String, Image)>,
}

impl Value {
    /// In our order.
    pub(super) fn plain(name: String, shape: Vec<usize>) -> Self {
        Self {
            plain: Some((name, shape)),
            channels_first: None,
        }
    }

    /// With the channels first.
    pub(super) fn channels_first(name: String, image: Image) -> Self {
        Self {
            plain: None,
            channels_first: Some((name, image)),
        }
    }
}

/// Shape of a sample that is `rows` rows; a single one has no axis.
pub(super) fn row_shape(rows: usize, width: usize) -> Vec<usize> {
    if rows == 1 {
        vec![width]
    } else {
        vec![rows, width]
    }
}

/// Shape of an image in our order.
pub(super) fn image_shape(image: Image) -> Vec<usize> {
    vec![image.height, image.width, image.channels]
}
