//! Between plain data and the values of the maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use netctl_common::maps::{self as abi, PORT_ADDRESSES, Port, Vtep};

use super::{
    Desired, Error, FdbTarget, NetworkEntry, PortEntry,
    maps::Tunnel,
    plan::{HeldNetwork, VtepEntry},
};
use crate::model::{EndpointId, Vni, Vteps};

pub(super) fn network(HeldNetwork { entry, places }: &HeldNetwork) -> abi::Network {
    let flags = if entry.open { abi::Network::OPEN } else { 0 };
    abi::Network::new(entry.mtu.into(), entry.gateway_mac)
        .with_flags(flags)
        .with_flood_members(*places)
}

pub(super) fn network_of(network: &abi::Network) -> HeldNetwork {
    let entry = NetworkEntry {
        gateway_mac: network.gateway(),
        mtu: u16::try_from(network.mtu()).unwrap_or(u16::MAX),
        open: network.is_open(),
    };
    HeldNetwork { entry, places: network.flood_members() }
}

/// The host at `remote`, reached from our own address of the same family; `None` where we have none.
pub(super) fn vtep(tunnel: Tunnel, remote: IpAddr, mtu: u16) -> Option<Vtep> {
    let Tunnel { local, port } = tunnel;
    Some(match remote {
        IpAddr::V4(remote) => Vtep::new_v4(local.v4()?.octets(), remote.octets(), port, mtu.into()),
        IpAddr::V6(remote) => Vtep::new_v6(local.v6()?.octets(), remote.octets(), port, mtu.into()),
    })
}

pub(super) fn target(
    target: FdbTarget,
    vteps: &BTreeMap<IpAddr, VtepEntry>,
) -> Result<abi::FdbTarget, Error> {
    Ok(match target {
        FdbTarget::Container { ifindex } => abi::FdbTarget::Container(ifindex),
        FdbTarget::Bridging { ifindex } => abi::FdbTarget::Bridging(ifindex),
        FdbTarget::Host { ifindex } => abi::FdbTarget::Host(ifindex),
        FdbTarget::Remote { vtep } => {
            let entry = vteps.get(&vtep).ok_or_else(|| unsupported(vtep, "it has no tunnel"))?;
            abi::FdbTarget::Remote(entry.index)
        }
    })
}

/// `None` where it names an index that none of the hosts has.
pub(super) fn target_of(
    target: abi::FdbTarget,
    hosts: &BTreeMap<u32, IpAddr>,
) -> Option<FdbTarget> {
    Some(match target {
        abi::FdbTarget::Container(ifindex) => FdbTarget::Container { ifindex },
        abi::FdbTarget::Bridging(ifindex) => FdbTarget::Bridging { ifindex },
        abi::FdbTarget::Host(ifindex) => FdbTarget::Host { ifindex },
        abi::FdbTarget::Remote(index) => FdbTarget::Remote { vtep: *hosts.get(&index)? },
    })
}

pub(super) fn unsupported(host: IpAddr, reason: &'static str) -> Error {
    Error::Unsupported { object: format!("host {host}"), reason }
}

/// An endpoint that [`check`] let pass.
pub(super) fn port(entry: &PortEntry) -> Port {
    let mut v4 = [[0; 4]; PORT_ADDRESSES];
    let mut v6 = [[0; 16]; PORT_ADDRESSES];
    let (mut places4, mut places6) = (v4.iter_mut(), v6.iter_mut());
    for address in &entry.addresses {
        match address {
            IpAddr::V4(address) => places4.next().map(|place| *place = address.octets()),
            IpAddr::V6(address) => places6.next().map(|place| *place = address.octets()),
        };
    }
    let (mut gateway4, mut gateway6) = ([0; 4], [0; 16]);
    for gateway in &entry.gateways {
        match gateway {
            IpAddr::V4(address) => gateway4 = address.octets(),
            IpAddr::V6(address) => gateway6 = address.octets(),
        }
    }
    let any_source = if entry.any_source { Port::ANY_SOURCE } else { 0 };
    let isolated = if entry.isolated { Port::ISOLATED } else { 0 };
    let endpoint = entry.endpoint.as_ref().map_or([0; 32], EndpointId::to_bytes);
    Port::new(entry.vni, entry.mac, endpoint)
        .with_flags(any_source | isolated)
        .with_addresses4(v4)
        .with_addresses6(v6)
        .with_gateways(gateway4, gateway6)
}

/// Refuses an endpoint with more addresses than a port has places for.
fn check_addresses(entry: &PortEntry) -> Result<(), Error> {
    let v4 = entry.addresses.iter().filter(|address| address.is_ipv4()).count();
    if v4.max(entry.addresses.len() - v4) <= PORT_ADDRESSES {
        return Ok(());
    }
    Err(Error::Unsupported {
        object: format!("endpoint {} with {} addresses", entry.mac, entry.addresses.len()),
        reason: "an endpoint can have four addresses of each family",
    })
}

/// `None` where the value names no network, which netctl never writes.
pub(super) fn port_of(port: &Port) -> Option<PortEntry> {
    let v4 = port.addresses4().iter().copied().map(IpAddr::from);
    let v6 = port.addresses6().iter().copied().map(IpAddr::from);
    let endpoint = Some(*port.endpoint()).filter(|bytes| *bytes != [0; 32]);
    let gateways = [IpAddr::from(port.gateway4()), IpAddr::from(port.gateway6())];
    Some(PortEntry {
        vni: Vni::new(port.vni())?,
        endpoint: endpoint.map(EndpointId::from_bytes),
        mac: port.mac(),
        addresses: v4
            .chain(v6)
            .filter(|address| !address.is_unspecified())
            .collect::<BTreeSet<_>>(),
        gateways: gateways.into_iter().filter(|address| !address.is_unspecified()).collect(),
        any_source: port.any_source(),
        isolated: port.is_isolated(),
    })
}

/// Refuses what the maps have no form for, before anything is written.
pub(super) fn check(desired: &Desired, local: Vteps) -> Result<(), Error> {
    for (&remote, &mtu) in &desired.tunnels {
        if local.towards(&remote.into()).is_none() {
            return Err(unsupported(remote, "this host has no tunnel address of its family"));
        }
        if mtu == 0 {
            return Err(unsupported(remote, "no packet fits a tunnel of MTU 0"));
        }
    }
    for target in desired.fdb.values().chain(desired.flood.values().flatten()) {
        if let FdbTarget::Remote { vtep } = target
            && !desired.tunnels.contains_key(vtep)
        {
            return Err(unsupported(*vtep, "it has no tunnel"));
        }
    }
    desired.ports.values().try_for_each(|wanted| check_addresses(&wanted.entry))
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
            gateways: ["10.0.0.1", "2001:db8::1"].map(address).into(),
            any_source: false,
            isolated: true,
        }
    }

    #[test]
    fn ports_survive() {
        let host = PortEntry {
            endpoint: None,
            addresses: BTreeSet::new(),
            gateways: BTreeSet::new(),
            any_source: true,
            isolated: false,
            ..entry()
        };
        for entry in [entry(), host] {
            assert_eq!(port_of(&port(&entry)), Some(entry));
        }
    }

    #[test]
    fn networks_survive() {
        for (gateway_mac, open) in [(None, false), (Some(MacAddr([2, 0, 0, 0, 0, 1])), true)] {
            let entry = NetworkEntry { gateway_mac, mtu: 1450, open };
            let held = HeldNetwork { entry, places: 7 };
            assert_eq!(network_of(&network(&held)), held);
        }
    }

    #[test]
    fn targets_survive() {
        let there = address("2001:db8::1");
        let vteps = [(there, VtepEntry { index: 9, mtu: 1430 })].into();
        let hosts = [(9, there)].into();
        for place in [
            FdbTarget::Container { ifindex: 3 },
            FdbTarget::Bridging { ifindex: 3 },
            FdbTarget::Host { ifindex: 3 },
            FdbTarget::Remote { vtep: there },
        ] {
            let held = target(place, &vteps).expect("a known host");
            assert_eq!(target_of(held, &hosts), Some(place));
        }
        assert_eq!(target_of(abi::FdbTarget::Remote(8), &hosts), None);
    }

    #[test]
    fn what_has_no_form_is_refused() {
        let vni = Vni::MAX;
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let local = Vteps::from(address("192.0.2.9"));
        let tunnel = |vtep: &str, mtu| Desired {
            tunnels: [(address(vtep), mtu)].into(),
            ..Desired::default()
        };
        let lost = FdbTarget::Remote { vtep: address("192.0.2.1") };
        let station = Desired { fdb: [((vni, mac), lost)].into(), ..Desired::default() };
        let member = Desired { flood: [(vni, [lost].into())].into(), ..Desired::default() };
        let many = (1..=5).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let port = super::super::Port {
            ifname: "nc0".to_owned(),
            entry: PortEntry { addresses: many, ..entry() },
        };
        let crowded = Desired { ports: [(7, port)].into(), ..Desired::default() };
        let family = "host 2001:db8::1: this host has no tunnel address of its family";
        for (desired, expected) in [
            (tunnel("2001:db8::1", 1430), family),
            (tunnel("192.0.2.1", 0), "host 192.0.2.1: no packet fits a tunnel of MTU 0"),
            (station, "host 192.0.2.1: it has no tunnel"),
            (member, "host 192.0.2.1: it has no tunnel"),
            (
                crowded,
                "endpoint 02:00:00:00:00:01 with 5 addresses: an endpoint can have four addresses of each family",
            ),
        ] {
            let error = check(&desired, local).expect_err(expected);
            assert_eq!(error.to_string(), expected);
        }
        let known = Desired { fdb: [((vni, mac), lost)].into(), ..tunnel("192.0.2.1", 1450) };
        check(&known, local).expect("a usable host");
    }
}
