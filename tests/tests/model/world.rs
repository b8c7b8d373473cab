//! What a host knows, as plain data: from it the maps are filled, and the model reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use testbed::random::Random;

use crate::object;

pub(crate) type Mac = [u8; 6];
pub(crate) type Ip4 = [u8; 4];
pub(crate) type Ip6 = [u8; 16];

/// This host's tunnel addresses.
pub(crate) const LOCAL4: Ip4 = underlay4(1);
pub(crate) const LOCAL6: Ip6 = underlay6(1);

/// Which tunnel addresses this host has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    pub(crate) ip4: Option<Ip4>,
    pub(crate) ip6: Option<Ip6>,
}

impl Local {
    pub(crate) const BOTH: Self = Self { ip4: Some(LOCAL4), ip6: Some(LOCAL6) };
    pub(crate) const IPV4: Self = Self { ip4: Some(LOCAL4), ip6: None };
    pub(crate) const IPV6: Self = Self { ip4: None, ip6: Some(LOCAL6) };
}

/// The device that tunnelled packets come by and leave by, and its address.
pub(crate) const UNDERLAY: u32 = 5;
pub(crate) const UNDERLAY_MAC: Mac = [2, 0, 0, 0, 5, 5];
/// The kernel's vxlan device.
pub(crate) const VXLAN: u32 = 6;
/// A device that belongs to no endpoint.
pub(crate) const STRAY: u32 = 15;

/// The networks, and what is added to the indices of the first one's devices for each.
pub(crate) const NETWORKS: [(u32, u32); 2] = [(4097, 0), (4098, 20)];
pub(crate) const NEAR_DEVICE: u32 = 11;
pub(crate) const BESIDE_DEVICE: u32 = 7;
pub(crate) const BRIDGE_DEVICE: u32 = 8;
/// The host's own side of its endpoint, and the side on which the programs run.
pub(crate) const HOST_DEVICE: u32 = 9;
pub(crate) const HOST_PORT: u32 = 14;

/// Hosts by their index: B and C over IPv4, D over IPv6; the last is one of which nothing is known.
pub(crate) const HOST_B: IpAddr = host4(2);
pub(crate) const HOST_C: IpAddr = host4(3);
pub(crate) const HOST_D: IpAddr = host6(4);
const AT_B: u32 = 3;
const AT_C: u32 = 5;
const AT_D: u32 = 6;
const NOWHERE: u32 = 4;

const fn host4(last: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::from_octets(underlay4(last)))
}

pub(crate) const fn underlay4(last: u8) -> Ip4 {
    [192, 0, 2, last]
}

pub(crate) const fn underlay6(last: u8) -> Ip6 {
    [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

const fn host6(last: u8) -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::from_octets(underlay6(last)))
}

/// An interface in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Station {
    pub(crate) mac: Mac,
    pub(crate) ip4: Ip4,
    pub(crate) ip6: Ip6,
}

impl Station {
    const fn number(last: u8) -> Self {
        Self {
            mac: [2, 0, 0, 0, 0, last],
            ip4: [10, 0, 0, last],
            ip6: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last],
        }
    }

    pub(crate) fn link_local(self) -> Ip6 {
        link_local(self.mac)
    }
}

/// The address that a station makes of its MAC (RFC 4291 appendix A).
pub(crate) fn link_local(mac: Mac) -> Ip6 {
    let (oui, low) = mac.split_at(3);
    let [first, rest @ ..]: [u8; 3] = oui.try_into().expect("three bytes");
    let identifier = [&[first ^ 2][..], &rest, &[0xff, 0xfe], low].concat();
    [&[0xfe, 0x80, 0, 0, 0, 0, 0, 0][..], &identifier].concat().try_into().expect("sixteen bytes")
}

pub(crate) const GATEWAY: Station = Station::number(1);
pub(crate) const NEAR: Station = Station::number(0x11);
const BESIDE: Station = Station::number(0x12);
const BRIDGE: Station = Station::number(0x13);
const FAR: Station = Station::number(0x21);
const FAR_TOO: Station = Station::number(0x22);
const FAR6: Station = Station::number(0x23);
/// A station whose host has no tunnel address.
const LOST: Station = Station::number(0x31);
/// A station that is nowhere, though its addresses are known.
const GONE: Station = Station::number(0x41);

/// What is behind a device of this host.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) vni: u32,
    pub(crate) station: Station,
    /// Whether it may send from any address, because it routes for others: the host's own endpoint, and some containers.
    pub(crate) any_source: bool,
    /// Whether it reaches the host alone.
    pub(crate) isolated: bool,
    /// The router of its own subnet.
    pub(crate) gateway: Option<Station>,
}

/// Where a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind this device of this host.
    Container(u32),
    /// The same, with others behind it.
    Bridging(u32),
    /// The host itself, on this device.
    Host(u32),
    /// On the host of this index.
    Remote(u32),
}

#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) address: IpAddr,
    /// What fits the tunnel, in bytes from the network layer on.
    pub(crate) mtu: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) mtu: u32,
    /// Whether endpoints may have addresses that nobody else knows of.
    pub(crate) open: bool,
    /// Who gets what is for all, by position; the position of one that left is empty.
    pub(crate) members: Vec<Option<Place>>,
    /// The hosts with a member.
    pub(crate) hosts: BTreeSet<IpAddr>,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) vxlan_port: u16,
    pub(crate) local: Local,
    /// By device.
    pub(crate) ports: BTreeMap<u32, Endpoint>,
    /// By VNI and MAC.
    pub(crate) stations: BTreeMap<(u32, Mac), Place>,
    /// By VNI and address.
    pub(crate) neighbours4: BTreeMap<(u32, Ip4), Mac>,
    pub(crate) neighbours6: BTreeMap<(u32, Ip6), Mac>,
    /// By index.
    pub(crate) hosts: BTreeMap<u32, Host>,
    /// The link-layer addresses of the way to a host, its and ours, by the host's index; where it is known and may be
    /// used.
    pub(crate) next_hops: BTreeMap<u32, (Mac, Mac)>,
    /// Those that this host is in, by VNI.
    pub(crate) networks: BTreeMap<u32, Network>,
}

impl World {
    /// Two networks with the same addresses; where stations are, and what fits the tunnels, differs.
    pub(crate) fn any(random: &Random, local: Local) -> Self {
        let mut world = Self {
            vxlan_port: object::PORT,
            local,
            ports: BTreeMap::new(),
            stations: BTreeMap::new(),
            neighbours4: BTreeMap::new(),
            neighbours6: BTreeMap::new(),
            hosts: BTreeMap::new(),
            next_hops: BTreeMap::new(),
            networks: BTreeMap::new(),
        };
        for (index, address) in [(AT_B, HOST_B), (AT_C, HOST_C), (AT_D, HOST_D)] {
            let mtu = random.pick(&[1450, 1430, 1280, 1400]);
            world.hosts.insert(index, Host { address, mtu });
            if random.percent(50) {
                world.next_hops.insert(index, (random.bytes(), random.bytes()));
            }
        }
        for (vni, more) in NETWORKS {
            let far = random.pick(&[AT_B, AT_C, AT_D]);
            world.add_network(random, vni, more, far);
        }
        world
    }

    fn add_network(&mut self, random: &Random, vni: u32, more: u32, far: u32) {
        let stations = [
            (NEAR, Some(Place::Container(NEAR_DEVICE + more))),
            (BESIDE, Some(Place::Container(BESIDE_DEVICE + more))),
            (BRIDGE, Some(Place::Bridging(BRIDGE_DEVICE + more))),
            (GATEWAY, Some(Place::Host(HOST_DEVICE + more))),
            (FAR, Some(Place::Remote(far))),
            (FAR_TOO, Some(Place::Remote(AT_B))),
            (FAR6, Some(Place::Remote(AT_D))),
            (LOST, Some(Place::Remote(NOWHERE))),
            (GONE, None),
        ];
        let mut members = Vec::new();
        for (station, place) in stations {
            self.neighbours4.insert((vni, station.ip4), station.mac);
            self.neighbours6.insert((vni, station.ip6), station.mac);
            let Some(place) = place else { continue };
            self.stations.insert((vni, station.mac), place);
            // A host is a member once, whoever of it is.
            if !members.contains(&Some(place)) {
                members.push(Some(place));
            }
        }
        if random.percent(50) {
            members.insert(random.below(members.len()), None);
        }
        let hosts = members.iter().filter_map(|member| match member {
            Some(Place::Remote(index)) => self.hosts.get(index).map(|host| host.address),
            _ => None,
        });
        let network =
            Network { mtu: 1450, open: random.percent(30), hosts: hosts.collect(), members };
        self.networks.insert(vni, network);
        for (device, station) in [
            (NEAR_DEVICE, NEAR),
            (BESIDE_DEVICE, BESIDE),
            (BRIDGE_DEVICE, BRIDGE),
            (HOST_PORT, GATEWAY),
        ] {
            let any_source = device == HOST_PORT || device == BRIDGE_DEVICE && random.percent(50);
            let isolated = device != HOST_PORT && random.percent(15);
            let gateway = (device != HOST_PORT && random.percent(90)).then_some(GATEWAY);
            let endpoint = Endpoint { vni, station, any_source, isolated, gateway };
            self.ports.insert(device + more, endpoint);
        }
    }

    /// Whether a host of ours has this tunnel address.
    pub(crate) fn is_host(&self, address: IpAddr) -> bool {
        self.hosts.values().any(|host| host.address == address)
    }
}
