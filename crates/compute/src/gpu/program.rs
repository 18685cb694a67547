//! A recording on a device: pipelines and bindings, made once and replayed.

use std::collections::BTreeMap;

use super::device::{GpuDevice, byte_size};
use super::error::GpuError;
use super::recording::Dispatch;
use super::recording::places::Slot;

/// Uniform buffers begin at multiples of so many bytes.
const UNIFORM_ALIGNMENT: u64 = 256;
/// Operations of dispatches that are handed over together: see `MAX_DISPATCH_FLOPS`.
const SUBMISSION_FLOPS: u64 = 1 << 30;

/// The device buffers of a model.
#[derive(Debug)]
pub(super) struct Memory {
    buffers: BTreeMap<Slot, (wgpu::Buffer, usize)>,
}

impl Memory {
    /// Buffers of these sizes.
    pub(super) async fn new(
        device: &GpuDevice,
        sizes: &BTreeMap<Slot, usize>,
    ) -> Result<Self, GpuError> {
        let limit = device.summary().max_binding_bytes;
        for (slot, values) in sizes {
            let needs = byte_size(*values);
            if needs > limit {
                let what = format!("the buffer {slot:?}");
                return Err(GpuError::Unfit { what, needs, limit });
            }
        }
        let mut buffers = BTreeMap::new();
        for (slot, values) in sizes {
            buffers.insert(*slot, (device.buffer(*values).await?, *values));
        }
        Ok(Self { buffers })
    }

    /// A buffer and how many values it has.
    pub(super) fn at(&self, slot: Slot) -> (&wgpu::Buffer, usize) {
        let (buffer, values) = &self.buffers[&slot];
        (buffer, *values)
    }

    /// Overwrites the first values of a buffer.
    pub(super) fn write(&self, device: &GpuDevice, slot: Slot, values: &[f32]) {
        device
            .queue
            .write_buffer(self.at(slot).0, 0, bytemuck::cast_slice(values));
    }
}

#[derive(Debug)]
struct Step {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    workgroups: [u32; 3],
    flops: u64,
}

/// Dispatches, ready to be replayed.
#[derive(Debug)]
pub(super) struct Program {
    steps: Vec<Step>,
}

impl Program {
    pub(super) async fn new(
        device: &GpuDevice,
        memory: &Memory,
        dispatches: &[Dispatch],
    ) -> Result<Self, GpuError> {
        let words: Vec<Vec<u32>> = dispatches.iter().map(|d| d.call.words()).collect();
        let uniforms = device.scoped("uniforms", || {
            device.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("parameters of kernels"),
                size: UNIFORM_ALIGNMENT * words.len().max(1) as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        let uniforms = uniforms.await?;
        let mut steps = Vec::with_capacity(words.len());
        let offsets = (0..).map(|idx| UNIFORM_ALIGNMENT * idx);
        for ((dispatch, words), offset) in dispatches.iter().zip(words).zip(offsets) {
            device
                .queue
                .write_buffer(&uniforms, offset, bytemuck::cast_slice(&words));
            let place = (&uniforms, offset, byte_size(words.len()));
            steps.push(step(device, memory, dispatch, place).await?);
        }
        Ok(Self { steps })
    }

    /// Hands all steps over, a bounded amount of work at a time.
    pub(super) fn submit(&self, device: &GpuDevice) {
        let mut rest = &self.steps[..];
        while !rest.is_empty() {
            let mut flops = 0;
            let fits = rest.iter().take_while(|step| {
                let is_first = flops == 0;
                flops += step.flops.max(1);
                is_first || flops <= SUBMISSION_FLOPS
            });
            let (part, later) = rest.split_at(fits.count());
            rest = later;
            let mut encoder = device
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                for step in part {
                    pass.set_pipeline(&step.pipeline);
                    pass.set_bind_group(0, &step.bindings, &[]);
                    let [x, y, z] = step.workgroups;
                    pass.dispatch_workgroups(x, y, z);
                }
            }
            device.queue.submit([encoder.finish()]);
        }
    }
}

async fn step(
    device: &GpuDevice,
    memory: &Memory,
    dispatch: &Dispatch,
    (uniforms, offset, bytes): (&wgpu::Buffer, u64, u64),
) -> Result<Step, GpuError> {
    let kernel = dispatch.call.kernel();
    let pipeline = device.pipeline(kernel, &dispatch.constants).await?;
    let bindings = device.scoped(kernel.name, || {
        let parameters = wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: uniforms,
                offset,
                size: wgpu::BufferSize::new(bytes),
            }),
        };
        let buffers = dispatch
            .slots
            .iter()
            .zip(1..)
            .map(|(slot, binding)| wgpu::BindGroupEntry {
                binding,
                resource: memory.at(*slot).0.as_entire_binding(),
            });
        let entries: Vec<_> = std::iter::once(parameters).chain(buffers).collect();
        device.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(kernel.name),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    });
    let bindings = bindings.await?;
    Ok(Step {
        pipeline,
        bindings,
        workgroups: dispatch.workgroups,
        flops: dispatch.flops,
    })
}
