//! The programs themselves, in the kernel, with maps filled from a [`World`].

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, MapData, PerCpuArray},
    programs::{LinkOrder, TcAttachType, TestRun as _, TestRunOptions, tc::TcAttachOptions},
};
use netctl_common::{
    Direction, MacAddr, Outcome, Vni, config,
    counter::{self, COUNTERS, Count},
    maps::{
        FDB, FLOOD, FdbEntry, FdbKey, FdbTarget, FloodKey, FloodMember, MEMBERS, MemberKey, NEIGH4,
        NEIGH6, NETWORKS, NEXT_HOPS, NEXT_HOPS_UNTIL, Neighbour, NeighbourKey4, NeighbourKey6,
        Network, NextHop, PORTS, Port, TunnelAddr, VTEP_BY_ADDR, VTEPS, Vtep,
    },
};
use std::net::IpAddr;

use crate::{
    counters::{self, Counters},
    object,
    path::Input,
    world::{Endpoint, GATEWAY, LOCAL4, LOCAL6, Local, Place, UNDERLAY, VXLAN, World},
};

/// `struct __sk_buff` of `include/uapi/linux/bpf.h`: its size, and where two of its fields stand.
const SK_BUFF: usize = 192;
const IFINDEX: usize = 40;
const GSO_SIZE: usize = 176;
/// How many places of `VTEPS` a world may use.
const HOSTS: u32 = 16;

/// What the program returns, in the words of `enum tcx_action_base`.
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
    pub(crate) fn load(local: Local) -> Result<Self> {
        let (ip4, ip6) = (local.ip4.unwrap_or_default(), local.ip6.unwrap_or_default());
        Ok(Self { ebpf: object::load(ip4, ip6, UNDERLAY, VXLAN)? })
    }

    /// Makes the maps say what `world` says, and nothing else.
    pub(crate) fn know(&mut self, world: &World) -> Result<()> {
        let ports = world.ports.iter().map(|(device, endpoint)| (*device, port(endpoint)));
        self.fill(PORTS, ports)?;
        let stations = world.stations.iter().map(|((vni, mac), place)| {
            (FdbKey::new(number(*vni), MacAddr(*mac)), FdbEntry::new(target(*place)))
        });
        self.fill(FDB, stations)?;
        let neighbours = world.neighbours4.iter().map(|((vni, address), mac)| {
            (NeighbourKey4::new(number(*vni), *address), Neighbour::new(MacAddr(*mac)))
        });
        self.fill(NEIGH4, neighbours)?;
        let neighbours = world.neighbours6.iter().map(|((vni, address), mac)| {
            (NeighbourKey6::new(number(*vni), *address), Neighbour::new(MacAddr(*mac)))
        });
        self.fill(NEIGH6, neighbours)?;
        self.know_networks(world)?;
        self.know_hosts(world)
    }

    fn know_networks(&mut self, world: &World) -> Result<()> {
        let networks = world.networks.iter().map(|(vni, network)| {
            let members = u32::try_from(network.members.len()).expect("few");
            let flags = if network.open { Network::OPEN } else { 0 };
            let gateway = Some(MacAddr(GATEWAY.mac));
            let value = Network::new(network.mtu, gateway).with_flood_members(members);
            (*vni, value.with_flags(flags))
        });
        self.fill(NETWORKS, networks)?;
        let networks = || world.networks.iter();
        let members = networks().flat_map(|(vni, network)| {
            (0..).zip(&network.members).filter_map(|(position, member)| {
                let member = FloodMember::new(target((*member)?));
                Some((FloodKey::new(number(*vni), position), member))
            })
        });
        self.fill(FLOOD, members)?;
        let hosts = networks().flat_map(|(vni, network)| {
            let host = |host: &IpAddr| (MemberKey::new(number(*vni), TunnelAddr::from(*host)), 0);
            network.hosts.iter().map(host)
        });
        self.fill::<_, u32>(MEMBERS, hosts)
    }

    fn know_hosts(&mut self, world: &World) -> Result<()> {
        let hosts = world.hosts.iter();
        let by_address = hosts.map(|(index, host)| (TunnelAddr::from(host.address), *index));
        self.fill(VTEP_BY_ADDR, by_address)?;
        let map = self.ebpf.map_mut(VTEPS).context("no map of hosts")?;
        let mut hosts: Array<&mut MapData, Vtep> = map.try_into()?;
        for index in 0..HOSTS {
            let host = world.hosts.get(&index).map_or(Vtep::UNUSED, |host| {
                let (port, mtu) = (world.vxlan_port, u32::try_from(host.mtu).expect("small"));
                match host.address {
                    IpAddr::V4(address) => Vtep::new_v4(LOCAL4, address.octets(), port, mtu),
                    IpAddr::V6(address) => Vtep::new_v6(LOCAL6, address.octets(), port, mtu),
                }
            });
            hosts.set(index, host, 0)?;
        }
        let map = self.ebpf.map_mut(NEXT_HOPS).context("no map of next hops")?;
        let mut hops: Array<&mut MapData, NextHop> = map.try_into()?;
        for index in 0..HOSTS {
            let hop = world
                .next_hops
                .get(&index)
                .map_or(NextHop::UNKNOWN, |(to, from)| NextHop::new(MacAddr(*to), MacAddr(*from)));
            hops.set(index, hop, 0)?;
        }
        let map = self.ebpf.map_mut(NEXT_HOPS_UNTIL).context("no lease of next hops")?;
        let mut until: Array<&mut MapData, u64> = map.try_into()?;
        Ok(until.set(0, u64::MAX, 0)?)
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

    /// Attaches a program to the ingress of a device of the namespace that this runs in.
    pub(crate) fn attach(&mut self, program: &str, device: &str) -> Result<()> {
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let program = object::program(&mut self.ebpf, program)?;
        program.attach_with_options(device, TcAttachType::Ingress, options)?;
        Ok(())
    }

    /// Runs the program for `direction` on a packet.
    pub(crate) fn run(&mut self, direction: Direction, input: &Input) -> Result<Seen> {
        let name = match direction {
            Direction::FromContainer => config::FROM_CONTAINER,
            Direction::FromUnderlay => config::FROM_UNDERLAY,
            Direction::FromTunnel => config::FROM_TUNNEL,
            Direction::UnderlayFilter => return self.run_filter(input),
        };
        let mut context = [0; SK_BUFF];
        context[IFINDEX..][..4].copy_from_slice(&input.device.to_ne_bytes());
        let segment = u32::try_from(input.segment)?;
        context[GSO_SIZE..][..4].copy_from_slice(&segment.to_ne_bytes());
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
            other => bail!("{name} returned {other}"),
        };
        Ok(Seen { action, bytes })
    }

    fn run_filter(&mut self, input: &Input) -> Result<Seen> {
        let mut bytes = vec![0; input.bytes.len()];
        let result = object::filter(&mut self.ebpf)?
            .test_run(TestRunOptions {
                data_in: Some(&input.bytes),
                data_out: Some(&mut bytes),
                ..TestRunOptions::default()
            })
            .with_context(|| format!("the filter on {} bytes", input.bytes.len()))?;
        bytes.truncate(result.data_size_out as usize);
        // `enum xdp_action`.
        let action = match result.return_value {
            1 => Action::Drop,
            2 => Action::Next,
            other => bail!("the filter returned {other}"),
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

fn number(vni: u32) -> Vni {
    Vni::new(vni).expect("a VNI")
}

fn target(place: Place) -> FdbTarget {
    match place {
        Place::Container(device) => FdbTarget::Container(device),
        Place::Bridging(device) => FdbTarget::Bridging(device),
        Place::Host(device) => FdbTarget::Host(device),
        Place::Remote(index) => FdbTarget::Remote(index),
    }
}

fn port(endpoint: &Endpoint) -> Port {
    let station = endpoint.station;
    let any_source = if endpoint.any_source { Port::ANY_SOURCE } else { 0 };
    let isolated = if endpoint.isolated { Port::ISOLATED } else { 0 };
    let gateways = endpoint.gateway.map_or(([0; 4], [0; 16]), |gateway| (gateway.ip4, gateway.ip6));
    // Anywhere among the four places.
    Port::new(number(endpoint.vni), MacAddr(station.mac), [1; 32])
        .with_addresses4([[0; 4], [0; 4], station.ip4, [0; 4]])
        .with_addresses6([[0; 16], [0; 16], [0; 16], station.ip6])
        .with_gateways(gateways.0, gateways.1)
        .with_flags(any_source | isolated)
}
