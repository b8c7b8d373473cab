//! What can go wrong with the kernel, as sentences for users.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::errno::Errno;

/// A verb of this module failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process may not change networking.
    #[error(
        "not permitted to {doing}: run netctl as root, or with CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_BPF"
    )]
    NotPermitted {
        /// What was tried.
        doing: String,
    },
    /// Capabilities are missing, found before anything was tried.
    #[error("netctl needs root, or the capabilities that this process lacks: {}", missing.join(", "))]
    Unprivileged {
        /// Their names.
        missing: Vec<&'static str>,
    },
    /// Nothing is at the path.
    #[error("there is no network namespace at {}: nothing is there", path.display())]
    NetnsMissing {
        /// The path asked for.
        path: PathBuf,
    },
    /// Something else is at the path.
    #[error("{} is not a network namespace: give the path of one, such as /run/netns/NAME or /proc/PID/ns/net", path.display())]
    NotANetns {
        /// The path asked for.
        path: PathBuf,
    },
    /// A namespace is at the path already.
    #[error("there is a network namespace at {} already: remove it first or choose another path", path.display())]
    NetnsExists {
        /// The path asked for.
        path: PathBuf,
    },
    /// A file operation for a namespace failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Path {
        /// A verb, with its preposition.
        doing: &'static str,
        /// Its object.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A system call without a path failed.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The netlink socket is gone, which the kernel does only when it is out of memory.
    #[error("cannot {doing}: the netlink connection to the kernel was lost; try again")]
    ConnectionLost {
        /// What was tried.
        doing: String,
    },
    /// The kernel refused a request.
    #[error("cannot {doing}: {}{}", errno.desc(), detail.as_deref().map(|d| format!(" ({d})")).unwrap_or_default())]
    Refused {
        /// What was tried, with its object and value.
        doing: String,
        /// The kernel's answer.
        errno: Errno,
        /// What the kernel said besides (`NLMSGERR_ATTR_MSG`).
        detail: Option<String>,
    },
    /// No link has the name.
    #[error("there is no interface {name} in this network namespace")]
    LinkMissing {
        /// The name or number asked for.
        name: String,
    },
    /// Another link has the name.
    #[error(
        "the interface {name} is there already and is not what netctl would make ({found}): remove it or rename it"
    )]
    LinkExists {
        /// The name.
        name: String,
        /// What it is instead.
        found: String,
    },
    /// Another vxlan device or program holds the UDP port.
    #[error(
        "UDP port {port} is taken by {holder}: remove it, or choose another port with --vxlan-port"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// Who has it, in words.
        holder: String,
    },
    /// The interface for the underlay is not there.
    #[error(
        "there is no interface {name} to bind to: choose one of {} with --bind-interface",
        list(present)
    )]
    UnderlayMissing {
        /// The name asked for.
        name: String,
        /// Those that there are.
        present: Vec<String>,
    },
    /// The interface for the underlay cannot carry traffic.
    #[error(
        "the interface {name} is down: `ip link set {name} up`, or choose another with --bind-interface"
    )]
    UnderlayDown {
        /// Its name.
        name: String,
    },
    /// The interface for the underlay has no address.
    #[error(
        "the interface {name} has no address to reach other hosts by: give it one, or choose another with --bind-interface"
    )]
    UnderlayWithoutAddress {
        /// Its name.
        name: String,
    },
    /// No interface could be the underlay.
    #[error(
        "no interface is up with an address to reach other hosts by: give one an address, and name it with --bind-interface"
    )]
    NoUnderlay,
    /// Several interfaces could be the underlay.
    #[error(
        "there is no default route, and several interfaces could reach other hosts ({}): choose one with --bind-interface",
        list(candidates)
    )]
    AmbiguousUnderlay {
        /// Their names.
        candidates: Vec<String>,
    },
    /// A sysctl could not be read or written.
    #[error("cannot {doing} the sysctl {name}: {source}")]
    Sysctl {
        /// `read`, or `set to VALUE`.
        doing: String,
        /// Its name, with slashes.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// There is no program `nft`.
    #[error("there is no nft on the PATH: install the package nftables")]
    NftMissing,
    /// `nft` did not do what it was told.
    #[error("cannot {doing}: {said}")]
    Nft {
        /// What was tried.
        doing: &'static str,
        /// The first line of what it said.
        said: String,
    },
    /// `nft` did not end.
    #[error(
        "cannot {doing}: nft has not ended within {} s and was killed: see what keeps `nft list ruleset` on this host",
        after.as_secs()
    )]
    NftLate {
        /// What was tried.
        doing: &'static str,
        /// How long it was given.
        after: Duration,
    },
    /// A file that the sandbox gets its own version of is not on this host.
    #[error("cannot give the command its own {}: it does not exist on this host; `touch {}` makes an empty one", path.display(), path.display())]
    NothingToCover {
        /// The file to mount over.
        path: PathBuf,
    },
    /// The thread that ran in a namespace panicked.
    #[error("a task in a network namespace failed unexpectedly; this is a bug in netctl")]
    Panicked,
}

impl Error {
    /// A system call failed; `doing` completes "cannot …".
    pub(super) fn system(doing: &'static str, errno: Errno) -> Self {
        match errno {
            Errno::EPERM => Self::NotPermitted { doing: doing.to_owned() },
            other => Self::System { doing, source: other.into() },
        }
    }

    /// A system call on a path failed; `doing` completes "cannot … PATH".
    pub(super) fn path(doing: &'static str, path: &Path, errno: Errno) -> Self {
        match errno {
            Errno::EPERM => Self::NotPermitted { doing: format!("{doing} {}", path.display()) },
            other => Self::Path { doing, path: path.into(), source: other.into() },
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "(none)".to_owned() } else { names.join(", ") }
}
