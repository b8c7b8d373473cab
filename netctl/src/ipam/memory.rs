//! What a network remembers of addresses that it gave: hints, which nothing depends on.
//!
//! The last address of each range, so that one that was given back is given again as late as possible; and the addresses
//! of services that went, so that one of the same name gets them again while they are free. The latter are a few keys
//! for each network, each for a part of all names, so that removing services at once seldom meets at one key, and the
//! network's removal removes all of them at once.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::{
    model::{HostName, Name, Network, NetworkId},
    store::{Guard, Store, Txn},
};

/// What the keys of all hints begin with; the network follows.
pub const HINTS: &str = "ipam/hints/";
/// How many keys hold the names of a network.
const SLOTS: u8 = 16;
/// How many names one of them holds; the oldest goes.
const NAMES: usize = 64;

/// The addresses of a service that went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    name: String,
    addresses: Vec<IpAddr>,
}

/// The key that says which address of a range was given last.
pub fn last_key(network: &NetworkId, range: IpNet) -> String {
    format!("{HINTS}{network}/last/{range}")
}

fn slot_key(network: &NetworkId, slot: u8) -> String {
    format!("{HINTS}{network}/kept/{slot:x}")
}

/// FNV-1a of the name as the cluster tells names apart: the same in every version.
fn slot_of(name: &str) -> u8 {
    let hash = name
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_be_bytes();
    (a ^ b ^ c ^ d) % SLOTS
}

/// The last address that was given out of a range.
pub(super) async fn last(
    store: &dyn Store,
    network: &NetworkId,
    range: IpNet,
) -> Result<Option<IpAddr>, Error> {
    let entry = store.get(&last_key(network, range)).await?;
    Ok(entry.and_then(|entry| String::from_utf8_lossy(&entry.value).parse().ok()))
}

/// The addresses that a service of this name had last; none where that is not known any more.
pub(super) async fn kept(
    store: &dyn Store,
    network: &NetworkId,
    name: &Name,
) -> Result<Vec<IpAddr>, Error> {
    let name = name.as_str().to_ascii_lowercase();
    let entry = store.get(&slot_key(network, slot_of(&name))).await?;
    let all = entry.map_or_else(Vec::new, |entry| read(&entry.value));
    Ok(all.into_iter().find(|kept| kept.name == name).map_or_else(Vec::new, |kept| kept.addresses))
}

/// The piece of a transaction that remembers the addresses of a service that goes.
pub async fn remember(
    store: &dyn Store,
    network: &NetworkId,
    name: &Name,
    addresses: &[IpNet],
) -> Result<Txn, Error> {
    if addresses.is_empty() {
        return Ok(Txn::new());
    }
    let name = name.as_str().to_ascii_lowercase();
    let key = slot_key(network, slot_of(&name));
    let entry = store.get(&key).await?;
    let mut all = entry.as_ref().map_or_else(Vec::new, |entry| read(&entry.value));
    all.retain(|kept| kept.name != name);
    all.drain(..(all.len() + 1).saturating_sub(NAMES));
    all.push(Kept { name, addresses: addresses.iter().map(IpNet::addr).collect() });
    let guard = match entry {
        Some(entry) => Guard::Unchanged(key.clone(), entry.modified),
        None => Guard::Absent(key.clone()),
    };
    let value = serde_json::to_vec(&all).expect("names and addresses have a JSON form");
    Ok(Txn::new().when(guard).put(key, value))
}

/// The piece of a transaction that forgets all of a network that goes.
pub fn forget(network: &Network) -> Txn {
    let slots = (0..SLOTS).map(|slot| slot_key(&network.id, slot));
    let ranges = network.subnets.iter().flat_map(|subnet| {
        let whole = [subnet.range.unwrap_or(subnet.cidr)];
        let mut ranges: Vec<IpNet> = whole.into_iter().chain(hosts(&subnet.host_ranges)).collect();
        ranges.sort_unstable();
        ranges.dedup();
        ranges.into_iter().map(|range| last_key(&network.id, range))
    });
    slots.chain(ranges).fold(Txn::new(), Txn::delete)
}

fn hosts(ranges: &std::collections::BTreeMap<HostName, IpNet>) -> impl Iterator<Item = IpNet> + '_ {
    ranges.values().copied()
}

/// A hint that cannot be read is none.
fn read(value: &[u8]) -> Vec<Kept> {
    serde_json::from_slice(value).unwrap_or_default()
}
