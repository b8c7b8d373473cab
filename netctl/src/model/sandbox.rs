//! Sandboxes: the network stack of one container.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Name, SandboxId, UnixTime};

/// The network stack of one container: a network namespace, and what belongs to it.
///
/// A sandbox is known to its own host only; endpoints name it as their owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// Unique in the cluster.
    pub id: SandboxId,
    /// Unique on its host.
    pub name: Name,
    /// Where its network namespace is bound.
    pub netns: PathBuf,
    /// Whether the namespace was bound there by netctl, and goes with the sandbox, unless it is the host's.
    pub owned: bool,
    /// Whether it is the host's own namespace.
    #[serde(default)]
    pub host_stack: bool,
    /// Name servers to use in place of netctl's own.
    pub dns: Vec<IpAddr>,
    /// When it was made.
    pub created: UnixTime,
}
