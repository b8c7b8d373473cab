//! Sandboxes: the network stack of one container.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    CniName, HostEntry, HostName, Name, ResolverOption, SandboxId, SearchDomain, Sysctl, UnixTime,
};

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
    /// Whether the namespace was made by netctl, and goes with the sandbox.
    pub owned: bool,
    /// Whether it is the host's own namespace.
    #[serde(default)]
    pub host_stack: bool,
    /// Whether it is a container engine's, which puts interfaces into it by itself: netctl hands them over, and neither
    /// looks into the namespace nor changes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    /// Name servers to ask for names from outside, in place of the host's.
    pub dns: Vec<IpAddr>,
    /// Domains to look for names in; the host's where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<SearchDomain>,
    /// Options for its resolver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_options: Vec<ResolverOption>,
    /// The name of the host that its processes see; they see the host's own where none is given.
    #[serde(default)]
    pub hostname: Option<HostName>,
    /// Further lines of its `/etc/hosts`.
    #[serde(default)]
    pub extra_hosts: Vec<HostEntry>,
    /// What its network stack was set to when it was made.
    #[serde(default)]
    pub sysctls: Vec<Sysctl>,
    /// The container that a CNI runtime asked it for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<CniName>,
    /// When it was made.
    pub created: UnixTime,
}
