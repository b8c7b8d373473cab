//! The programs as the daemon embeds them, loaded by the test itself.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, Xdp},
};
use netctl_common::config;

#[path = "../../../xtask/src/ebpf.rs"]
mod ebpf;

/// The UDP port that the tests use for VXLAN.
pub(crate) const PORT: u16 = 4789;

/// Loads all programs into the kernel for a host with these tunnel addresses.
pub(crate) fn load(local: [u8; 4], local6: [u8; 16], underlay: u32, vxlan: u32) -> Result<Ebpf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // `target/<profile>/deps/<test>`
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).context("the test is not in a target directory")?;
    let object = ebpf::build(&workspace, target).map_err(|error| anyhow!(error))?;
    let mut ebpf = EbpfLoader::new()
        .override_global(config::UNDERLAY_IFINDEX, &underlay, true)
        .override_global(config::VXLAN_IFINDEX, &vxlan, true)
        .override_global(config::VXLAN_PORT, &PORT, true)
        .override_global(config::LOCAL_VTEP4, &local, true)
        .override_global(config::LOCAL_VTEP6, &local6, true)
        .load_file(object)?;
    for name in [config::FROM_CONTAINER, config::FROM_UNDERLAY, config::FROM_TUNNEL] {
        program(&mut ebpf, name)?.load().with_context(|| format!("loading {name}"))?;
    }
    filter(&mut ebpf)?.load().context("loading the filter")?;
    Ok(ebpf)
}

pub(crate) fn filter(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    let name = config::XDP_UNDERLAY;
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
    Ok(program.try_into()?)
}

pub(crate) fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
    Ok(program.try_into()?)
}
