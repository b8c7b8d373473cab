//! What can go wrong in the data plane, in sentences for the person who runs the host.

use std::{io, path::PathBuf};

use nix::errno::Errno;

use crate::kernel;

/// Why the data plane could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process lacks capabilities, or they cannot be told.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// A device is not there.
    #[error("network interface {name} does not exist: {hint}")]
    NoInterface {
        /// The name it was looked for by.
        name: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The place for pins cannot be had.
    #[error(
        "cannot {what} {path}: {source}; give the daemon another --bpf-dir, or mount a bpf file system there"
    )]
    Bpffs {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What has no pin any more cannot be given one.
    #[error("cannot pin {path}: {source}")]
    Pin {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: aya::pin::PinError,
    },
    /// Another data plane owns the same pins.
    #[error(
        "{path} belongs to another netctl daemon that is running; stop it, or give this one another --bpf-dir"
    )]
    Busy {
        /// The directory of the pins.
        path: PathBuf,
    },
    /// A pinned map is not what this version would make.
    #[error(
        "pinned map {path} has another layout than this netctl's ({found}, expected {expected}); \
         remove it to start with empty maps"
    )]
    Layout {
        /// The pin.
        path: PathBuf,
        /// Type, key size, value size and number of entries of what is pinned.
        found: String,
        /// The same of what this version makes.
        expected: String,
    },
    /// There is no data plane to look at.
    #[error("{path} is not there: the daemon pins it when it starts, so start the daemon")]
    NotPinned {
        /// The pin of a map.
        path: PathBuf,
    },
    /// A program cannot be tried out.
    #[error("cannot try out {program}: {reason}")]
    Rehearse {
        /// The program.
        program: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// The kernel cannot attach to TCX.
    #[error(
        "this kernel has no TCX, which netctl needs (Linux 6.6 brought it): {ifname} refused a program: {errno}"
    )]
    NoTcx {
        /// The device on which it was tried.
        ifname: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// The kernel lacks a helper function.
    #[error("this kernel lacks {helper}, which netctl needs (Linux {since} brought it)")]
    NoHelper {
        /// The function.
        helper: &'static str,
        /// The first version that has it.
        since: &'static str,
    },
    /// The kernel did not take a program.
    #[error("the kernel refused the program {program}: {reason}")]
    Load {
        /// The program.
        program: &'static str,
        /// The kernel's error and the last line of its verifier.
        reason: String,
    },
    /// The object or its maps could not be loaded.
    #[error("the kernel refused netctl's maps: {source}")]
    Object {
        /// What the loader said.
        #[source]
        source: Box<aya::EbpfError>,
    },
    /// The embedded object lacks a map or a program: the build is broken.
    #[error(
        "this build of netctl holds no {what} {name}; build it again with `cargo xtask build-ebpf`"
    )]
    Incomplete {
        /// `map` or `program`.
        what: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// The ring of events cannot be waited for.
    #[error("cannot wait for what the programs tell: {source}")]
    Ring {
        /// What the kernel said.
        source: io::Error,
    },
    /// What a device runs cannot be told.
    #[error("cannot tell which programs {ifname} runs: {reason}")]
    Look {
        /// The device.
        ifname: String,
        /// What the kernel said.
        reason: String,
    },
    /// A program could not be attached.
    #[error("cannot attach {program} to {ifname}: {reason}")]
    Attach {
        /// The program.
        program: &'static str,
        /// The device.
        ifname: String,
        /// What the kernel said.
        reason: String,
    },
    /// The device runs the program of another data plane.
    #[error(
        "{ifname} already runs {program} of another netctl (program {id}); \
         use that one's --bpf-dir, or take it down first"
    )]
    Foreign {
        /// The device.
        ifname: String,
        /// The program.
        program: &'static str,
        /// The kernel's number of it.
        id: u32,
    },
    /// A map has no room.
    #[error("map {map} is full: it has room for {capacity} entries, and {wanted} are wanted")]
    Full {
        /// The map.
        map: &'static str,
        /// How many entries it takes.
        capacity: u32,
        /// How many it should hold.
        wanted: usize,
    },
    /// A map could not be read or written.
    #[error("cannot {what} map {map}: {source}")]
    Map {
        /// `read` or `write`.
        what: &'static str,
        /// The map.
        map: &'static str,
        /// What the kernel said.
        source: aya::maps::MapError,
    },
    /// A value that the maps have no form for.
    #[error("{object}: {reason}")]
    Unsupported {
        /// What was to be written, in words.
        object: String,
        /// Why it cannot be.
        reason: &'static str,
    },
    /// No thread could be started.
    #[error("cannot start the data plane's thread: {source}")]
    Thread {
        /// What the kernel said.
        source: io::Error,
    },
    /// The owner of the maps is gone.
    #[error("the data plane has stopped; restart the daemon")]
    Stopped,
}
