//! The programs themselves, in the kernel, with maps filled from a [`World`].

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, MapData, PerCpuArray},
    programs::{TestRun as _, TestRunOptions},
};
use netctl_common::{
    Direction, MacAddr, Outcome, Vni, config,
    counter::{self, COUNTERS, Count},
    maps::{
        FDB, FdbEntry, FdbKey, FdbTarget, NEIGH4, NETWORKS, Neighbour, NeighbourKey4, Network,
        PORTS, Port, TunnelAddr, VTEP_BY_ADDR, VTEP_ENTRIES, VTEPS, Vtep,
    },
};

use crate::{
    counters::{self, Counters},
    object,
    path::Input,
    world::{DEVICE, Endpoint, HOST_A, Place, World},
};

const UNDERLAY: u32 = 5;
const VXLAN: u32 = 6;

/// `struct __sk_buff` of `include/uapi/linux/bpf.h`: its size, and where `gso_size` stands.
const SK_BUFF: usize = 192;
const GSO_SIZE: usize = 176;

/// What the program returns: the values of `enum tcx_action_base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Next,
    Drop,
    Redirect,
}

/// What a program did to a packet.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) action: Action,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Programs {
    ebpf: Ebpf,
}

impl Programs {
    pub(crate) fn load() -> Result<Self> {
        Ok(Self { ebpf: object::load(HOST_A, [0; 16], UNDERLAY, VXLAN)? })
    }

    /// Makes the maps say what `world` says, and nothing else.
    pub(crate) fn know(&mut self, world: &World) -> Result<()> {
        let ports = world.ports.iter().map(|(device, endpoint)| (*device, port(endpoint)));
        self.fill(PORTS, ports)?;
        let stations = world.stations.iter().map(|((vni, mac), place)| {
            let target = match place {
                Place::Container(device) => FdbTarget::Container(*device),
                Place::Host(device) => FdbTarget::Host(*device),
                Place::Remote(index) => FdbTarget::Remote(*index),
            };
            (FdbKey::new(network(*vni), MacAddr(*mac)), FdbEntry::new(target))
        });
        self.fill(FDB, stations)?;
        let neighbours = world.neighbours4.iter().map(|((vni, address), mac)| {
            (NeighbourKey4::new(network(*vni), *address), Neighbour::new(MacAddr(*mac)))
        });
        self.fill(NEIGH4, neighbours)?;
        let networks = world.networks.iter().map(|(vni, mtu)| (*vni, Network::new(*mtu, None)));
        self.fill(NETWORKS, networks)?;
        let tunnels = world.tunnels.iter().map(|address| (TunnelAddr::from_v4(*address), 0_u32));
        self.fill(VTEP_BY_ADDR, tunnels)?;

        let map = self.ebpf.map_mut(VTEPS).context("no map of hosts")?;
        let mut hosts: Array<&mut MapData, Vtep> = map.try_into()?;
        for index in (0..VTEP_ENTRIES).take(16) {
            let host = world.hosts.get(&index).map_or(Vtep::UNUSED, |host| {
                Vtep::new_v4(world.local4, host.address, world.vxlan_port, host.mtu)
            });
            hosts.set(index, host, 0)?;
        }
        Ok(())
    }

    fn fill<K: Pod, V: Pod>(
        &mut self,
        name: &str,
        entries: impl Iterator<Item = (K, V)>,
    ) -> Result<()> {
        let map = self.ebpf.map_mut(name).with_context(|| format!("no map {name}"))?;
        let mut map: HashMap<&mut MapData, K, V> = map.try_into()?;
        let old: Vec<K> = map.keys().collect::<Result<_, _>>()?;
        for key in old {
            map.remove(&key)?;
        }
        for (key, value) in entries {
            map.insert(key, value, 0)?;
        }
        Ok(())
    }

    /// Runs the program for `direction` on a packet.
    pub(crate) fn run(&mut self, direction: Direction, input: &Input) -> Result<Seen> {
        let name = match direction {
            Direction::FromContainer => config::FROM_CONTAINER,
            Direction::FromUnderlay => config::FROM_UNDERLAY,
            Direction::FromTunnel => config::FROM_TUNNEL,
        };
        let mut context = [0; SK_BUFF];
        context[GSO_SIZE..][..4].copy_from_slice(&input.segment.to_ne_bytes());
        let mut bytes = vec![0; input.bytes.len() + 256];
        let program = object::program(&mut self.ebpf, name)?;
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(&input.bytes),
                data_out: Some(&mut bytes),
                ctx_in: Some(&context),
                ..TestRunOptions::default()
            })
            .with_context(|| format!("{name} on {} bytes", input.bytes.len()))?;
        bytes.truncate(result.data_size_out as usize);
        let action = match result.return_value.cast_signed() {
            -1 => Action::Next,
            2 => Action::Drop,
            7 => Action::Redirect,
            other => anyhow::bail!("{name} returned {other}"),
        };
        Ok(Seen { action, bytes })
    }

    /// Packets and bytes that ended so.
    pub(crate) fn counted(&self, direction: Direction, outcome: Outcome) -> Result<(u64, u64)> {
        let map = self.ebpf.map(COUNTERS).context("no map of counters")?;
        let map: PerCpuArray<_, Count> = map.try_into()?;
        let counts = map.get(&counter::index(direction, outcome), 0)?;
        Ok(counts.iter().fold((0, 0), |sum, count| (sum.0 + count.packets, sum.1 + count.bytes)))
    }

    pub(crate) fn all_counted(&self) -> Result<Counters> {
        counters::read(&self.ebpf)
    }
}

fn network(vni: u32) -> Vni {
    Vni::new(vni).expect("a VNI")
}

fn port(endpoint: &Endpoint) -> Port {
    let mut addresses = [[0; 4]; 4];
    addresses[..endpoint.addresses4.len()].copy_from_slice(&endpoint.addresses4);
    let flags = if endpoint.any_source { Port::ANY_SOURCE } else { 0 };
    Port::new(network(endpoint.vni), MacAddr(endpoint.mac), [DEVICE.to_ne_bytes()[0]; 32])
        .with_addresses4(addresses)
        .with_flags(flags)
}
