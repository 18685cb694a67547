//! An image within a border of zeros, so that every window lies inside.

use tabswarm_model::graph::shape::Image;

use crate::cpu::aligned::AlignedBuffer;

/// Room for one sample's image within its border, or none where the image itself will do.
#[derive(Debug)]
pub(super) struct Frame {
    image: Image,
    /// Rows of zeros above and columns of zeros to the left.
    border: [usize; 2],
    /// Height and width with the border; may also cut off what no window covers.
    size: [usize; 2],
    /// Its border stays zero, only the inside is written. None: the image is used as it is.
    storage: Option<AlignedBuffer>,
}

impl Frame {
    /// A frame of `size` pixels (height, width) whose upper left corner is `border` above and left of the image's.
    pub(super) fn new(image: Image, border: [usize; 2], size: [usize; 2]) -> Self {
        let is_inside = size[0] <= image.height && size[1] <= image.width;
        if border == [0, 0] && is_inside {
            return Self {
                image,
                border,
                size: [image.height, image.width],
                storage: None,
            };
        }
        let values = size[0] * size[1] * image.channels;
        Self {
            image,
            border,
            size,
            storage: Some(AlignedBuffer::new(values)),
        }
    }

    /// The place of a pixel's first value within the frame.
    pub(super) fn place(&self, row: usize, column: usize) -> usize {
        (row * self.size[1] + column) * self.image.channels
    }

    /// The image within its border.
    pub(super) fn fill<'a>(&'a mut self, image: &'a [f32]) -> &'a [f32] {
        let Some(storage) = &mut self.storage else {
            return image;
        };
        let [top, left] = self.border;
        let channels = self.image.channels;
        let width = self.image.width.min(self.size[1].saturating_sub(left)) * channels;
        let from = image.chunks_exact(self.image.width * channels);
        let to = storage.chunks_exact_mut(self.size[1] * channels).skip(top);
        for (to, from) in to.zip(from) {
            if width > 0 {
                to[left * channels..][..width].copy_from_slice(&from[..width]);
            }
        }
        storage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Image = Image {
        height: 2,
        width: 3,
        channels: 2,
    };

    fn values(first: u8) -> Vec<f32> {
        (first..first + 12).map(f32::from).collect()
    }

    #[test]
    fn the_border_stays_zero() {
        let mut frame = Frame::new(IMAGE, [1, 2], [4, 6]);
        for first in [1, 101] {
            let image = values(first);
            let place = frame.place(1, 2);
            let got = frame.fill(&image).to_vec();
            assert_eq!(got[place..place + 6], image[..6]);
            assert_eq!(got[place + 12..place + 18], image[6..]);
            let is_border = |at: &usize| {
                !(place..place + 6).contains(at) && !(place + 12..place + 18).contains(at)
            };
            assert!((0..48).filter(is_border).all(|at| got[at] == 0.0));
        }
    }

    #[test]
    fn what_no_window_covers_is_cut_off() {
        let mut frame = Frame::new(IMAGE, [1, 0], [2, 2]);
        assert_eq!(
            frame.fill(&values(1)),
            [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0]
        );
        let mut inside = Frame::new(IMAGE, [0, 0], [1, 3]);
        assert_eq!(inside.fill(&values(1)), values(1));
        assert_eq!(inside.place(1, 1), 8);
    }

    #[test]
    fn a_border_may_hide_the_image() {
        let mut frame = Frame::new(IMAGE, [5, 5], [1, 1]);
        assert_eq!(frame.fill(&values(1)), [0.0, 0.0]);
    }
}
