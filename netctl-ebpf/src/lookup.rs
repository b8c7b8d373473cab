//! The maps. They are private to this file: a stage asks a question and gets an answer.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap},
};
use netctl_common::{
    DropReason, MacAddr,
    maps::{
        FDB_ENTRIES, FdbEntry, FdbKey, FdbTarget, NEIGH_ENTRIES, NETWORK_ENTRIES, Neighbour,
        NeighbourKey4, Network, PORT_ENTRIES, Port, TunnelAddr, VTEP_ENTRIES, Vtep,
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
static VTEPS: Array<Vtep> = Array::with_max_entries(VTEP_ENTRIES, 0);
#[map]
static VTEP_BY_ADDR: HashMap<TunnelAddr, u32> = HashMap::with_max_entries(VTEP_ENTRIES, SPARSE);
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

/// The host at this index.
#[inline(always)]
pub(crate) fn vtep(index: u32) -> Option<&'static Vtep> {
    VTEPS.get(index).filter(|vtep| vtep.is_used())
}

/// Whether a host of ours has this tunnel address.
#[inline(always)]
pub(crate) fn is_vtep(address: &TunnelAddr) -> bool {
    // SAFETY: as above.
    unsafe { VTEP_BY_ADDR.get(address) }.is_some()
}

/// Whether this host is in the network.
#[inline(always)]
pub(crate) fn has_network(vni: u32) -> bool {
    // SAFETY: as above.
    unsafe { NETWORKS.get(vni) }.is_some()
}
