//! Update codecs: how tensors lie in a message's tensor part.

pub mod exact;
pub mod f32;
