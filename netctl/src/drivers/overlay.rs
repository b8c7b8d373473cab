//! VXLAN between hosts, carried by the eBPF programs.
//!
//! An endpoint is a veth pair whose host's side is a port of the data plane. On each host with an endpoint a network
//! has a host endpoint: another veth pair, both ends in the host's namespace, one with the gateway's addresses (the
//! same on every host), the other a port. There is no Linux bridge and no vxlan device per network.

use std::{collections::BTreeSet, net::IpAddr};

use async_trait::async_trait;
use ipnet::IpNet;
use netctl_common::outer::{OVERHEAD4, OVERHEAD6};

use super::{
    Device, Driver, Error, HostContext, Local, Place, Plan, Presence, Present, headroom, links,
    options::{Options, Switch},
    settle::settle_interface,
};
use crate::{
    dataplane::{Desired, FdbTarget, NetworkEntry, Port, PortEntry},
    kernel::{self, Netlink, VethPair, VethSpec},
    model::{Endpoint, MacAddr, Network, NetworkSpec, Subnet, Vni},
};

/// The smallest MTU that IPv4 allows a link to have (RFC 791), in bytes.
const MIN_MTU: u32 = 68;
/// The smallest MTU that IPv6 allows a link to have (RFC 8200, section 5), in bytes.
const MIN_MTU6: u32 = 1280;

const VNI: &[&str] = &["vni", "com.docker.network.driver.overlay.vxlanid_list"];
const MTU: &[&str] = &["mtu", "com.docker.network.driver.mtu"];
const ALLOW_OVERLAP: &[&str] = &["allow-overlap"];
const PORT_SECURITY: &[&str] = &["port-security"];

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Overlay;

#[async_trait]
impl Driver for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn plan(&self, spec: &NetworkSpec) -> Result<Plan, Error> {
        let mut options = Options::of(self.name(), spec);
        let vni = options.take::<u32>(VNI)?.map(check_vni).transpose()?;
        let ipv6 = spec.ipv6 || spec.subnets.iter().any(|subnet| subnet.addr().is_ipv6());
        options.take::<u32>(MTU)?.map_or(Ok(()), |mtu| check_mtu(mtu, ipv6))?;
        let allow_overlap = options.take::<bool>(ALLOW_OVERLAP)?.unwrap_or(false);
        options.take::<Switch>(PORT_SECURITY)?;
        options.finish()?;
        Ok(Plan { addresses: true, segment: true, vni, allow_overlap })
    }

    async fn enter(&self, host: &HostContext, network: &Network) -> Result<Presence, Error> {
        let (vni, mac) = segment(network)?;
        check_room(host, network)?;
        let (name, port) = (links::gateway(vni), links::gateway_port(vni));
        let made = pair(
            &host.netlink,
            &VethSpec {
                name: &name,
                peer_name: &port,
                peer_netns: None,
                mtu: Some(mtu(host, network)),
                mac: Some(mac),
                peer_mac: None,
            },
        )
        .await?;
        let VethPair { host: gateway, peer: port, .. } = &made;
        host.settle_gateway(&gateway.name, &port.name, has_ipv6(network)).await?;
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

    async fn join(
        &self,
        host: &HostContext,
        network: &Network,
        endpoint: &Endpoint,
        place: Place<'_>,
    ) -> Result<Option<Device>, Error> {
        let mac = endpoint.mac.ok_or_else(|| lacks(network, "its endpoint has no MAC address"))?;
        let name = links::port(&endpoint.id);
        let made = pair(
            &host.netlink,
            &VethSpec {
                name: &name,
                peer_name: place.device,
                peer_netns: Some(place.netns),
                mtu: Some(mtu(host, network)),
                mac: None,
                peer_mac: Some(mac),
            },
        )
        .await?;
        let VethPair { host: port, peer: interface, .. } = &made;
        host.settle_port(&port.name).await?;
        headroom::give(&host.netlink, &made, port).await;
        settle_interface(place.netns, place.device, endpoint).await?;
        let inside = Netlink::open(place.netns).await?;
        host.settle_sizes(&host.netlink, port).await?;
        host.settle_sizes(&inside, interface).await?;
        for &address in &endpoint.addresses {
            inside.add_address(interface, address).await?;
        }
        inside.set_up(interface).await?;
        Ok(Some(Device::of(port)))
    }

    fn forward(
        &self,
        host: &HostContext,
        network: &Network,
        presence: &Presence,
        local: &[Local<'_>],
        remote: &[&Endpoint],
        desired: &mut Desired,
    ) {
        let Ok((vni, gateway_mac)) = segment(network) else { return };
        let bytes = |mtu: u32| u16::try_from(mtu).unwrap_or(u16::MAX);
        let mtu = bytes(mtu(host, network));
        let open = is_open(network);
        desired.networks.insert(vni, NetworkEntry { gateway_mac: Some(gateway_mac), mtu, open });
        let mut members = BTreeSet::new();
        if let Presence { gateway: Some(gateway), port: Some(port) } = presence {
            // It may have any address as its source, so that none needs to be told.
            let addresses = BTreeSet::new();
            let entry =
                PortEntry { vni, endpoint: None, mac: gateway_mac, addresses, any_source: true };
            desired.ports.insert(port.index, Port { ifname: port.name.clone(), entry });
            let target = FdbTarget::Host { ifindex: gateway.index };
            desired.fdb.insert((vni, gateway_mac), target);
            members.insert(target);
            for subnet in &network.subnets {
                desired.neigh.insert((vni, subnet.gateway), gateway_mac);
            }
        }
        for Local { endpoint, port } in local {
            let Some(mac) = endpoint.mac else { continue };
            let addresses = endpoint.addresses.iter().map(IpNet::addr).collect();
            let entry = PortEntry {
                vni,
                endpoint: Some(endpoint.id.clone()),
                mac,
                addresses,
                any_source: open,
            };
            desired.ports.insert(port.index, Port { ifname: port.name.clone(), entry });
            let ifindex = port.index;
            let target = if endpoint.bridging {
                FdbTarget::Bridging { ifindex }
            } else {
                FdbTarget::Container { ifindex }
            };
            desired.fdb.insert((vni, mac), target);
            members.insert(target);
            add_neighbours(desired, vni, endpoint, mac);
        }
        for endpoint in remote {
            let (Some(mac), Some(owner)) = (endpoint.mac, &endpoint.owner) else { continue };
            let Some(vtep) = host.vteps.towards(&owner.vteps) else {
                tracing::debug!(service = %endpoint.name, host = %owner.host, "no tunnel: no address family in common");
                continue;
            };
            let target = FdbTarget::Remote { vtep };
            desired.tunnels.insert(vtep, bytes(fitting(host, vtep)));
            desired.fdb.insert((vni, mac), target);
            members.insert(target);
            add_neighbours(desired, vni, endpoint, mac);
        }
        desired.flood.insert(vni, members);
    }

    async fn sweep(&self, host: &HostContext, present: &Present) -> Result<(), Error> {
        let keep: BTreeSet<String> = present
            .endpoints
            .iter()
            .map(links::port)
            .chain(
                present
                    .segments
                    .iter()
                    .flat_map(|&vni| [links::gateway(vni), links::gateway_port(vni)]),
            )
            .collect();
        for link in host.netlink.links().await? {
            if links::is_of_endpoint(&link.name) && !keep.contains(&link.name) {
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
}

/// A pair that stands as it should. What has its name and stands otherwise, as after an endpoint went to another
/// sandbox, is removed.
async fn pair(netlink: &Netlink, spec: &VethSpec<'_>) -> Result<VethPair, kernel::Error> {
    match netlink.ensure_veth(spec).await {
        Err(kernel::Error::LinkExists { .. }) if netlink.delete_link(spec.name).await? => {
            netlink.ensure_veth(spec).await
        }
        other => other,
    }
}

fn add_neighbours(desired: &mut Desired, vni: Vni, endpoint: &Endpoint, mac: MacAddr) {
    for address in &endpoint.addresses {
        desired.neigh.insert((vni, address.addr()), mac);
    }
}

fn segment(network: &Network) -> Result<(Vni, MacAddr), Error> {
    let vni = network.vni.ok_or_else(|| lacks(network, "it has no VNI"))?;
    let mac =
        network.gateway_mac.ok_or_else(|| lacks(network, "its gateway has no MAC address"))?;
    Ok((vni, mac))
}

fn lacks(network: &Network, reason: &str) -> Error {
    Error::Network { network: network.name.clone(), reason: reason.to_owned() }
}

/// Whether its endpoints have addresses of IPv6.
fn has_ipv6(network: &Network) -> bool {
    network.subnets.iter().any(Subnet::is_v6)
}

/// Whether its endpoints may send from any IP address.
fn is_open(network: &Network) -> bool {
    let asked = PORT_SECURITY.iter().find_map(|name| network.options.get(*name)?.parse().ok());
    asked == Some(Switch::Off)
}

/// What fits into the underlay's packets to a tunnel address, in bytes.
fn fitting(host: &HostContext, vtep: IpAddr) -> u32 {
    let overhead = if vtep.is_ipv4() { OVERHEAD4 } else { OVERHEAD6 };
    host.underlay_mtu.borrow().saturating_sub(overhead).max(MIN_MTU)
}

/// What fits into the underlay's packets, or less where the network asks for it, in bytes.
///
/// Whether a host is reached over IPv6 is not known before its first endpoint is. So this is what fits the family that
/// this host prefers; the tunnels know better, and who sends too much for one is told so.
fn mtu(host: &HostContext, network: &Network) -> u32 {
    let fits = host.vteps.iter().next().map_or(MIN_MTU, |own| fitting(host, own));
    let wanted = MTU.iter().find_map(|name| network.options.get(*name)?.parse().ok());
    wanted.map_or(fits, |wanted: u32| wanted.min(fits))
}

fn check_vni(number: u32) -> Result<Vni, Error> {
    Vni::new(number).ok_or_else(|| Error::Value {
        option: VNI[0].to_owned(),
        value: number.to_string(),
        reason: format!("a VNI is within 1 and {}", Vni::MAX),
    })
}

fn check_mtu(mtu: u32, ipv6: bool) -> Result<(), Error> {
    let (least, of) = if ipv6 { (MIN_MTU6, "an MTU for IPv6") } else { (MIN_MTU, "an MTU") };
    if (least..=65_535).contains(&mtu) {
        return Ok(());
    }
    Err(Error::Value {
        option: MTU[0].to_owned(),
        value: mtu.to_string(),
        reason: format!("{of} is within {least} and 65535 bytes"),
    })
}

/// The kernel has no IPv6 on a device whose MTU is too small for it (`addrconf_notify`).
fn check_room(host: &HostContext, network: &Network) -> Result<(), Error> {
    let mtu = mtu(host, network);
    if !has_ipv6(network) || mtu >= MIN_MTU6 {
        return Ok(());
    }
    let underlay = *host.underlay_mtu.borrow();
    let reason = format!(
        "IPv6 needs an MTU of {MIN_MTU6} bytes, and the underlay's {underlay} leave {mtu} for endpoints"
    );
    Err(Error::Network { network: network.name.clone(), reason })
}
