//! What the kernel refused, and what it means.

use std::{io, path::PathBuf};

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process may not do what netctl does.
    #[error("netctl needs {missing}: run it as root")]
    Privilege {
        /// What is missing.
        missing: String,
    },
    /// There is nothing at the path of a namespace.
    #[error("there is no network namespace at {path}: create it first")]
    NoNamespace {
        /// The path.
        path: PathBuf,
    },
    /// What is at the path is something else.
    #[error("{path} is not a network namespace")]
    NotNamespace {
        /// The path.
        path: PathBuf,
    },
    /// A namespace cannot be made, entered or removed.
    #[error("cannot {verb} network namespace {path}: {source}")]
    Namespace {
        /// What was tried.
        verb: &'static str,
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A request over netlink failed.
    #[error("cannot {verb} {object}: {source}")]
    Netlink {
        /// What was tried.
        verb: &'static str,
        /// On what.
        object: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A link exists that is not what it must be.
    #[error(
        "link {name} is there already and is not ours: remove it, or give netctl another namespace"
    )]
    Foreign {
        /// The link.
        name: String,
    },
    /// Another vxlan device has the port.
    #[error(
        "UDP port {port} is taken by another vxlan device: remove it, or give every host another --vxlan-port"
    )]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// A setting cannot be read or written.
    #[error("cannot set {name} to {value}: {source}")]
    Setting {
        /// The setting, as sysctl(8) writes it.
        name: String,
        /// The value.
        value: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The underlay device that was named is not there.
    #[error("there is no interface {name}: --bind-interface takes one of {known}")]
    NoInterface {
        /// The name.
        name: String,
        /// Those there are.
        known: String,
    },
    /// The underlay device has no address to tunnel from.
    #[error(
        "interface {name} has no IPv4 address: give it one, or name another with --bind-interface"
    )]
    NoAddress {
        /// The name.
        name: String,
    },
    /// No device leads to other hosts, as far as can be seen.
    #[error(
        "no interface with an IPv4 address leads to other hosts: name one with --bind-interface"
    )]
    NoUnderlay,
    /// Several do.
    #[error(
        "several interfaces may lead to other hosts ({candidates}): name one with --bind-interface"
    )]
    ManyUnderlays {
        /// Those that may.
        candidates: String,
    },
}
