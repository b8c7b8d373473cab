//! Hosts: where a daemon runs.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{HostId, HostName, UnixTime};

/// What a daemon says of its host, under its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// Which machine it is: made once, and kept with the daemon's state.
    pub id: HostId,
    /// Unique in the cluster at any one time.
    pub name: HostName,
    /// Its address on the underlay.
    pub vtep: IpAddr,
    /// The UDP port that it takes VXLAN on.
    pub vxlan_port: u16,
    /// The MTU of its underlay device, in bytes.
    pub mtu: u32,
    /// The daemon's version.
    pub version: String,
    /// When the daemon started.
    pub started: UnixTime,
}
