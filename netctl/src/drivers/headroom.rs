//! Room for the tunnel's headers, in the packets that containers make.
//!
//! A socket leaves before its packet as much room as the device asks for (`needed_headroom`), and a veth asks for none:
//! the head of each small packet would have to be moved to where the outer headers fit. But a veth asks for what a
//! bridge asks for that the other end is a port of (`veth_set_rx_headroom`), a bridge asks for the most that one of its
//! ports does (`br_add_if`), and a vxlan device for its own headers. So each port of the data plane is a port of a
//! bridge that has a vxlan device besides.
//!
//! No packet passes by them. Bridge and vxlan device are down, so that all ports are disabled and drop what they
//! receive (`br_handle_frame`); our programs come before that and take everything.

use std::collections::BTreeMap;

use super::links;
use crate::kernel::{Error, Link, Netlink, VethPair};

/// The bridges there may be, each with 1022 ports (`BR_MAX_PORTS`, the vxlan device, and number 0, which is not given).
const BRIDGES: u32 = 64;
/// The UDP port of the vxlan devices. They are down, and so never have its socket; nobody else's device has it.
const IDLE_PORT: u16 = 1;

/// Gives a port of the data plane, and so what is at its other end, headroom. Without, all works and is a little
/// slower.
pub(super) async fn give(netlink: &Netlink, pair: &VethPair, port: &Link) {
    match try_give(netlink, port).await {
        Err(error) if pair.created => {
            tracing::warn!(port = port.name, %error, "no headroom: small packets are slower");
        }
        // It was said when the pair was made.
        Err(error) => tracing::debug!(port = port.name, %error, "no headroom"),
        Ok(()) => {}
    }
}

async fn try_give(netlink: &Netlink, port: &Link) -> Result<(), Error> {
    if let Some(master) = port.master
        && links::headroom_number(&netlink.link_by_index(master).await?.name).is_some()
    {
        return Ok(());
    }
    for number in 0..BRIDGES {
        let bridge = ensure(netlink, number).await?;
        if netlink.set_master(port, &bridge).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// The bridge of this number, with its vxlan device.
async fn ensure(netlink: &Netlink, number: u32) -> Result<Link, Error> {
    let (bridge, asker) = (links::headroom(number), links::headroom_asker(number));
    let bridge = match netlink.find_link(&bridge).await? {
        Some(bridge) => bridge,
        None => netlink.ensure_bridge(&bridge).await?,
    };
    let asker = match netlink.find_link(&asker).await? {
        Some(asker) => asker,
        None => netlink.ensure_idle_vxlan(&asker, number + 1, IDLE_PORT).await?,
    };
    if asker.master != Some(bridge.index) {
        netlink.set_master(&asker, &bridge).await?;
    }
    Ok(bridge)
}

/// Removes the bridges that have no port left.
pub(super) async fn sweep(netlink: &Netlink) -> Result<(), Error> {
    let all = netlink.links().await?;
    let mut ours: BTreeMap<u32, Vec<&Link>> = BTreeMap::new();
    for link in &all {
        if let Some(number) = links::headroom_number(&link.name) {
            ours.entry(number).or_default().push(link);
        }
    }
    for pair in ours.values() {
        let serves = |port: &&Link| {
            pair.iter().any(|link| port.master == Some(link.index))
                && links::headroom_number(&port.name).is_none()
        };
        if all.iter().any(|link| serves(&link)) {
            continue;
        }
        for link in pair {
            netlink.delete_link(&link.name).await?;
        }
    }
    Ok(())
}
