// Counts of a micro-batch: values of the gradient that nobody wrote, that are not finite, and that are not zero;
// values of the forward and of the backward pass that half precision can't hold.

const COUNTS: u32 = 5;
