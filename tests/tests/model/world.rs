//! What a host knows, as plain data: from it the maps are filled, and the model reads it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{object, random::Random};

pub(crate) type Mac = [u8; 6];
pub(crate) type Ip4 = [u8; 4];

/// The index of `lo`, on which the test's packets arrive.
pub(crate) const DEVICE: u32 = 1;
/// The address of `lo`.
pub(crate) const DEVICE_MAC: Mac = [0; 6];

pub(crate) const HOST_A: Ip4 = [192, 0, 2, 1];
pub(crate) const HOST_B: Ip4 = [192, 0, 2, 2];
pub(crate) const HOST_C: Ip4 = [192, 0, 2, 3];

pub(crate) const NEAR: (Mac, Ip4) = ([2, 0, 0, 0, 0, 0x11], [10, 0, 0, 11]);
const BESIDE: (Mac, Ip4) = ([2, 0, 0, 0, 0, 0x12], [10, 0, 0, 12]);
const FAR: (Mac, Ip4) = ([2, 0, 0, 0, 0, 0x21], [10, 0, 0, 21]);
const FAR_TOO: (Mac, Ip4) = ([2, 0, 0, 0, 0, 0x22], [10, 0, 0, 22]);
const GATEWAY: (Mac, Ip4) = ([2, 0, 0, 0, 0, 1], [10, 0, 0, 1]);
/// A station whose host has no tunnel address.
const LOST: (Mac, Ip4) = ([2, 0, 0, 0, 0, 0x31], [10, 0, 0, 31]);
/// An address whose station is nowhere.
const GONE: (Mac, Ip4) = ([2, 0, 0, 0, 0, 0x41], [10, 0, 0, 41]);

const AT_B: u32 = 3;
const AT_C: u32 = 5;
const NOWHERE: u32 = 4;

/// What is behind a device of this host.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) vni: u32,
    pub(crate) mac: Mac,
    pub(crate) addresses4: Vec<Ip4>,
    pub(crate) any_source: bool,
}

/// Where a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind this device of this host.
    Container(u32),
    /// The host itself, behind this device.
    Host(u32),
    /// On the host of this index.
    Remote(u32),
}

#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) address: Ip4,
    /// What fits the tunnel, in bytes from the network layer on.
    pub(crate) mtu: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) local4: Ip4,
    pub(crate) vxlan_port: u16,
    pub(crate) ports: BTreeMap<u32, Endpoint>,
    /// By VNI and MAC.
    pub(crate) stations: BTreeMap<(u32, Mac), Place>,
    /// By VNI and address.
    pub(crate) neighbours4: BTreeMap<(u32, Ip4), Mac>,
    /// By index.
    pub(crate) hosts: BTreeMap<u32, Host>,
    /// Tunnel addresses of hosts.
    pub(crate) tunnels: BTreeSet<Ip4>,
    /// The networks that this host is in, with their MTU.
    pub(crate) networks: BTreeMap<u32, u32>,
}

impl World {
    /// Two networks with the same addresses; who is behind `lo`, and in which of them, differs, and so do MTUs.
    pub(crate) fn any(random: &Random) -> Self {
        let networks = [4097, 4098];
        let mut world = Self {
            local4: HOST_A,
            vxlan_port: object::PORT,
            ports: BTreeMap::new(),
            stations: BTreeMap::new(),
            neighbours4: BTreeMap::new(),
            hosts: BTreeMap::new(),
            tunnels: BTreeSet::from([HOST_B, HOST_C]),
            networks: BTreeMap::new(),
        };
        for (index, address) in [(AT_B, HOST_B), (AT_C, HOST_C)] {
            let mtu = random.pick(&[1450, 1430, 1280, 600]);
            world.hosts.insert(index, Host { address, mtu });
        }
        let home = random.pick(&networks);
        for vni in networks {
            world.networks.insert(vni, 1450);
            let far = if random.percent(50) { AT_B } else { AT_C };
            for ((mac, address), place) in [
                (BESIDE, Some(Place::Container(7))),
                (GATEWAY, Some(Place::Host(9))),
                (FAR, Some(Place::Remote(far))),
                (FAR_TOO, Some(Place::Remote(AT_B))),
                (LOST, Some(Place::Remote(NOWHERE))),
                (GONE, None),
                // What is near in one network is far in the other.
                (
                    NEAR,
                    Some(if vni == home { Place::Container(DEVICE) } else { Place::Remote(AT_C) }),
                ),
            ] {
                if let Some(place) = place {
                    world.stations.insert((vni, mac), place);
                }
                world.neighbours4.insert((vni, address), mac);
            }
        }
        let endpoint = match random.below(10) {
            0 => None,
            1..3 => Some(Endpoint {
                vni: home,
                mac: GATEWAY.0,
                addresses4: vec![GATEWAY.1],
                any_source: true,
            }),
            3..5 => Some(Endpoint {
                vni: home,
                mac: NEAR.0,
                addresses4: vec![[10, 0, 1, 11], NEAR.1],
                any_source: false,
            }),
            _ => Some(Endpoint {
                vni: home,
                mac: NEAR.0,
                addresses4: vec![NEAR.1],
                any_source: false,
            }),
        };
        world.ports.extend(endpoint.map(|endpoint| (DEVICE, endpoint)));
        world
    }
}
