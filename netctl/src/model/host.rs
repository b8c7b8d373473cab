//! Hosts: where a daemon runs.

use serde::{Deserialize, Serialize};

use super::{HostId, HostName, UnixTime, Vteps};

/// What a daemon says of its host, under its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// Which machine it is: made once, and kept with the daemon's state.
    pub id: HostId,
    /// Unique in the cluster at any one time.
    pub name: HostName,
    /// Its addresses on the underlay.
    pub vteps: Vteps,
    /// The UDP port that it takes VXLAN on.
    pub vxlan_port: u16,
    /// The MTU of its underlay device, in bytes.
    pub mtu: u32,
    /// The daemon's version.
    pub version: String,
    /// When the daemon started.
    pub started: UnixTime,
}
