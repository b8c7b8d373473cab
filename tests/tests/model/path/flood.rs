//! What is for a group.

use std::net::IpAddr;

use netctl_common::DropReason;

use super::{
    Answer, Copy, Input,
    frame::{self, Frame, Payload},
};
use crate::world::{Endpoint, Network, Place, World};

/// A copy for every other member: those of this host, and one for each other host with members.
pub(super) fn from_here(
    world: &World,
    endpoint: &Endpoint,
    input: &Input,
    frame: &Frame,
) -> Result<Answer, DropReason> {
    if frame::stays_on_link(frame.to) {
        return Err(DropReason::LinkLocalGroup);
    }
    let network = world.networks.get(&endpoint.vni).ok_or(DropReason::UnknownVni)?;
    let own = world.stations.get(&(endpoint.vni, endpoint.station.mac));
    let from_host = is_from_host(world, &frame.payload);
    let told = members(network, own, from_host)
        .filter(|member| !endpoint.isolated || matches!(member, Place::Host(_)));
    let copies = told.filter_map(|member| match member {
        Place::Container(device) | Place::Bridging(device) | Place::Host(device) => {
            Some(Copy::Local(device, input.bytes.clone()))
        }
        Place::Remote(index) => {
            let host = world.hosts.get(&index)?;
            Some(Copy::Remote(host.address, endpoint.vni, input.bytes.clone()))
        }
    });
    Ok(Answer::Flood(copies.collect()))
}

/// All members but the sender, and but the host where the packet claims to come from one. The host's own endpoint is at
/// one place on each host, and one sender.
pub(super) fn members(
    network: &Network,
    sender: Option<&Place>,
    from_host: bool,
) -> impl Iterator<Item = Place> {
    let members = network.members.iter().flatten().filter(move |member| Some(*member) != sender);
    members.filter(move |member| !(from_host && matches!(member, Place::Host(_)))).copied()
}

/// Whether it claims to come from this host or one of the others that are known. The host's stack would open VXLAN from
/// there.
pub(super) fn is_from_host(world: &World, payload: &Payload) -> bool {
    let source: IpAddr = match payload {
        Payload::Ipv4(ip) => ip.from.into(),
        Payload::Ipv6(ip) => ip.from.into(),
        Payload::Arp(_) | Payload::Other => return false,
    };
    let own = [world.local.ip4.map(IpAddr::from), world.local.ip6.map(IpAddr::from)];
    own.contains(&Some(source)) || world.is_host(source.to_canonical())
}
