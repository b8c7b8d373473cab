//! What a daemon leaves word of, for those who look when it does not answer.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::HostName;

/// Where a daemon's things are, and what its host had when it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonNote {
    /// The host's name.
    pub host: HostName,
    /// Files that outlive the machine's being up.
    pub state_dir: PathBuf,
    /// Where links and maps are pinned.
    pub bpf_dir: PathBuf,
    /// The underlay device; none where it is not known yet.
    pub underlay: Option<String>,
    /// The host's tunnel addresses, each with its subnet's prefix length.
    pub addresses: Vec<IpNet>,
    /// The UDP port of VXLAN.
    pub vxlan_port: u16,
}
