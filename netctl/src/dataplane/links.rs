//! Which device runs which program: TCX links, pinned under the index of their device.
//!
//! A link belongs to one device for all its life. A pin's name holds that device's index, so what is attached where
//! can be told from the names alone; a link whose device is gone says so when it is updated (`ENOLINK`, `tcx_link_update`
//! in `kernel/bpf/tcx.c`), and an index that now belongs to another device is told by that device's own programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use aya::{
    Ebpf,
    pin::PinError,
    programs::{
        LinkOrder, ProgramError, ProgramInfo, SchedClassifier, TcAttachType,
        links::{FdLink, LinkError, PinnedLink},
        tc::{SchedClassifierLinkId, TcAttachOptions, TcError},
    },
};
use netctl_common::config::{FROM_CONTAINER, FROM_TUNNEL, FROM_UNDERLAY};
use nix::{errno::Errno, net::if_::if_nametoindex};
use tracing::{debug, info};

use super::{Error, bpffs, bpffs::Pins};
use crate::crash;

/// Longer than a tick of the clock that files have their times from.
const TICK: Duration = Duration::from_millis(100);
/// How long a program may still run after its pin is gone: the kernel frees a pin's inode, and with it the link, when
/// no processor can be looking at it any more (`bpf_free_inode` in `kernel/bpf/inode.c`).
const DETACHING: Duration = Duration::from_secs(5);

/// What a device is to the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The host's side of an endpoint.
    Port,
    /// The way to the other hosts.
    Underlay,
    /// The kernel's flow-based vxlan device.
    Tunnel,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Port, Self::Underlay, Self::Tunnel];

    /// The program that its device runs on what it receives.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Port => FROM_CONTAINER,
            Self::Underlay => FROM_UNDERLAY,
            Self::Tunnel => FROM_TUNNEL,
        }
    }

    /// What its pins' names begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Port => "port-",
            Self::Underlay => "underlay-",
            Self::Tunnel => "tunnel-",
        }
    }
}

/// What [`Links::ensure`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ensured {
    /// The device runs the program already.
    Held,
    /// It does since now.
    Attached,
    /// It runs the program of another version, which keeps it for now.
    Left,
    /// There is no such device.
    Absent,
}

/// The links below one directory of pins.
pub(super) struct Links {
    dir: PathBuf,
    /// The programs that versions with another layout left attached: ours run before them until those are removed.
    older: Vec<u32>,
    /// Those that are ours, which outlive their pins so: whoever removes a pin takes no program from its device.
    own: BTreeMap<(Role, u32), FdLink>,
    /// Those that went because they could not be pinned again.
    pub(super) lost: BTreeSet<(Role, u32)>,
    /// As of when the pins were last found to be all there, where that says that they are.
    looked: Option<SystemTime>,
    /// Devices that those programs serve are left to them: our maps do not hold yet what theirs do.
    pub(super) yielding: bool,
}

impl Links {
    pub(super) fn new(pins: &Pins) -> Result<Self, Error> {
        let mut older = Vec::new();
        for version in pins.other_versions()? {
            let links = version.join("links");
            let links = if links.exists() { bpffs::entries(&links)? } else { Vec::new() };
            older.extend(links.into_iter().filter_map(program_of));
        }
        Ok(Self {
            dir: pins.links(),
            own: BTreeMap::new(),
            lost: BTreeSet::new(),
            looked: None,
            yielding: !older.is_empty(),
            older,
        })
    }

    fn path(&self, role: Role, ifindex: u32) -> PathBuf {
        self.dir.join(format!("{}{ifindex}", role.prefix()))
    }

    /// The devices that have a link in this role, by index, as the pins say.
    pub(super) fn held(&self, role: Role) -> Result<Vec<u32>, Error> {
        let index =
            |path: PathBuf| path.file_name()?.to_str()?.strip_prefix(role.prefix())?.parse().ok();
        Ok(bpffs::entries(&self.dir)?.into_iter().filter_map(index).collect())
    }

    /// Gives every link that is pinned the programs of `ebpf`, each in one step that no packet notices, and removes
    /// those whose device is gone.
    pub(super) fn adopt(&mut self, ebpf: &mut Ebpf) -> Result<(), Error> {
        for role in Role::ALL {
            for ifindex in self.held(role)? {
                let path = self.path(role, ifindex);
                match swap(program(ebpf, role)?, &path) {
                    Ok(link) => {
                        debug!(ifindex, program = role.program(), "adopted a link");
                        self.own.insert((role, ifindex), link);
                    }
                    Err(error) if errno(&error) == Some(Errno::ENOLINK) => {
                        self.remove(role, ifindex)?;
                    }
                    Err(error) => {
                        let ifname = format!("device {ifindex}");
                        return Err(Error::Attach {
                            program: role.program(),
                            ifname,
                            reason: words(&error),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes the device `ifname`, which has the index `ifindex`, run the program of its role, once, unless it is left to
    /// another version's.
    pub(super) fn ensure(
        &mut self,
        ebpf: &mut Ebpf,
        role: Role,
        ifindex: u32,
        ifname: &str,
    ) -> Result<Ensured, Error> {
        if if_nametoindex(ifname) != Ok(ifindex) {
            return Ok(Ensured::Absent);
        }
        let program = program(ebpf, role)?;
        let own = program.info().map_err(|error| refused(role, ifname, &error))?.id();
        let path = self.path(role, ifindex);
        let pinned = path.exists();
        // One whose pin somebody has removed is pinned again in its time.
        let held = pinned || self.own.contains_key(&(role, ifindex));
        let running = match programs(ifname) {
            Ok(found) => found,
            Err(error) => return absent_or(refused(role, ifname, &error), &error),
        };
        if held && running.iter().any(|other| other.id() == own) {
            return Ok(Ensured::Held);
        }
        if pinned {
            info!(ifindex, ifname, "replacing a link whose device is gone");
            self.remove(role, ifindex)?;
        }
        if self.yielding && running.iter().any(|other| self.older.contains(&other.id())) {
            return Ok(Ensured::Left);
        }
        self.refuse_foreign(role, ifname, running)?;
        match attach(program, ifname, &path) {
            Ok(link) => {
                self.lost.remove(&(role, ifindex));
                self.own.insert((role, ifindex), link);
                Ok(Ensured::Attached)
            }
            Err(error) => absent_or(refused(role, ifname, &error), &error),
        }
    }

    /// Refuses a device that runs the program of another data plane: no packet must go through it twice.
    fn refuse_foreign(
        &self,
        role: Role,
        ifname: &str,
        mut running: Vec<ProgramInfo>,
    ) -> Result<(), Error> {
        let foreign = |other: &&ProgramInfo| {
            other.name_as_str() == Some(role.program()) && !self.older.contains(&other.id())
        };
        let end = Instant::now() + DETACHING;
        loop {
            let Some(id) = running.iter().find(foreign).map(ProgramInfo::id) else { return Ok(()) };
            if Instant::now() > end {
                let ifname = ifname.to_owned();
                return Err(Error::Foreign { ifname, program: role.program(), id });
            }
            sleep(DETACHING / 200);
            running = programs(ifname).map_err(|error| refused(role, ifname, &error))?;
        }
    }

    /// Detaches what is attached to the device of this index; it is no error where nothing is.
    pub(super) fn remove(&mut self, role: Role, ifindex: u32) -> Result<(), Error> {
        self.own.remove(&(role, ifindex));
        self.lost.remove(&(role, ifindex));
        let path = self.path(role, ifindex);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(bpffs::failed("remove", &path, source))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Pins again what somebody has taken the pin from; says how many that were. What cannot be pinned is detached, and
    /// to be attached again: see [`Self::lost`].
    pub(super) fn pin_again(&mut self) -> Result<usize, Error> {
        let modified = std::fs::metadata(&self.dir).and_then(|dir| dir.modified());
        let modified = modified.map_err(|source| bpffs::failed("look at", &self.dir, source))?;
        if self.looked == Some(modified) {
            return Ok(0);
        }
        let pinned: BTreeSet<PathBuf> = bpffs::entries(&self.dir)?.into_iter().collect();
        let bare = self
            .own
            .keys()
            .copied()
            .filter(|&(role, index)| !pinned.contains(&self.path(role, index)));
        let bare: Vec<(Role, u32)> = bare.collect();
        let mut failed = None;
        for &(role, ifindex) in &bare {
            let path = self.path(role, ifindex);
            let Some(link) = self.own.remove(&(role, ifindex)) else { continue };
            match link.pin(&path) {
                Ok(pinned) => drop(self.own.insert((role, ifindex), pinned.into())),
                Err(source) => {
                    self.lost.insert((role, ifindex));
                    failed = Some(Error::Pin { path, source });
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        // What is removed in the same tick of the clock leaves the same time behind.
        let is_past = modified.elapsed().is_ok_and(|age| age > TICK);
        self.looked = (bare.is_empty() && is_past).then_some(modified);
        Ok(bare.len())
    }
}

/// The program of a role, out of the object.
pub(super) fn program(ebpf: &mut Ebpf, role: Role) -> Result<&mut SchedClassifier, Error> {
    let missing = Error::Incomplete { what: "program", name: role.program() };
    let program = ebpf.program_mut(role.program()).and_then(|program| program.try_into().ok());
    program.ok_or(missing)
}

/// The programs that a device of this namespace runs on what it receives.
fn programs(ifname: &str) -> Result<Vec<ProgramInfo>, ProgramError> {
    SchedClassifier::query_tcx(ifname, TcAttachType::Ingress).map(|(_revision, programs)| programs)
}

/// The names of them, the first first.
pub(super) fn names_on(ifname: &str) -> Result<Vec<String>, Error> {
    let found = programs(ifname)
        .map_err(|error| Error::Look { ifname: ifname.to_owned(), reason: words(&error) })?;
    let name = |program: ProgramInfo| program.name_as_str().unwrap_or("without a name").to_owned();
    Ok(found.into_iter().map(name).collect())
}

/// Whether a device runs our program of its role, by a link that is not pinned below `root`.
pub(super) fn is_served_by_another(root: &Path, role: Role, ifname: &str) -> Result<bool, Error> {
    let end = Instant::now() + DETACHING;
    loop {
        let known: Vec<u32> = bpffs::all_links(root)?.into_iter().filter_map(program_of).collect();
        let running = programs(ifname)
            .map_err(|error| Error::Look { ifname: ifname.to_owned(), reason: words(&error) })?;
        let ours = |program: &ProgramInfo| program.name_as_str() == Some(role.program());
        if !running.iter().any(|program| ours(program) && !known.contains(&program.id())) {
            return Ok(false);
        }
        // One whose pin was just removed may run on for a moment.
        if Instant::now() > end {
            return Ok(true);
        }
        sleep(DETACHING / 200);
    }
}

/// The program of the link that is pinned at `path`.
fn program_of(path: PathBuf) -> Option<u32> {
    let link = FdLink::from(PinnedLink::from_pin(path).ok()?);
    Some(link.info().ok()?.program_id())
}

/// Attaches before all other programs, and pins the link.
fn attach(
    program: &mut SchedClassifier,
    ifname: &str,
    path: &Path,
) -> Result<FdLink, ProgramError> {
    crash::step("before a link is attached");
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(ifname, TcAttachType::Ingress, options)?;
    let link = release(program, id)?;
    crash::step("before a link is pinned");
    link.pin(path).map(FdLink::from).map_err(|error| match error {
        PinError::SyscallError(error) => error.into(),
        PinError::NoFd { .. } | PinError::InvalidPinPath { .. } => {
            ProgramError::IOError(std::io::Error::other(error))
        }
    })
}

/// Lets the link that is pinned at `path` run `program` from now on.
fn swap(program: &mut SchedClassifier, path: &Path) -> Result<FdLink, ProgramError> {
    crash::step("before a link changes its program");
    let link = FdLink::from(PinnedLink::from_pin(path).map_err(link_error)?);
    let id = program.attach_to_link(link.try_into().map_err(link_error)?)?;
    release(program, id)
}

/// Takes a link from the program, which would detach it when dropped; its pin holds it.
fn release(
    program: &mut SchedClassifier,
    id: SchedClassifierLinkId,
) -> Result<FdLink, ProgramError> {
    FdLink::try_from(program.take_link(id)?).map_err(link_error)
}

pub(super) fn link_error(error: LinkError) -> ProgramError {
    match error {
        LinkError::SyscallError(error) => error.into(),
        LinkError::InvalidLink | LinkError::UnknownLinkType(_) => {
            ProgramError::IOError(std::io::Error::other(error))
        }
    }
}

/// A device that vanished meanwhile is not an error.
fn absent_or(error: Error, cause: &ProgramError) -> Result<Ensured, Error> {
    if errno(cause) == Some(Errno::ENODEV) { Ok(Ensured::Absent) } else { Err(error) }
}

/// What the kernel said, if it was the kernel who refused.
fn errno(error: &ProgramError) -> Option<Errno> {
    let io = if let ProgramError::TcError(TcError::IoError(io)) | ProgramError::IOError(io) = error
    {
        Some(io)
    } else {
        error.source().and_then(|source| source.downcast_ref())
    };
    io.and_then(std::io::Error::raw_os_error).map(Errno::from_raw)
}

/// The error and its causes, in one line.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

/// Names what the kernel lacks where it says so.
fn refused(role: Role, ifname: &str, error: &ProgramError) -> Error {
    match errno(error) {
        // An attach type or a command that the kernel does not know is an invalid argument to bpf(2).
        Some(errno @ Errno::EINVAL) => Error::NoTcx { ifname: ifname.to_owned(), errno },
        _ => Error::Attach {
            program: role.program(),
            ifname: ifname.to_owned(),
            reason: words(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use aya::sys::SyscallError;

    use super::*;

    fn said(errno: Errno) -> ProgramError {
        SyscallError { call: "bpf_mprog_attach", io_error: errno.into() }.into()
    }

    #[test]
    fn what_the_kernel_says_is_understood() {
        for (number, expected) in [
            (
                Errno::EINVAL,
                "this kernel has no TCX, which netctl needs (Linux 6.6 brought it): eth0 refused a program: \
                 EINVAL: Invalid argument",
            ),
            (
                Errno::EPERM,
                "cannot attach from_underlay to eth0: `bpf_mprog_attach` failed: Operation not permitted (os error 1)",
            ),
        ] {
            assert_eq!(refused(Role::Underlay, "eth0", &said(number)).to_string(), expected);
        }
        let gone = ProgramError::TcError(TcError::IoError(Errno::ENODEV.into()));
        for cause in [said(Errno::ENODEV), gone] {
            let ensured = absent_or(refused(Role::Port, "nc0", &cause), &cause);
            assert_eq!(ensured.expect("no error"), Ensured::Absent);
        }
    }
}
