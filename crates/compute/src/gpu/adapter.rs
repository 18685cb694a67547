//! Which GPUs there are.

use super::error::GpuError;

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
    pub(super) fn of(adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let is_software = info.device_type == wgpu::DeviceType::Cpu;
        let unnamed = if is_software {
            "a software adapter"
        } else {
            "an adapter"
        };
        Self {
            // Browsers may keep it to themselves.
            name: if info.name.is_empty() {
                unnamed.to_owned()
            } else {
                info.name
            },
            driver: format!("{} {}", info.driver, info.driver_info),
            interface: info.backend.to_string(),
            is_software,
            has_f16: features.contains(wgpu::Features::SHADER_F16),
            has_subgroups: features.contains(wgpu::Features::SUBGROUP),
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
        }
    }
}

/// All adapters of this machine, real ones first.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters() -> Vec<AdapterSummary> {
    let (_instance, adapters) = super::device::block_on(found());
    adapters.iter().map(AdapterSummary::of).collect()
}

#[cfg(not(target_arch = "wasm32"))]
async fn found() -> (wgpu::Instance, Vec<wgpu::Adapter>) {
    let descriptor = wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::VULKAN).await;
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => 2,
        wgpu::DeviceType::Cpu => 3,
    });
    (instance, adapters)
}

/// The best adapter of this machine.
#[cfg(not(target_arch = "wasm32"))]
pub(super) async fn best() -> Result<wgpu::Adapter, GpuError> {
    let (_instance, adapters) = found().await;
    adapters
        .into_iter()
        .next()
        .ok_or_else(|| GpuError::NoAdapter {
            reason:
                "Vulkan shows no adapter (on Debian the package mesa-vulkan-drivers brings one)"
                    .to_owned(),
        })
}

/// The adapter that the browser offers for heavy work.
#[cfg(target_arch = "wasm32")]
pub(super) async fn best() -> Result<wgpu::Adapter, GpuError> {
    let descriptor = wgpu::InstanceDescriptor {
        backends: wgpu::Backends::BROWSER_WEBGPU,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    let found = wgpu::Instance::new(descriptor).request_adapter(&options);
    found.await.map_err(|error| GpuError::NoAdapter {
        reason: error.to_string(),
    })
}
