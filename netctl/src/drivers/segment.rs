//! What networks have in common whose endpoints are stations of a segment of the data plane: their part on one host.
//!
//! An endpoint is a veth pair whose host's side is a port of the data plane. On each host that it is of interest to,
//! a network has a host endpoint: another veth pair, both ends in the host's namespace, one with the gateway's addresses (the
//! same on every host), the other a port. There is no Linux bridge and no vxlan device per network.

pub(super) mod options;

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use self::options::{MIN_MTU6, Taken};
use super::{
    Device, Error, HostContext, Joined, Place, Plan, Presence, Present, Route, headroom, links,
    settle::settle_interface,
};
use crate::{
    dataplane::{Desired, FdbTarget, NetworkEntry, Port, PortEntry, Station, Way},
    kernel::{self, Netlink, VethPair, VethSpec},
    model::{Endpoint, MacAddr, Network, Subnet, Vni},
};

/// What such a network needs, of which the options said this.
pub(super) fn plan(Taken { policy, allow_overlap }: Taken) -> Plan {
    Plan { addresses: true, segment: true, allow_overlap, policy, ..Plan::default() }
}

/// Makes the host endpoint. Interfaces of the network take packets of `mtu` bytes.
pub(super) async fn enter(
    host: &HostContext,
    network: &Network,
    mtu: u32,
) -> Result<Presence, Error> {
    check_room(host, network, mtu)?;
    let (vni, mac) = segment(network)?;
    let (name, port) = (links::gateway(vni), links::gateway_port(vni));
    let made = pair(
        &host.netlink,
        &VethSpec {
            name: &name,
            peer_name: &port,
            peer_side: None,
            mtu: Some(mtu),
            super_packets: Some(host.super_packets),
            mac: Some(mac),
            peer_mac: None,
        },
    )
    .await?;
    let VethPair { host: gateway, peer: port, .. } = &made;
    let (name, port_name) = (&gateway.name, &port.name);
    host.settle_gateway(name, port_name, has_ipv6(network), !network.internal).await?;
    headroom::give(&host.netlink, &made, port).await;
    host.settle_sizes(&host.netlink, gateway).await?;
    host.settle_sizes(&host.netlink, port).await?;
    let addresses: Vec<IpNet> = network
        .subnets
        .iter()
        .map(|subnet| IpNet::new_assert(subnet.gateway, subnet.cidr.prefix_len()))
        .collect();
    host.netlink.set_addresses(gateway, &addresses).await?;
    host.netlink.set_up(port).await?;
    host.netlink.set_up(gateway).await?;
    Ok(Presence { gateway: Some(Device::of(gateway)), port: Some(Device::of(port)) })
}

/// Makes an endpoint's interface, which takes packets of `mtu` bytes. Both ends are down where it is new.
pub(super) async fn join(
    host: &HostContext,
    network: &Network,
    endpoint: &Endpoint,
    place: Place<'_>,
    mtu: u32,
) -> Result<Joined, Error> {
    let mac = endpoint.mac.ok_or_else(|| lacks(network, "its endpoint has no MAC address"))?;
    let name = links::port(&endpoint.id);
    let inside = place.insides.open(place.netns).await?;
    let made = pair(
        &host.netlink,
        &VethSpec {
            name: &name,
            peer_name: place.device,
            peer_side: Some(&inside),
            mtu: Some(mtu),
            super_packets: Some(host.super_packets),
            mac: None,
            peer_mac: Some(mac),
        },
    )
    .await?;
    let VethPair { host: port, peer: interface, .. } = &made;
    let headroom = async {
        headroom::give(&host.netlink, &made, port).await;
        Ok(())
    };
    // Each mostly waits for the kernel, and none for another.
    tokio::try_join!(
        host.settle_port(&port.name),
        settle_interface(place.netns, place.device, endpoint),
        headroom,
    )?;
    host.settle_sizes(&host.netlink, port).await?;
    host.settle_sizes(&inside, interface).await?;
    for &address in &endpoint.addresses {
        inside.add_address(interface, address).await?;
    }
    let (gateways, routes) = ways(network, endpoint);
    Ok(Joined { port: Some(Device::of(port)), device: None, gateways, routes })
}

/// Makes an endpoint's interface of which both ends are in the host's namespace, so that somebody else takes one of them
/// away. One that is not `fresh` was taken already.
pub(super) async fn hand_over(
    host: &HostContext,
    network: &Network,
    endpoint: &Endpoint,
    mtu: u32,
    fresh: bool,
) -> Result<Joined, Error> {
    let mac = endpoint.mac.ok_or_else(|| lacks(network, "its endpoint has no MAC address"))?;
    let name = links::port(&endpoint.id);
    let made = if fresh {
        let peer_name = links::handed(&endpoint.id);
        let spec = VethSpec {
            name: &name,
            peer_name: &peer_name,
            peer_side: None,
            mtu: Some(mtu),
            super_packets: Some(host.super_packets),
            mac: None,
            peer_mac: Some(mac),
        };
        let made = pair(&host.netlink, &spec).await?;
        // What goes to another namespace has the settings of that one.
        host.settle_port(&made.peer.name).await?;
        host.settle_sizes(&host.netlink, &made.peer).await?;
        made
    } else {
        let Some(port) = host.netlink.find_link(&name).await? else { return Ok(Joined::default()) };
        // Where its other end is, and what that is called, is somebody else's business.
        VethPair { host: port.clone(), peer: port, created: false }
    };
    let port = &made.host;
    host.settle_port(&port.name).await?;
    headroom::give(&host.netlink, &made, port).await;
    host.settle_sizes(&host.netlink, port).await?;
    let (gateways, routes) = ways(network, endpoint);
    Ok(Joined { port: Some(Device::of(port)), device: None, gateways, routes })
}

/// The routers that an endpoint may use for everything, and the routes to the other subnets of its network.
pub fn ways(network: &Network, endpoint: &Endpoint) -> (Vec<IpAddr>, Vec<Route>) {
    let mut routes = Vec::new();
    for own in own_subnets(network, endpoint) {
        let others = network.subnets.iter().filter(|subnet| subnet.is_v6() == own.is_v6());
        routes.extend(
            others
                .filter(|subnet| !is_in(subnet, endpoint))
                .map(|subnet| Route { destination: subnet.cidr, next_hop: Some(own.gateway) }),
        );
    }
    let gateways = own_subnets(network, endpoint).filter(|_| !network.internal);
    (gateways.map(|own| own.gateway).collect(), routes)
}

/// The subnets that the endpoint has an address of.
fn own_subnets<'a>(
    network: &'a Network,
    endpoint: &'a Endpoint,
) -> impl Iterator<Item = &'a Subnet> {
    network.subnets.iter().filter(|subnet| is_in(subnet, endpoint))
}

fn is_in(subnet: &Subnet, endpoint: &Endpoint) -> bool {
    endpoint.addresses.iter().any(|address| subnet.cidr.contains(&address.addr()))
}

/// What the data plane is to hold of the network itself, whose interfaces take packets of `mtu` bytes, and of its host
/// endpoint.
pub(super) fn forward(network: &Network, presence: &Presence, mtu: u32) -> Desired {
    let mut desired = Desired::default();
    let Ok((vni, gateway_mac)) = segment(network) else { return desired };
    let entry =
        NetworkEntry { gateway_mac: Some(gateway_mac), mtu: bytes(mtu), open: network.policy.open };
    desired.networks.insert(vni, entry);
    let members = desired.flood.entry(vni).or_default();
    if let Presence { gateway: Some(gateway), port: Some(port) } = presence {
        // It may have any address as its source, so that none needs to be told.
        let (addresses, gateways) = (BTreeSet::new(), BTreeSet::new());
        let entry = PortEntry {
            vni,
            endpoint: None,
            mac: gateway_mac,
            addresses,
            gateways,
            any_source: true,
            isolated: false,
        };
        desired.ports.insert(port.index, Port { ifname: port.name.clone(), entry });
        let target = FdbTarget::Host { ifindex: gateway.index };
        desired.fdb.insert((vni, gateway_mac), target);
        members.insert(target);
        for subnet in &network.subnets {
            desired.neigh.insert((vni, subnet.gateway), gateway_mac);
        }
    }
    desired
}

/// What it is to hold of an endpoint of this host, whose interface is there at `port`.
pub(super) fn station(network: &Network, endpoint: &Endpoint, port: &Device) -> Option<Station> {
    let (vni, _) = segment(network).ok()?;
    let mac = endpoint.mac?;
    let addresses: Vec<IpAddr> = endpoint.addresses.iter().map(IpNet::addr).collect();
    let entry = PortEntry {
        vni,
        endpoint: Some(endpoint.id.clone()),
        mac,
        addresses: addresses.iter().copied().collect(),
        gateways: own_subnets(network, endpoint).map(|own| own.gateway).collect(),
        any_source: network.policy.open,
        isolated: network.policy.isolated,
    };
    let ifindex = port.index;
    let target = if endpoint.bridging {
        FdbTarget::Bridging { ifindex }
    } else {
        FdbTarget::Container { ifindex }
    };
    let way = Way::Port(Port { ifname: port.name.clone(), entry });
    Some(Station { vni, mac, addresses, target, way })
}

/// Removes the links of endpoints and networks that are not in `present`, whichever driver they were made for.
pub(super) async fn sweep(host: &HostContext, present: &Present) -> Result<(), Error> {
    let keep: BTreeSet<String> = present
        .endpoints
        .iter()
        .flat_map(|endpoint| [links::port(endpoint), links::handed(endpoint)])
        .chain(
            present
                .segments
                .iter()
                .flat_map(|&vni| [links::gateway(vni), links::gateway_port(vni)]),
        )
        .collect();
    for link in host.netlink.links().await? {
        let ours = links::is_of_endpoint(&link.name) && links::is_made(&link);
        if ours && !keep.contains(&link.name) {
            tracing::info!(link = link.name, "removing a link that nothing needs");
            host.netlink.delete_link(&link.name).await?;
        }
    }
    for device in host.netlink.forbidden_forwarding6().await? {
        if links::is_of_endpoint(&device) && !keep.contains(&device) {
            host.netlink.allow_forwarding6(&device).await?;
        }
    }
    Ok(headroom::sweep(&host.netlink).await?)
}

/// A pair that stands as it should. What has its name and stands otherwise, as after an endpoint went to another
/// sandbox, is removed, unless something else has the name of its other end, and would have it afterwards too.
async fn pair(netlink: &Netlink, spec: &VethSpec<'_>) -> Result<VethPair, kernel::Error> {
    match netlink.ensure_veth(spec).await {
        Err(kernel::Error::LinkExists { name, .. })
            if name == spec.name && netlink.delete_link(spec.name).await? =>
        {
            netlink.ensure_veth(spec).await
        }
        other => other,
    }
}

/// The segment that a network is, and the link-layer address of its gateway.
pub(super) fn segment(network: &Network) -> Result<(Vni, MacAddr), Error> {
    let vni = network.vni.ok_or_else(|| lacks(network, "it has no VNI"))?;
    let mac =
        network.gateway_mac.ok_or_else(|| lacks(network, "its gateway has no MAC address"))?;
    Ok((vni, mac))
}

/// The kernel has no IPv6 on a device whose MTU is too small for it (`addrconf_notify`).
fn check_room(host: &HostContext, network: &Network, mtu: u32) -> Result<(), Error> {
    if !has_ipv6(network) || mtu >= MIN_MTU6 {
        return Ok(());
    }
    let underlay = host.underlay_mtu();
    let reason = format!(
        "IPv6 needs an MTU of {MIN_MTU6} bytes, and the underlay's {underlay} leave {mtu} for endpoints"
    );
    Err(Error::Network { network: network.name.clone(), reason })
}

fn lacks(network: &Network, reason: &str) -> Error {
    Error::Network { network: network.name.clone(), reason: reason.to_owned() }
}

/// Whether its endpoints have addresses of IPv6.
pub(super) fn has_ipv6(network: &Network) -> bool {
    network.subnets.iter().any(Subnet::is_v6)
}

/// A size as the maps have it.
pub(super) fn bytes(mtu: u32) -> u16 {
    u16::try_from(mtu).unwrap_or(u16::MAX)
}
