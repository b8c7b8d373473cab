//! The programs of host A, with maps for one network that is on host A and host B:
//!
//! ```text
//!   network 4097, 10.0.0.0/24
//!   host A 192.0.2.1: near (ifindex 1), beside (ifindex 7), the gateway 10.0.0.1 (ifindex 9)
//!   host B 192.0.2.2: far
//!   host C 192.0.2.3: no station
//! ```

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
    programs::{TestRun as _, TestRunOptions},
};
use netctl_common::{
    Direction, DropReason, MacAddr, Outcome, Verdict, Vni, config,
    maps::{
        FDB, FdbEntry, FdbKey, FdbTarget, NEIGH4, NETWORKS, Neighbour, NeighbourKey4, Network,
        PORTS, Port, TunnelAddr, VTEP_BY_ADDR, VTEPS, Vtep,
    },
};

use crate::{counters, object};

pub(crate) const VNI: u32 = 4097;
pub(crate) const MTU: u32 = 1450;
pub(crate) const HOST_A: [u8; 4] = [192, 0, 2, 1];
pub(crate) const HOST_B: [u8; 4] = [192, 0, 2, 2];
pub(crate) const HOST_C: [u8; 4] = [192, 0, 2, 3];

pub(crate) const NEAR: ([u8; 6], [u8; 4]) = ([2, 0, 0, 0, 0, 0x11], [10, 0, 0, 11]);
pub(crate) const BESIDE: ([u8; 6], [u8; 4]) = ([2, 0, 0, 0, 0, 0x12], [10, 0, 0, 12]);
pub(crate) const FAR: ([u8; 6], [u8; 4]) = ([2, 0, 0, 0, 0, 0x21], [10, 0, 0, 21]);
pub(crate) const GATEWAY: ([u8; 6], [u8; 4]) = ([2, 0, 0, 0, 0, 1], [10, 0, 0, 1]);
/// A station whose host has no tunnel address.
pub(crate) const LOST: [u8; 6] = [2, 0, 0, 0, 0, 0x31];

pub(crate) const BESIDE_DEVICE: u32 = 7;
pub(crate) const GATEWAY_DEVICE: u32 = 9;
/// The device that `BPF_PROG_TEST_RUN` receives on, if not told otherwise.
const LO: u32 = 1;
const VTEP_B: u32 = 3;
const NO_VTEP: u32 = 4;

pub(crate) const NEXT: i32 = -1;
pub(crate) const DROP: i32 = 2;
pub(crate) const REDIRECT: i32 = 7;

/// What a program did to a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) action: i32,
    /// The one counter that moved.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) packet: Vec<u8>,
}

/// A row of a table: what it is, the packet and how long the parts are that the kernel would cut it into; the action
/// and the counter that are expected.
pub(crate) type Case<'a> = (&'a str, Vec<u8>, u32, i32, Option<Outcome>);

#[expect(clippy::unnecessary_wraps, reason = "a packet that is not ours moves no counter")]
pub(crate) const fn forwarded(verdict: Verdict) -> Option<Outcome> {
    Some(Outcome::Forwarded(verdict))
}

#[expect(clippy::unnecessary_wraps, reason = "a packet that is not ours moves no counter")]
pub(crate) const fn dropped(reason: DropReason) -> Option<Outcome> {
    Some(Outcome::Dropped(reason))
}

pub(crate) struct Rig {
    ebpf: Ebpf,
}

impl Rig {
    pub(crate) fn new() -> Result<Self> {
        let mut rig = Self { ebpf: object::load(HOST_A, [0; 16], 5, 6)? };
        rig.set_port(0)?;

        let vni = Vni::new(VNI).expect("a VNI");
        let stations = [
            (NEAR.0, FdbTarget::Container(LO)),
            (BESIDE.0, FdbTarget::Container(BESIDE_DEVICE)),
            (GATEWAY.0, FdbTarget::Host(GATEWAY_DEVICE)),
            (FAR.0, FdbTarget::Remote(VTEP_B)),
            (LOST, FdbTarget::Remote(NO_VTEP)),
        ];
        let mut fdb: HashMap<_, FdbKey, FdbEntry> = rig.map(FDB)?;
        for (mac, target) in stations {
            fdb.insert(FdbKey::new(vni, MacAddr(mac)), FdbEntry::new(target), 0)?;
        }
        let mut neighbours: HashMap<_, NeighbourKey4, Neighbour> = rig.map(NEIGH4)?;
        for (mac, address) in [NEAR, BESIDE, FAR, GATEWAY] {
            neighbours.insert(NeighbourKey4::new(vni, address), Neighbour::new(MacAddr(mac)), 0)?;
        }
        let mut networks: HashMap<_, u32, Network> = rig.map(NETWORKS)?;
        networks.insert(VNI, Network::new(MTU, Some(MacAddr(GATEWAY.0))), 0)?;

        let map = rig.ebpf.map_mut(VTEPS).expect("a map of hosts");
        let mut vteps: Array<&mut MapData, Vtep> = map.try_into()?;
        vteps.set(VTEP_B, Vtep::new_v4(HOST_A, HOST_B, object::PORT, MTU), 0)?;
        let mut by_address: HashMap<_, TunnelAddr, u32> = rig.map(VTEP_BY_ADDR)?;
        by_address.insert(TunnelAddr::from_v4(HOST_B), VTEP_B, 0)?;
        by_address.insert(TunnelAddr::from_v4(HOST_C), VTEP_B + 2, 0)?;
        Ok(rig)
    }

    /// Puts the port of `NEAR` under these flags of [`Port`].
    pub(crate) fn set_port(&mut self, flags: u32) -> Result<()> {
        let vni = Vni::new(VNI).expect("a VNI");
        let addresses = [NEAR.1, [0; 4], [0; 4], [0; 4]];
        let port =
            Port::new(vni, MacAddr(NEAR.0), [1; 32]).with_addresses4(addresses).with_flags(flags);
        Ok(self.map(PORTS)?.insert(LO, port, 0)?)
    }

    pub(crate) fn remove_port(&mut self) -> Result<()> {
        let mut ports: HashMap<_, u32, Port> = self.map(PORTS)?;
        Ok(ports.remove(&LO)?)
    }

    /// How many instructions the verifier followed before it accepted the program.
    pub(crate) fn verified(&mut self, name: &str) -> Result<u32> {
        let info = object::program(&mut self.ebpf, name)?.info()?;
        info.verified_instruction_count().context("the kernel does not say")
    }

    fn map<K: aya::Pod, V: aya::Pod>(&mut self, name: &str) -> Result<HashMap<&mut MapData, K, V>> {
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
        let result = if direction == Direction::UnderlayFilter {
            object::filter(&mut self.ebpf).expect("a program").test_run(options)
        } else {
            let name = match direction {
                Direction::FromContainer => config::FROM_CONTAINER,
                Direction::FromUnderlay => config::FROM_UNDERLAY,
                _ => config::FROM_TUNNEL,
            };
            options.ctx_in = Some(&context);
            object::program(&mut self.ebpf, name).expect("a program").test_run(options)
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
        Seen { action: result.return_value.cast_signed(), outcome, packet: out }
    }
}

/// `struct __sk_buff` of `include/uapi/linux/bpf.h`: its size, and where `gso_size` stands.
const SK_BUFF: usize = 192;
const GSO_SIZE: usize = 176;
