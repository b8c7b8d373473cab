//! The XDP program on the underlay device, where it is wanted and the driver runs it itself.
//!
//! A program that the kernel runs in the driver's stead (generic XDP) would cost more than it saves, so it is never
//! used.

use std::path::{Path, PathBuf};

use aya::{
    Ebpf,
    programs::{
        ProgramError, Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        xdp::XdpLinkId,
    },
};
use netctl_common::config::XDP_UNDERLAY;

use super::{Error, bpffs, bpffs::Pins, links};
use crate::crash;

/// What its pins' names begin with.
const PREFIX: &str = "filter-";

/// Makes the device run the program, or no device if `wanted` is false. What comes back is why it does not run though it
/// is wanted.
pub(super) fn settle(
    ebpf: &mut Ebpf,
    pins: &Pins,
    ifindex: u32,
    wanted: bool,
) -> Result<Option<String>, Error> {
    let own = pin(pins, ifindex);
    for path in bpffs::entries(&pins.links())? {
        if is_filter(&path) && (path != own || !wanted) {
            remove(&path)?;
        }
    }
    if !wanted {
        return Ok(None);
    }
    let absent = Error::Incomplete { what: "program", name: XDP_UNDERLAY };
    let program: &mut Xdp =
        ebpf.program_mut(XDP_UNDERLAY).and_then(|program| program.try_into().ok()).ok_or(absent)?;
    if program.fd().is_err() {
        let refused = |error| Error::Load { program: XDP_UNDERLAY, reason: links::words(&error) };
        program.load().map_err(refused)?;
    }
    if own.exists() {
        if swap(program, &own).is_ok() {
            return Ok(None);
        }
        // Its device is gone, and the index is another's.
        remove(&own)?;
    }
    Ok(attach(program, ifindex, &own).err().map(|error| links::words(&error)))
}

/// Whether there is a pin for this device, with which its program goes.
pub(super) fn is_pinned(pins: &Pins, ifindex: u32) -> bool {
    pin(pins, ifindex).exists()
}

fn pin(pins: &Pins, ifindex: u32) -> PathBuf {
    pins.links().join(format!("{PREFIX}{ifindex}"))
}

/// Takes the links over that other versions pinned: a device runs one such program at a time, so a second one could
/// only follow after a gap. [`settle`] has them run ours, or removes them.
pub(super) fn inherit(pins: &Pins) -> Result<(), Error> {
    for version in pins.other_versions()? {
        let links = version.join("links");
        let found = if links.exists() { bpffs::entries(&links)? } else { Vec::new() };
        for path in found.iter().filter(|path| is_filter(path)) {
            let own = pins.links().join(path.file_name().unwrap_or_default());
            crash::step("before a link is taken over");
            std::fs::rename(path, &own).map_err(|source| bpffs::failed("move", path, source))?;
        }
    }
    Ok(())
}

/// Whether it is the pin of such a link, by its name.
fn is_filter(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX))
}

fn attach(program: &mut Xdp, ifindex: u32, path: &Path) -> Result<(), ProgramError> {
    let id = program.attach_to_if_index(ifindex, XdpMode::Driver)?;
    release(program, id)?
        .pin(path)
        .map(drop)
        .map_err(|error| ProgramError::IOError(std::io::Error::other(error)))
}

/// Lets the link that is pinned at `path` run `program` from now on.
fn swap(program: &mut Xdp, path: &Path) -> Result<(), ProgramError> {
    let link = FdLink::from(PinnedLink::from_pin(path).map_err(links::link_error)?);
    let id = program.attach_to_link(link.try_into().map_err(links::link_error)?)?;
    release(program, id).map(drop)
}

/// Takes a link from the program, which would detach it when dropped; its pin holds it.
fn release(program: &mut Xdp, id: XdpLinkId) -> Result<FdLink, ProgramError> {
    FdLink::try_from(program.take_link(id)?).map_err(links::link_error)
}

fn remove(path: &Path) -> Result<(), Error> {
    std::fs::remove_file(path).map_err(|source| bpffs::failed("remove", path, source))
}
