//! Hosts that come and go, as plugins are told.

use std::net::IpAddr;

use serde::Serialize;

/// The kind of discovery that is about hosts.
const NODE: u8 = 1;

/// A host that comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeData {
    /// Its address.
    pub address: IpAddr,
    /// Whether it is this one.
    pub own: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Discovery {
    discovery_type: u8,
    discovery_data: NodeText,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeText {
    address: IpAddr,
    /// Empty for another host.
    bind_address: String,
    #[serde(rename = "Self")]
    own: bool,
}

impl NodeData {
    pub(super) fn text(self) -> Discovery {
        let Self { address, own } = self;
        let bind_address = if own { address.to_string() } else { String::new() };
        Discovery { discovery_type: NODE, discovery_data: NodeText { address, bind_address, own } }
    }
}
