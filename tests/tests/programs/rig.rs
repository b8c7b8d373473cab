//! The programs of host A, with maps for one network that is on most hosts:
//!
//! ```text
//!   network 4097, 10.0.0.0/24 and fd00::/64: what is 10.0.0.11 is fd00::11 too
//!   host A 192.0.2.1, 2001:db8::1: near (ifindex 1), beside, bridge, the gateway 10.0.0.1
//!   host B 192.0.2.2: far
//!   host C 192.0.2.3: no station, but the gateway, as everywhere
//!   host D 2001:db8::4: distant
//!   host E 192.0.2.5: not in the network
//! ```

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, MapData, PerCpuArray, PerCpuHashMap, RingBuf},
    programs::{TestRun as _, TestRunOptions},
};
use netctl_common::{
    Direction, DropReason, MacAddr, Outcome, Verdict, Vni, config,
    counter::Count,
    event::{Budget, EVENT_BUDGETS, EVENTS, EVENTS_UNTIL, Event, EventKind, LOOKS_UNTIL, Purpose},
    maps::{
        FDB, FLOOD, FdbEntry, FdbKey, FdbTarget, FloodKey, FloodMember, MEMBERS, MemberKey, NEIGH4,
        NEIGH6, NETWORKS, NEXT_HOPS, NEXT_HOPS_UNTIL, Neighbour, NeighbourKey4, NeighbourKey6,
        Network, NextHop, PORTS, Port, TunnelAddr, VTEP_BY_ADDR, VTEPS, Vtep,
    },
    traffic::{LOSSES, LossKey, PAIRS, PairKey},
};

use crate::{counters, object};

pub(crate) const VNI: u32 = 4097;
pub(crate) const MTU: u32 = 1450;
pub(crate) const HOST_A: [u8; 4] = [192, 0, 2, 1];
pub(crate) const HOST_B: [u8; 4] = [192, 0, 2, 2];
pub(crate) const HOST_C: [u8; 4] = [192, 0, 2, 3];
pub(crate) const HOST_E: [u8; 4] = [192, 0, 2, 5];
pub(crate) const HOST_A6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(crate) const HOST_D6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];

/// A station's addresses; see [`six`].
pub(crate) type Station = ([u8; 6], [u8; 4]);

pub(crate) const NEAR: Station = ([2, 0, 0, 0, 0, 0x11], [10, 0, 0, 11]);
pub(crate) const BESIDE: Station = ([2, 0, 0, 0, 0, 0x12], [10, 0, 0, 12]);
pub(crate) const BRIDGE: Station = ([2, 0, 0, 0, 0, 0x13], [10, 0, 0, 13]);
pub(crate) const FAR: Station = ([2, 0, 0, 0, 0, 0x21], [10, 0, 0, 21]);
pub(crate) const DISTANT: Station = ([2, 0, 0, 0, 0, 0x41], [10, 0, 0, 41]);
pub(crate) const GATEWAY: Station = ([2, 0, 0, 0, 0, 1], [10, 0, 0, 1]);
/// A station whose host has no tunnel address.
pub(crate) const LOST: [u8; 6] = [2, 0, 0, 0, 0, 0x31];

// No machine has devices of such numbers: what is flooded leaves the program for good.
pub(crate) const BESIDE_DEVICE: u32 = 0x7fff_0007;
pub(crate) const BRIDGE_DEVICE: u32 = 0x7fff_0008;
pub(crate) const GATEWAY_DEVICE: u32 = 0x7fff_0009;
const UNDERLAY_DEVICE: u32 = 0x7fff_0005;
const VXLAN_DEVICE: u32 = 0x7fff_0006;
/// The device that `BPF_PROG_TEST_RUN` receives on, if not told otherwise.
const LO: u32 = 1;
pub(crate) const VTEP_B: u32 = 3;
pub(crate) const VTEP_D: u32 = 6;
const NO_VTEP: u32 = 4;

pub(crate) const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;

/// How a packet ended: what the program returned, and the one counter that moved.
pub(crate) type End = (i32, Option<Outcome>);

/// Redirected.
pub(crate) const fn sent(verdict: Verdict) -> End {
    (REDIRECT, Some(Outcome::Forwarded(verdict)))
}

/// Left to the kernel's vxlan device.
pub(crate) const LEFT: End = (NEXT, Some(Outcome::Forwarded(Verdict::HandedOver)));
/// All members got a copy, and the packet itself is of no more use.
pub(crate) const FLOODED: End = (DROP, Some(Outcome::Forwarded(Verdict::Flooded)));
/// None of the program's business.
pub(crate) const NOT_OURS: End = (NEXT, None);

pub(crate) const fn dropped(reason: DropReason) -> End {
    (DROP, Some(Outcome::Dropped(reason)))
}

/// None of the filter's business.
pub(crate) const UNFILTERED: End = (XDP_PASS, None);
/// Let through by the filter.
pub(crate) const PASSED: End = (XDP_PASS, Some(Outcome::Forwarded(Verdict::Passed)));

/// Dropped by the filter.
pub(crate) const fn filtered(reason: DropReason) -> End {
    (XDP_DROP, Some(Outcome::Dropped(reason)))
}

/// The station's IPv6 address.
pub(crate) fn six(station: Station) -> [u8; 16] {
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, station.0[5]]
}

/// What a program did to a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) end: End,
    pub(crate) packet: Vec<u8>,
}

pub(crate) struct Rig {
    ebpf: Ebpf,
}

impl Rig {
    pub(crate) fn new() -> Result<Self> {
        let ebpf = object::load(HOST_A, HOST_A6, UNDERLAY_DEVICE, VXLAN_DEVICE)?;
        let mut rig = Self { ebpf };
        rig.set_port(0)?;
        rig.set_network(0)?;
        rig.set_vtep(VTEP_B, Vtep::new_v4(HOST_A, HOST_B, object::PORT, MTU))?;
        rig.set_vtep(VTEP_D, Vtep::new_v6(HOST_A6, HOST_D6, object::PORT, MTU - 20))?;

        let vni = Vni::new(VNI).expect("a VNI");
        let here = FdbTarget::Container(LO);
        let bridge = FdbTarget::Bridging(BRIDGE_DEVICE);
        let (b, d) = (FdbTarget::Remote(VTEP_B), FdbTarget::Remote(VTEP_D));
        let stations = [
            (NEAR, here),
            (BESIDE, FdbTarget::Container(BESIDE_DEVICE)),
            (BRIDGE, bridge),
            (GATEWAY, FdbTarget::Host(GATEWAY_DEVICE)),
            (FAR, b),
            (DISTANT, d),
        ];
        for (station, target) in stations {
            rig.set_station(station.0, target)?;
            let neighbour = Neighbour::new(MacAddr(station.0));
            rig.map(NEIGH4)?.insert(NeighbourKey4::new(vni, station.1), neighbour, 0)?;
            rig.map(NEIGH6)?.insert(NeighbourKey6::new(vni, six(station)), neighbour, 0)?;
        }
        rig.set_station(LOST, FdbTarget::Remote(NO_VTEP))?;
        // A place in the list is empty, as one is that a member has left.
        for (place, target) in [(0, here), (1, bridge), (3, b), (4, d)] {
            rig.map(FLOOD)?.insert(FloodKey::new(vni, place), FloodMember::new(target), 0)?;
        }
        let hosts = [
            (TunnelAddr::from_v4(HOST_B), VTEP_B, true),
            (TunnelAddr::from_v4(HOST_C), VTEP_B + 2, true),
            (TunnelAddr::from_v6(HOST_D6), VTEP_D, true),
            (TunnelAddr::from_v4(HOST_E), VTEP_D + 1, false),
        ];
        for (host, index, is_member) in hosts {
            rig.map(VTEP_BY_ADDR)?.insert(host, index, 0)?;
            if is_member {
                rig.map(MEMBERS)?.insert(MemberKey::new(vni, host), index, 0)?;
            }
        }
        Ok(rig)
    }

    fn set_station(&mut self, mac: [u8; 6], target: FdbTarget) -> Result<()> {
        let key = FdbKey::new(Vni::new(VNI).expect("a VNI"), MacAddr(mac));
        Ok(self.map(FDB)?.insert(key, FdbEntry::new(target), 0)?)
    }

    /// Puts the network under these flags of [`Network`].
    pub(crate) fn set_network(&mut self, flags: u32) -> Result<()> {
        let network = Network::new(MTU, Some(MacAddr(GATEWAY.0)));
        let network = network.with_flags(flags).with_flood_members(5);
        Ok(self.map(NETWORKS)?.insert(VNI, network, 0)?)
    }

    pub(crate) fn remove_network(&mut self) -> Result<()> {
        let mut networks: HashMap<_, u32, Network> = self.map(NETWORKS)?;
        Ok(networks.remove(&VNI)?)
    }

    pub(crate) fn set_vtep(&mut self, index: u32, vtep: Vtep) -> Result<()> {
        self.array(VTEPS)?.set(index, vtep, 0).map_err(Into::into)
    }

    pub(crate) fn set_next_hop(&mut self, index: u32, hop: NextHop) -> Result<()> {
        self.array(NEXT_HOPS)?.set(index, hop, 0).map_err(Into::into)
    }

    /// Has next hops be used until then, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) fn set_lease(&mut self, until: u64) -> Result<()> {
        self.array(NEXT_HOPS_UNTIL)?.set(0, until, 0).map_err(Into::into)
    }

    /// Puts the port of `NEAR` under these flags of [`Port`].
    pub(crate) fn set_port(&mut self, flags: u32) -> Result<()> {
        self.put_port(port().with_flags(flags).with_gateways(GATEWAY.1, six(GATEWAY)))
    }

    /// Has the port of `NEAR` know of no gateway.
    pub(crate) fn forget_gateways(&mut self) -> Result<()> {
        self.put_port(port())
    }

    fn put_port(&mut self, port: Port) -> Result<()> {
        Ok(self.map(PORTS)?.insert(LO, port, 0)?)
    }

    pub(crate) fn remove_port(&mut self) -> Result<()> {
        let mut ports: HashMap<_, u32, Port> = self.map(PORTS)?;
        Ok(ports.remove(&LO)?)
    }

    /// Has events of these kinds, and no others, be told from now on, or until this moment of `CLOCK_MONOTONIC`.
    pub(crate) fn listen(&mut self, kinds: &[EventKind], until: u64) -> Result<()> {
        for (kind, purpose) in EventKind::ALL.into_iter().zip([Purpose::Drops, Purpose::Flows]) {
            let until = if kinds.contains(&kind) { until } else { 0 };
            self.array(EVENTS_UNTIL)?.set(kind as u32, until, 0)?;
            self.array(LOOKS_UNTIL)?.set(purpose as u32, until, 0)?;
        }
        Ok(())
    }

    /// Has packets be counted by who sends to whom, and nothing be told, until this moment of `CLOCK_MONOTONIC`.
    pub(crate) fn count_traffic(&mut self, until: u64) -> Result<()> {
        for kind in EventKind::ALL {
            self.array(EVENTS_UNTIL)?.set(kind as u32, until, 0)?;
        }
        for purpose in Purpose::ALL {
            let until = if purpose == Purpose::Traffic { until } else { 0 };
            self.array(LOOKS_UNTIL)?.set(purpose as u32, until, 0)?;
        }
        Ok(())
    }

    /// What was counted by who sends to whom, on all processors together.
    pub(crate) fn pairs(&self) -> Result<BTreeMap<PairKey, Count>> {
        self.counted(PAIRS)
    }

    /// What was counted by whose packets are dropped, likewise.
    pub(crate) fn losses(&self) -> Result<BTreeMap<LossKey, Count>> {
        self.counted(LOSSES)
    }

    fn counted<K: Pod + Ord>(&self, name: &str) -> Result<BTreeMap<K, Count>> {
        let map = self.ebpf.map(name).with_context(|| format!("no map {name}"))?;
        let map: PerCpuHashMap<_, K, Count> = map.try_into()?;
        let mut all = BTreeMap::new();
        for key in map.keys() {
            let key = key?;
            let sum: &mut Count = all.entry(key).or_default();
            for count in map.get(&key, 0)?.iter() {
                sum.packets += count.packets;
                sum.bytes += count.bytes;
            }
        }
        Ok(all)
    }

    /// What has been told since this was last asked.
    pub(crate) fn told(&mut self) -> Result<Vec<Event>> {
        let map = self.ebpf.map_mut(EVENTS).context("no ring")?;
        let mut ring = RingBuf::try_from(map)?;
        let mut told = Vec::new();
        while let Some(record) = ring.next() {
            assert_eq!(record.len(), size_of::<Event>());
            // SAFETY: there are as many bytes, and every bit pattern of them is an event.
            told.push(unsafe { record.as_ptr().cast::<Event>().read_unaligned() });
        }
        Ok(told)
    }

    /// How many events of this kind were not told.
    pub(crate) fn lost(&self, kind: EventKind) -> Result<u64> {
        let budgets: PerCpuArray<_, Budget> =
            self.ebpf.map(EVENT_BUDGETS).context("no budgets")?.try_into()?;
        Ok(budgets.get(&(kind as u32), 0)?.iter().map(|budget| budget.lost).sum())
    }

    /// How many instructions the verifier followed before it accepted the program.
    pub(crate) fn verified(&mut self, name: &str) -> Result<u32> {
        let info = if name == config::XDP_UNDERLAY {
            object::filter(&mut self.ebpf)?.info()?
        } else {
            object::program(&mut self.ebpf, name)?.info()?
        };
        info.verified_instruction_count().context("the kernel does not say")
    }

    fn map<K: Pod, V: Pod>(&mut self, name: &str) -> Result<HashMap<&mut MapData, K, V>> {
        Ok(self.ebpf.map_mut(name).unwrap_or_else(|| panic!("no map {name}")).try_into()?)
    }

    fn array<V: Pod>(&mut self, name: &str) -> Result<Array<&mut MapData, V>> {
        Ok(self.ebpf.map_mut(name).unwrap_or_else(|| panic!("no map {name}")).try_into()?)
    }

    /// Runs the program for `direction` on a packet, which the kernel is to cut into parts of `segment` bytes if that
    /// is not zero.
    ///
    /// # Panics
    ///
    /// If more than one counter moved, or one by anything but this packet.
    pub(crate) fn run(&mut self, direction: Direction, packet: &[u8], segment: u32) -> Seen {
        let before = counters::read(&self.ebpf).expect("counters");
        let mut context = [0; SK_BUFF];
        context[GSO_SIZE..][..4].copy_from_slice(&segment.to_ne_bytes());
        let mut out = vec![0; packet.len() + 256];
        let mut options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        let name = match direction {
            Direction::FromContainer => Some(config::FROM_CONTAINER),
            Direction::FromUnderlay => Some(config::FROM_UNDERLAY),
            Direction::FromTunnel => Some(config::FROM_TUNNEL),
            Direction::UnderlayFilter => None,
        };
        let result = if let Some(name) = name {
            options.ctx_in = Some(&context);
            object::program(&mut self.ebpf, name).expect("a program").test_run(options)
        } else {
            object::filter(&mut self.ebpf).expect("a program").test_run(options)
        };
        let result = result
            .unwrap_or_else(|error| panic!("{direction:?} on {} bytes: {error:?}", packet.len()));
        out.truncate(result.data_size_out as usize);

        let mut moved = counters::read(&self.ebpf).expect("counters");
        for (place, (packets, bytes)) in before {
            let now = moved.get_mut(&place).expect("counters do not fall");
            *now = (now.0 - packets, now.1 - bytes);
        }
        moved.retain(|_, count| *count != (0, 0));
        let outcome = match moved.pop_first() {
            None => None,
            Some(((counted, outcome), count)) => {
                assert_eq!(counted, direction, "{outcome:?}");
                assert_eq!(count, (1, packet.len() as u64), "{outcome:?}");
                Some(outcome)
            }
        };
        assert!(moved.is_empty(), "besides {outcome:?} these moved: {moved:?}");
        Seen { end: (result.return_value.cast_signed(), outcome), packet: out }
    }
}

fn port() -> Port {
    Port::new(Vni::new(VNI).expect("a VNI"), MacAddr(NEAR.0), [1; 32])
        .with_addresses4([NEAR.1, [0; 4], [0; 4], [0; 4]])
        .with_addresses6([six(NEAR), [0; 16], [0; 16], [0; 16]])
}

/// `struct __sk_buff` of `include/uapi/linux/bpf.h`: its size, and where `gso_size` stands.
const SK_BUFF: usize = 192;
const GSO_SIZE: usize = 176;
