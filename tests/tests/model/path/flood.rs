//! What is for a group.

use netctl_common::DropReason;

use super::{
    Answer, Copy, Input,
    frame::{self, Frame},
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
    let copies = members(network, own).filter_map(|member| match member {
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

/// All members but the sender. The host's own endpoint is at one place on each host, and one sender.
pub(super) fn members(network: &Network, sender: Option<&Place>) -> impl Iterator<Item = Place> {
    network.members.iter().flatten().filter(move |member| Some(*member) != sender).copied()
}
