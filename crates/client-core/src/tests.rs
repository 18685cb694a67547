//! Tables of inputs and effects.
