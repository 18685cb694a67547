//! Following an engine through a gradient, for those who want to know where the time goes.

/// A part of what [`Engine::gradient`](super::Engine::gradient) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Looking at the batch before anything is computed with it.
    CheckBatch,
    /// The operation of this index in [`Graph::forward`](tabswarm_model::Graph::forward).
    Forward(usize),
    /// The loss and its gradient.
    Loss,
    /// The operation of this index in [`Graph::backward`](tabswarm_model::Graph::backward).
    Backward(usize),
    /// Looking whether all of the gradient is finite.
    CheckGradient,
}

/// Is told what an engine has done. The engine itself has no clock.
pub trait Observer {
    /// A stage has ended. It began when the one before ended, or when the engine was called. Large batches go
    /// through the operations in several groups, and then a stage other than the checks comes again.
    fn finished(&mut self, stage: Stage);
}

/// Nobody looks; the compiler leaves the calls out.
impl Observer for () {
    #[inline(always)]
    fn finished(&mut self, _: Stage) {}
}
