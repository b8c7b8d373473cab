//! Between plain data and the values of the maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use netctl_common::maps::{self as abi, FdbEntry, NeighbourKey4, PORT_ADDRESSES, Port, Vtep};

use super::{Desired, Error, FdbTarget, NetworkEntry, PortEntry, maps::Tunnel, plan::VtepEntry};
use crate::model::{EndpointId, Vni};

pub(super) fn network(entry: &NetworkEntry) -> abi::Network {
    abi::Network::new(entry.mtu.into(), entry.gateway_mac)
}

pub(super) fn network_of(network: &abi::Network) -> NetworkEntry {
    NetworkEntry {
        gateway_mac: network.gateway(),
        mtu: u16::try_from(network.mtu()).unwrap_or(u16::MAX),
    }
}

pub(super) fn vtep(tunnel: Tunnel, address: IpAddr, entry: VtepEntry) -> Result<Vtep, Error> {
    let remote = over_ipv4(address)?;
    Ok(Vtep::new_v4(tunnel.local.octets(), remote.octets(), tunnel.port, entry.mtu.into()))
}

/// The address of a tunnel's end, which has to be IPv4.
pub(super) fn over_ipv4(address: IpAddr) -> Result<Ipv4Addr, Error> {
    match address {
        IpAddr::V4(v4) => Ok(v4),
        IpAddr::V6(_) => Err(Error::Unsupported {
            object: format!("host {address}"),
            reason: "tunnels run over IPv4 only",
        }),
    }
}

pub(super) fn fdb(
    target: FdbTarget,
    vteps: &BTreeMap<IpAddr, VtepEntry>,
) -> Result<FdbEntry, Error> {
    let target = match target {
        FdbTarget::Local { ifindex, host: false } => abi::FdbTarget::Container(ifindex),
        FdbTarget::Local { ifindex, host: true } => abi::FdbTarget::Host(ifindex),
        FdbTarget::Remote { vtep } => {
            let entry = vteps.get(&vtep).ok_or_else(|| Error::Unsupported {
                object: format!("host {vtep}"),
                reason: "it has no entry in VTEPS yet",
            })?;
            abi::FdbTarget::Remote(entry.index)
        }
    };
    Ok(FdbEntry::new(target))
}

pub(super) fn neighbour_key(vni: Vni, address: IpAddr) -> Result<NeighbourKey4, Error> {
    match address {
        IpAddr::V4(v4) => Ok(NeighbourKey4::new(vni, v4.octets())),
        IpAddr::V6(_) => Err(Error::Unsupported {
            object: format!("neighbour {address} of VNI {vni}"),
            reason: "networks carry IPv4 only",
        }),
    }
}

pub(super) fn port(entry: &PortEntry) -> Result<Port, Error> {
    let mut v4 = [[0; 4]; PORT_ADDRESSES];
    let mut v6 = [[0; 16]; PORT_ADDRESSES];
    let (mut places4, mut places6) = (v4.iter_mut(), v6.iter_mut());
    for address in &entry.addresses {
        let placed = match address {
            IpAddr::V4(address) => places4.next().map(|place| *place = address.octets()),
            IpAddr::V6(address) => places6.next().map(|place| *place = address.octets()),
        };
        placed.ok_or_else(|| Error::Unsupported {
            object: format!("endpoint {} with {} addresses", entry.mac, entry.addresses.len()),
            reason: "an endpoint can have four addresses of each family",
        })?;
    }
    let flags = if entry.any_source { Port::ANY_SOURCE } else { 0 };
    let endpoint = entry.endpoint.as_ref().map_or([0; 32], EndpointId::to_bytes);
    Ok(Port::new(entry.vni, entry.mac, endpoint)
        .with_flags(flags)
        .with_addresses4(v4)
        .with_addresses6(v6))
}

/// `None` where the value names no network, which netctl never writes.
pub(super) fn port_of(port: &Port) -> Option<PortEntry> {
    let v4 = port.addresses4().iter().copied().map(IpAddr::from);
    let v6 = port.addresses6().iter().copied().map(IpAddr::from);
    let endpoint = Some(*port.endpoint()).filter(|bytes| *bytes != [0; 32]);
    Some(PortEntry {
        vni: Vni::new(port.vni())?,
        endpoint: endpoint.map(EndpointId::from_bytes),
        mac: port.mac(),
        addresses: v4
            .chain(v6)
            .filter(|address| !address.is_unspecified())
            .collect::<BTreeSet<_>>(),
        any_source: port.any_source(),
    })
}

/// Refuses what the maps have no form for, before anything is written.
pub(super) fn check(desired: &Desired) -> Result<(), Error> {
    for target in desired.fdb.values() {
        let FdbTarget::Remote { vtep: address } = *target else { continue };
        over_ipv4(address)?;
        if desired.tunnel_mtu == 0 {
            return Err(Error::Unsupported {
                object: format!("host {address}"),
                reason: "no packet fits a tunnel of MTU 0",
            });
        }
    }
    for &(vni, address) in desired.neigh.keys() {
        neighbour_key(vni, address)?;
    }
    desired.ports.values().try_for_each(|wanted| port(&wanted.entry).map(drop))
}

#[cfg(test)]
mod tests {
    use netctl_common::MacAddr;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn entry() -> PortEntry {
        PortEntry {
            vni: Vni::new(4096).expect("a VNI"),
            endpoint: Some(EndpointId::random()),
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            addresses: ["10.0.0.2", "10.0.0.3", "2001:db8::2"].map(address).into(),
            any_source: false,
        }
    }

    #[test]
    fn ports_survive() {
        let host =
            PortEntry { endpoint: None, addresses: BTreeSet::new(), any_source: true, ..entry() };
        for entry in [entry(), host] {
            assert_eq!(port_of(&port(&entry).expect("a port")), Some(entry));
        }
    }

    #[test]
    fn networks_survive() {
        for gateway_mac in [None, Some(MacAddr([2, 0, 0, 0, 0, 1]))] {
            let entry = NetworkEntry { gateway_mac, mtu: 1450 };
            assert_eq!(network_of(&network(&entry)), entry);
        }
    }

    #[test]
    fn what_has_no_form_is_refused() {
        let vni = Vni::MAX;
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let remote = |vtep: &str, tunnel_mtu| Desired {
            fdb: [((vni, mac), FdbTarget::Remote { vtep: address(vtep) })].into(),
            tunnel_mtu,
            ..Desired::default()
        };
        let neighbour =
            Desired { neigh: [((vni, address("2001:db8::2")), mac)].into(), ..Desired::default() };
        let many = (1..=5).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let port = super::super::Port {
            ifname: "nc0".to_owned(),
            entry: PortEntry { addresses: many, ..entry() },
        };
        let crowded = Desired { ports: [(7, port)].into(), ..Desired::default() };
        for (desired, expected) in [
            (remote("2001:db8::1", 1450), "host 2001:db8::1: tunnels run over IPv4 only"),
            (remote("192.0.2.1", 0), "host 192.0.2.1: no packet fits a tunnel of MTU 0"),
            (neighbour, "neighbour 2001:db8::2 of VNI 16777215: networks carry IPv4 only"),
            (
                crowded,
                "endpoint 02:00:00:00:00:01 with 5 addresses: an endpoint can have four addresses of each family",
            ),
        ] {
            let error = check(&desired).expect_err(expected);
            assert_eq!(error.to_string(), expected);
        }
        check(&remote("192.0.2.1", 1450)).expect("a usable host");
    }
}
