//! A GPU: how it is found, and what it does for recordings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::LazyLock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
#[cfg(not(target_arch = "wasm32"))]
use std::time::{Duration, Instant};

use tabswarm_model::run_file::Precision;

use super::adapter::{self, AdapterSummary};
use super::error::GpuError;
use super::kernels::Kernel;
use super::known_answer;
use super::recording::product::Shape;
use super::tuning::{self, Clock};

#[cfg(not(target_arch = "wasm32"))]
/// How long an answer is waited for: far longer than any dispatch takes, see `MAX_DISPATCH_FLOPS`.
const PATIENCE_S: u64 = 30;

/// A kernel with the values of its constants.
pub(super) type Variant = (&'static str, Vec<(&'static str, u32)>);

/// An open device.
pub struct GpuDevice {
    summary: AdapterSummary,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    /// Why it can't be used any more.
    fault: Arc<Mutex<Option<GpuError>>>,
    pipelines: Mutex<BTreeMap<Variant, wgpu::ComputePipeline>>,
    clock: Clock,
    /// How products are computed, once that was measured.
    shape: Mutex<Option<Shape>>,
    /// Kernels that gave the known answers.
    tested: Mutex<BTreeSet<Variant>>,
}

impl fmt::Debug for GpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GpuDevice").field(&self.summary).finish()
    }
}

impl GpuDevice {
    /// The best adapter of this machine. `clock` is for measurements.
    ///
    /// # Errors
    /// Where there is none, or it can't be opened.
    pub async fn open(clock: Clock) -> Result<Self, GpuError> {
        let adapter = adapter::best().await?;
        // The limits of WebGPU, but for the sizes of buffers, which are the adapter's.
        let limits = adapter.limits();
        let required_limits = wgpu::Limits {
            max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
            max_buffer_size: limits.max_buffer_size,
            ..wgpu::Limits::defaults()
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tabswarm"),
            required_limits,
            ..wgpu::DeviceDescriptor::default()
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|error| GpuError::NoAdapter {
            reason: error.to_string(),
        })?;
        let fault = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&fault);
        device.set_device_lost_callback(move |_, reason| note(&slot, GpuError::Lost { reason }));
        let slot = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error| note(&slot, described(&error))));
        Ok(Self {
            summary: AdapterSummary::of(&adapter),
            device,
            queue,
            fault,
            clock,
            shape: Mutex::default(),
            pipelines: Mutex::default(),
            tested: Mutex::default(),
        })
    }

    /// What it is.
    pub fn summary(&self) -> &AdapterSummary {
        &self.summary
    }

    /// The first thing that went wrong, if any did.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        match &*lock(&self.fault) {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    /// How products are computed.
    pub(super) async fn shape(&self) -> Result<Shape, GpuError> {
        let known = *lock(&self.shape);
        if let Some(known) = known {
            return Ok(known);
        }
        let shape = tuning::fastest(self, self.clock).await?;
        *lock(&self.shape) = Some(shape);
        Ok(shape)
    }

    /// Compares kernels with their twins, unless that was done.
    pub(super) async fn test_kernels(
        &self,
        variants: &BTreeSet<Variant>,
        precision: Precision,
    ) -> Result<(), GpuError> {
        let due: BTreeSet<Variant> = variants.difference(&lock(&self.tested)).cloned().collect();
        if due.is_empty() {
            return Ok(());
        }
        let passed = known_answer::test(self, &due, (self.shape().await?, precision)).await?;
        lock(&self.tested).extend(passed);
        Ok(())
    }

    /// The pipeline of a kernel's variant, made only once.
    pub(super) async fn pipeline(
        &self,
        kernel: &Kernel,
        constants: &[(&'static str, u32)],
    ) -> Result<wgpu::ComputePipeline, GpuError> {
        let variant = (kernel.name, constants.to_vec());
        let known = lock(&self.pipelines).get(&variant).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let wgsl = kernel.wgsl();
        let pipeline = self.compile(kernel.name, &wgsl, constants).await?;
        lock(&self.pipelines).insert(variant, pipeline.clone());
        Ok(pipeline)
    }

    /// Makes a pipeline; whatever the driver has against it is an error.
    pub(super) async fn compile(
        &self,
        kernel: &'static str,
        wgsl: &str,
        constants: &[(&'static str, u32)],
    ) -> Result<wgpu::ComputePipeline, GpuError> {
        let constants: Vec<(&str, f64)> = constants
            .iter()
            .map(|(name, value)| (*name, f64::from(*value)))
            .collect();
        self.scoped(kernel, || {
            let module = self
                .device
                .create_shader_module(wgpu::ShaderModuleDescriptor {
                    label: Some(kernel),
                    source: wgpu::ShaderSource::Wgsl(wgsl.into()),
                });
            let descriptor = wgpu::ComputePipelineDescriptor {
                label: Some(kernel),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    ..wgpu::PipelineCompilationOptions::default()
                },
                cache: None,
            };
            self.device.create_compute_pipeline(&descriptor)
        })
        .await
    }

    /// Makes something within error scopes.
    pub(super) async fn scoped<T>(
        &self,
        kernel: &'static str,
        make: impl FnOnce() -> T,
    ) -> Result<T, GpuError> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = make();
        // From the inside out.
        let errors = [
            validation.pop().await,
            internal.pop().await,
            memory.pop().await,
        ];
        self.check()?;
        match errors.into_iter().flatten().next() {
            None => Ok(made),
            Some(wgpu::Error::OutOfMemory { .. }) => Err(GpuError::OutOfMemory),
            Some(error) => Err(GpuError::Pipeline {
                kernel,
                message: error.to_string(),
            }),
        }
    }

    /// A zeroed buffer.
    pub(super) async fn buffer(&self, values: usize) -> Result<wgpu::Buffer, GpuError> {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        self.scoped("buffer", || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: byte_size(values.max(4)),
                usage,
                mapped_at_creation: false,
            })
        })
        .await
    }

    /// A buffer that the CPU can read.
    pub(super) async fn staging(&self, values: usize) -> Result<wgpu::Buffer, GpuError> {
        self.scoped("staging", || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: byte_size(values.max(4)),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
        .await
    }

    /// Waits until everything that was submitted is done.
    #[cfg(not(target_arch = "wasm32"))]
    fn wait(&self) -> Result<(), GpuError> {
        let polled = self.device.poll(wgpu::PollType::Wait {
            submission_index: None,
            timeout: Some(Duration::from_secs(PATIENCE_S)),
        });
        self.check()?;
        match polled {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => Err(GpuError::Hung {
                seconds: PATIENCE_S,
            }),
            Err(error) => Err(GpuError::Lost {
                reason: error.to_string(),
            }),
        }
    }

    /// In a browser nothing can wait here: the answer comes by itself, and whoever asks bounds the time.
    #[cfg(target_arch = "wasm32")]
    fn wait(&self) -> Result<(), GpuError> {
        self.check()
    }

    /// The first values of buffers, one after the other in `staging`; waits for all that was submitted.
    pub(super) async fn read(
        &self,
        staging: &wgpu::Buffer,
        from: &[(&wgpu::Buffer, usize)],
    ) -> Result<Vec<f32>, GpuError> {
        self.check()?;
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut at = 0;
        for (buffer, values) in from {
            encoder.copy_buffer_to_buffer(
                buffer,
                0,
                staging,
                byte_size(at),
                Some(byte_size(*values)),
            );
            at += values;
        }
        self.queue.submit([encoder.finish()]);
        let answer = Answer::default();
        let slot = Answer::clone(&answer);
        staging.map_async(wgpu::MapMode::Read, ..byte_size(at), move |result| {
            slot.give(result);
        });
        self.wait()?;
        let lost = |reason: String| GpuError::Lost { reason };
        if let Err(error) = answer.await {
            self.check()?;
            return Err(lost(error.to_string()));
        }
        let view = staging.get_mapped_range(..byte_size(at));
        let view = view.map_err(|error| lost(error.to_string()))?;
        let values = view
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        drop(view);
        staging.unmap();
        Ok(values)
    }
}

/// What a mapping came to, once it is known.
#[derive(Debug, Clone, Default)]
struct Answer(Arc<Mutex<(Option<Mapped>, Option<Waker>)>>);

type Mapped = Result<(), wgpu::BufferAsyncError>;

impl Answer {
    fn give(&self, mapped: Mapped) {
        let mut state = lock(&self.0);
        state.0 = Some(mapped);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }
}

impl Future for Answer {
    type Output = Mapped;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Mapped> {
        let mut state = lock(&self.0);
        if let Some(mapped) = state.0.take() {
            return Poll::Ready(mapped);
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Bytes of so many values.
pub(super) fn byte_size(values: usize) -> u64 {
    4 * values as u64
}

fn note(slot: &Mutex<Option<GpuError>>, error: GpuError) {
    // The first one is the cause.
    lock(slot).get_or_insert(error);
}

fn described(error: &wgpu::Error) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory,
        error => GpuError::Lost {
            reason: error.to_string(),
        },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clock of programs.
#[cfg(not(target_arch = "wasm32"))]
pub fn clock() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
}

/// Natively futures of the graphics interface are ready at once, or after a few turns.
#[cfg(not(target_arch = "wasm32"))]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}
