//! The maps. They are private to this file: a stage asks a question and gets an answer.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::generated::bpf_ktime_get_coarse_ns,
    macros::map,
    maps::{Array, HashMap},
};
use netctl_common::{
    DropReason, MacAddr, addr6,
    maps::{
        FDB_ENTRIES, FLOOD_ENTRIES, FdbEntry, FdbKey, FdbTarget, FloodKey, FloodMember,
        MEMBER_ENTRIES, MemberKey, NEIGH_ENTRIES, NETWORK_ENTRIES, Neighbour, NeighbourKey4,
        NeighbourKey6, Network, NextHop, PORT_ENTRIES, Port, TunnelAddr, VTEP_ENTRIES, Vtep,
    },
};

// Most hosts use a small part of these; what is not used takes no memory.
const SPARSE: u32 = BPF_F_NO_PREALLOC;

#[map]
static PORTS: HashMap<u32, Port> = HashMap::with_max_entries(PORT_ENTRIES, SPARSE);
#[map]
static FDB: HashMap<FdbKey, FdbEntry> = HashMap::with_max_entries(FDB_ENTRIES, SPARSE);
#[map]
static NEIGH4: HashMap<NeighbourKey4, Neighbour> = HashMap::with_max_entries(NEIGH_ENTRIES, SPARSE);
#[map]
static NEIGH6: HashMap<NeighbourKey6, Neighbour> = HashMap::with_max_entries(NEIGH_ENTRIES, SPARSE);
#[map]
static VTEPS: Array<Vtep> = Array::with_max_entries(VTEP_ENTRIES, 0);
#[map]
static VTEP_BY_ADDR: HashMap<TunnelAddr, u32> = HashMap::with_max_entries(VTEP_ENTRIES, SPARSE);
#[map]
static NEXT_HOPS: Array<NextHop> = Array::with_max_entries(VTEP_ENTRIES, 0);
#[map]
static NEXT_HOPS_UNTIL: Array<u64> = Array::with_max_entries(1, 0);
#[map]
static MEMBERS: HashMap<MemberKey, u32> = HashMap::with_max_entries(MEMBER_ENTRIES, SPARSE);
#[map]
static FLOOD: HashMap<FloodKey, FloodMember> = HashMap::with_max_entries(FLOOD_ENTRIES, SPARSE);
#[map]
static NETWORKS: HashMap<u32, Network> = HashMap::with_max_entries(NETWORK_ENTRIES, SPARSE);

/// The endpoint behind the device.
#[inline(always)]
pub(crate) fn port(device: u32) -> Result<&'static Port, DropReason> {
    // SAFETY: an entry's memory lives until the program ends, even if the daemon deletes it meanwhile, and every bit
    // pattern of it is valid.
    unsafe { PORTS.get(device) }.ok_or(DropReason::UnknownPort)
}

/// Where the station `mac` of the network `vni` is.
#[inline(always)]
pub(crate) fn station(vni: u32, mac: MacAddr) -> Option<FdbTarget> {
    // SAFETY: as above.
    unsafe { FDB.get(FdbKey::from_wire(vni, mac)) }.map(FdbEntry::target)
}

/// Who has the address in the network `vni`.
#[inline(always)]
pub(crate) fn neighbour4(vni: u32, address: [u8; 4]) -> Option<MacAddr> {
    // SAFETY: as above.
    unsafe { NEIGH4.get(NeighbourKey4::from_wire(vni, address)) }.map(Neighbour::mac)
}

/// The same for an IPv6 address: as the map has it, or a link-local address that a station made of its own MAC.
#[inline(always)]
pub(crate) fn neighbour6(vni: u32, address: [u8; 16]) -> Option<MacAddr> {
    // SAFETY: as above.
    match unsafe { NEIGH6.get(NeighbourKey6::from_wire(vni, address)) } {
        Some(neighbour) => Some(neighbour.mac()),
        None => addr6::mac_of_link_local(address).filter(|mac| station(vni, *mac).is_some()),
    }
}

/// The host at this index.
#[inline(always)]
pub(crate) fn vtep(index: u32) -> Option<&'static Vtep> {
    VTEPS.get(index).filter(|vtep| vtep.is_used())
}

/// The way to the host at this index, for as long as the daemon vouches for it.
#[inline(always)]
pub(crate) fn next_hop(index: u32) -> Option<&'static NextHop> {
    // SAFETY: a helper call without arguments.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    if now < *NEXT_HOPS_UNTIL.get(0)? { NEXT_HOPS.get(index) } else { None }
}

/// Whether a host of ours has this tunnel address.
#[inline(always)]
pub(crate) fn is_vtep(address: &TunnelAddr) -> bool {
    // SAFETY: as above.
    unsafe { VTEP_BY_ADDR.get(address) }.is_some()
}

/// Whether the host with this tunnel address has an endpoint in the network.
#[inline(always)]
pub(crate) fn is_member(vni: u32, host: &TunnelAddr) -> bool {
    // SAFETY: as above.
    unsafe { MEMBERS.get(MemberKey::from_wire(vni, *host)) }.is_some()
}

/// Who has this place in the list of the network's members.
#[inline(always)]
pub(crate) fn flood_member(vni: u32, place: u32) -> Option<FdbTarget> {
    // SAFETY: as above.
    unsafe { FLOOD.get(FloodKey::from_wire(vni, place)) }.map(FloodMember::target)
}

/// The network, if this host is in it.
#[inline(always)]
pub(crate) fn network(vni: u32) -> Option<&'static Network> {
    // SAFETY: as above.
    unsafe { NETWORKS.get(vni) }
}

/// Whether all members are asked who has an address that nobody is known to have.
#[inline(always)]
pub(crate) fn is_open(vni: u32) -> bool {
    network(vni).is_some_and(Network::is_open)
}
