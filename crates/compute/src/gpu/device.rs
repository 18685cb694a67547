//! A GPU: how it is found, and what it does for recordings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::error::GpuError;
use super::kernels::Kernel;
use super::known_answer;

/// How long an answer is waited for: far longer than any dispatch takes, see `MAX_DISPATCH_FLOPS`.
const PATIENCE_S: u64 = 30;

/// What an adapter is, for people and for choosing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSummary {
    /// As the driver says.
    pub name: String,
    /// Name and version of the driver.
    pub driver: String,
    /// The interface, such as `vulkan`.
    pub interface: String,
    /// Whether a CPU does the work.
    pub is_software: bool,
    /// Whether it computes in half precision.
    pub has_f16: bool,
    /// Whether neighboring invocations may exchange values.
    pub has_subgroups: bool,
    /// Bytes of the largest buffer that a kernel may use.
    pub max_binding_bytes: u64,
    /// Bytes that the invocations of a workgroup may share.
    pub max_workgroup_bytes: u32,
    /// Invocations of a workgroup, at most.
    pub max_invocations: u32,
}

impl AdapterSummary {
    fn of(adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        Self {
            name: info.name,
            driver: format!("{} {}", info.driver, info.driver_info),
            interface: info.backend.to_string(),
            is_software: info.device_type == wgpu::DeviceType::Cpu,
            has_f16: features.contains(wgpu::Features::SHADER_F16),
            has_subgroups: features.contains(wgpu::Features::SUBGROUP),
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
        }
    }
}

/// All adapters of this machine, real ones first.
pub fn adapters() -> Vec<AdapterSummary> {
    found().1.iter().map(AdapterSummary::of).collect()
}

fn found() -> (wgpu::Instance, Vec<wgpu::Adapter>) {
    let descriptor = wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => 2,
        wgpu::DeviceType::Cpu => 3,
    });
    (instance, adapters)
}

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
    /// Kernels that gave the known answers.
    tested: Mutex<BTreeSet<Variant>>,
}

impl fmt::Debug for GpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GpuDevice").field(&self.summary).finish()
    }
}

impl GpuDevice {
    /// The best adapter of this machine.
    ///
    /// # Errors
    /// Where there is none, or it can't be opened.
    pub fn open() -> Result<Self, GpuError> {
        let (_instance, adapters) = found();
        let adapter = adapters.first().ok_or_else(|| GpuError::NoAdapter {
            reason:
                "Vulkan shows no adapter (on Debian the package mesa-vulkan-drivers brings one)"
                    .to_owned(),
        })?;
        Self::open_adapter(adapter)
    }

    fn open_adapter(adapter: &wgpu::Adapter) -> Result<Self, GpuError> {
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
        let opened = block_on(adapter.request_device(&descriptor));
        let (device, queue) = opened.map_err(|error| GpuError::NoAdapter {
            reason: error.to_string(),
        })?;
        let fault = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&fault);
        device.set_device_lost_callback(move |_, reason| note(&slot, GpuError::Lost { reason }));
        let slot = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error| note(&slot, described(&error))));
        Ok(Self {
            summary: AdapterSummary::of(adapter),
            device,
            queue,
            fault,
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

    /// Compares kernels with their twins, unless that was done.
    pub(super) fn test_kernels(&self, variants: &BTreeSet<Variant>) -> Result<(), GpuError> {
        let due: BTreeSet<Variant> = variants.difference(&lock(&self.tested)).cloned().collect();
        let passed = known_answer::test(self, &due)?;
        lock(&self.tested).extend(passed);
        Ok(())
    }

    /// The pipeline of a kernel's variant, made only once.
    pub(super) fn pipeline(
        &self,
        kernel: &Kernel,
        constants: &[(&'static str, u32)],
    ) -> Result<wgpu::ComputePipeline, GpuError> {
        let variant = (kernel.name, constants.to_vec());
        if let Some(known) = lock(&self.pipelines).get(&variant) {
            return Ok(known.clone());
        }
        let pipeline = self.compile(kernel.name, &kernel.wgsl(), constants)?;
        lock(&self.pipelines).insert(variant, pipeline.clone());
        Ok(pipeline)
    }

    /// Makes a pipeline; whatever the driver has against it is an error.
    pub(super) fn compile(
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
    }

    /// Makes something within error scopes.
    pub(super) fn scoped<T>(
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
            block_on(validation.pop()),
            block_on(internal.pop()),
            block_on(memory.pop()),
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
    pub(super) fn buffer(&self, values: usize) -> Result<wgpu::Buffer, GpuError> {
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
    }

    /// A buffer that the CPU can read.
    pub(super) fn staging(&self, values: usize) -> Result<wgpu::Buffer, GpuError> {
        self.scoped("staging", || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: byte_size(values.max(4)),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    }

    /// Waits until everything that was submitted is done.
    pub(super) fn wait(&self) -> Result<(), GpuError> {
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

    /// The first values of buffers, one after the other in `staging`; waits for all that was submitted.
    pub(super) fn read(
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
        let answer = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&answer);
        staging.map_async(wgpu::MapMode::Read, ..byte_size(at), move |result| {
            *lock(&slot) = Some(result);
        });
        self.wait()?;
        let lost = |reason: String| GpuError::Lost { reason };
        match lock(&answer).take() {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(lost(error.to_string())),
            None => {
                return Err(GpuError::Hung {
                    seconds: PATIENCE_S,
                });
            }
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

/// Native futures of the graphics interface are ready at once, or after a few turns.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}
