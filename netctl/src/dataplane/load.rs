//! Loading the object that is embedded in this binary.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

use aya::{Ebpf, EbpfLoader, programs::ProgramError};
use netctl_common::config::{
    LOCAL_VTEP4, LOCAL_VTEP6, UNDERLAY_IFINDEX, VXLAN_IFINDEX, VXLAN_PORT,
};

use super::{
    Error,
    bpffs::Pins,
    features::{self, Features},
    layout::{self, Layout},
    links::{self, Role},
};
use crate::model::Vteps;

/// The programs and maps, as `build.rs` built them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netctl-ebpf"));

/// What the programs are told once, when they are loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) underlay: u32,
    pub(super) vxlan: u32,
    pub(super) port: u16,
    pub(super) local: Vteps,
}

/// Loads programs and maps. Maps that are pinned are used as they are; others are made and pinned.
pub(super) fn load(pins: &Pins, settings: Settings) -> Result<(Ebpf, Features), Error> {
    let mut ebpf = object(&pins.maps(), settings, &layout::ALL)?;
    let features = features::probe(&mut ebpf)?;
    for role in Role::ALL {
        take(&mut ebpf, role)?;
    }
    Ok((ebpf, features))
}

/// Loads the program of a role, once more, on the maps that are pinned in the directory `maps`: what it decides is what the
/// attached one would, and what it counts and tells of is its own.
pub(super) fn load_copy(maps: &Path, settings: Settings, role: Role) -> Result<Ebpf, Error> {
    let shared: Vec<&Layout> = layout::deciding().collect();
    // One that is missing would be made, and pinned.
    if let Some(missing) = shared.iter().map(|layout| maps.join(layout.name)).find(|p| !p.exists())
    {
        return Err(Error::NotPinned { path: missing });
    }
    let mut ebpf = object(maps, settings, &shared)?;
    take(&mut ebpf, role)?;
    Ok(ebpf)
}

/// Opens the object with these of its maps as they are pinned in the directory `maps`.
fn object(maps: &Path, settings: Settings, pinned: &[&Layout]) -> Result<Ebpf, Error> {
    layout::check(maps)?;
    let local4 = settings.local.v4().unwrap_or(Ipv4Addr::UNSPECIFIED).octets();
    let local6 = settings.local.v6().unwrap_or(Ipv6Addr::UNSPECIFIED).octets();
    let mut loader = EbpfLoader::new();
    loader
        .default_map_pin_directory(maps)
        .override_global(UNDERLAY_IFINDEX, &settings.underlay, true)
        .override_global(VXLAN_IFINDEX, &settings.vxlan, true)
        .override_global(VXLAN_PORT, &settings.port, true)
        .override_global(LOCAL_VTEP4, &local4, true)
        .override_global(LOCAL_VTEP6, &local6, true);
    for layout in pinned {
        loader.map_pin_path(layout.name, maps.join(layout.name));
    }
    loader.load(OBJECT).map_err(|source| Error::Object { source: Box::new(source) })
}

fn take(ebpf: &mut Ebpf, role: Role) -> Result<(), Error> {
    links::program(ebpf, role)?.load().map_err(|error| refused(role.program(), &error))
}

/// Says which function the kernel lacks, if that is why it refused.
fn refused(program: &'static str, error: &ProgramError) -> Error {
    if let Some(lacks) = features::missing() {
        return lacks;
    }
    let reason = if let ProgramError::LoadError { io_error, verifier_log } = error {
        format!("{io_error}: {}", last_words(&verifier_log.to_string()))
    } else {
        links::words(error)
    };
    Error::Load { program, reason }
}

/// The reason that the verifier gives: its log can be thousands of lines long, and ends with the reason and then with
/// statistics (`print_verification_stats` in `kernel/bpf/verifier.c`).
fn last_words(log: &str) -> &str {
    const STATISTICS: [&str; 3] = ["processed ", "stack depth ", "verification time "];
    let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = |line: &&str| !STATISTICS.iter().any(|start| line.starts_with(start));
    lines.rfind(telling).unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_reason_is_told() {
        let log = "0: R1=ctx()\n1: (b7) r0 = 0\nR2 invalid access\nverification time 5 usec\nstack depth 0\nprocessed 2 insns (limit 1000000)\n\n";
        assert_eq!(last_words(log), "R2 invalid access");
        assert_eq!(last_words(""), "it does not say why");
    }
}
