//! What a question means to the one who asks it.

use std::net::IpAddr;

use hickory_proto::rr::{Name, RecordType};

use super::directory::{Directory, Zone};
use crate::model::NetworkId;

/// What there is to say to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// Addresses of the type asked for; at least one.
    Addresses(Vec<IpAddr>),
    /// Names, as `service.network`; at least one.
    Names(Vec<String>),
    /// The name is ours, but has nothing of the type asked for.
    NoData,
    /// There is no such name, and nobody else is asked.
    NoSuchName,
    /// The name is not ours.
    Forward,
    /// The network that was asked in is not known, which passes.
    NotReady,
}

impl Directory {
    /// Resolves `name` for `asker`, which asked at the gateway of `network`.
    ///
    /// Only the networks that the asker joined are looked into, in that order. Any other name is the outside's
    /// business, single labels too: as in Docker's resolver, since a host's own search for bare names must go on
    /// working in its containers. The price is that a mistyped service name is seen by the host's resolvers.
    pub(super) fn resolve(
        &self,
        network: &NetworkId,
        asker: IpAddr,
        name: &Name,
        kind: RecordType,
    ) -> Resolution {
        let zones = self.seen_by(network, asker);
        if zones.is_empty() {
            return Resolution::NotReady;
        }
        let ours = match reverse(name) {
            Some(address) => by_address(&zones, address, kind),
            None => by_name(&zones, name, kind),
        };
        ours.unwrap_or_else(|| {
            let outside = zones.iter().any(|zone| !zone.internal);
            if outside { Resolution::Forward } else { Resolution::NoSuchName }
        })
    }
}

/// The address of a name under `in-addr.arpa` or `ip6.arpa` that has all its digits.
fn reverse(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

fn by_address(zones: &[&Zone], address: IpAddr, kind: RecordType) -> Option<Resolution> {
    let found = zones.iter().find_map(|zone| Some((zone, zone.names(address)?)));
    if let Some((zone, names)) = found {
        let qualified = || names.iter().map(|name| format!("{name}.{}", zone.name)).collect();
        return Some(if kind == RecordType::PTR {
            Resolution::Names(qualified())
        } else {
            Resolution::NoData
        });
    }
    let inside = zones.iter().flat_map(|zone| &zone.subnets).any(|net| net.contains(&address));
    inside.then_some(Resolution::NoSuchName)
}

fn by_name(zones: &[&Zone], name: &Name, kind: RecordType) -> Option<Resolution> {
    let mut labels = name.iter().map(str::from_utf8);
    let service = labels.next()?.ok()?.to_ascii_lowercase();
    let network = labels.next().transpose().ok()?.map(str::to_ascii_lowercase);
    if labels.next().is_some() {
        return None;
    }
    let addresses = zones
        .iter()
        .filter(|zone| network.as_ref().is_none_or(|name| *name == zone.name))
        .find_map(|zone| zone.addresses(&service))?;
    let of_kind = |address: &&IpAddr| {
        kind == if address.is_ipv4() { RecordType::A } else { RecordType::AAAA }
    };
    let addresses: Vec<IpAddr> = addresses.iter().filter(of_kind).copied().collect();
    Some(if addresses.is_empty() { Resolution::NoData } else { Resolution::Addresses(addresses) })
}

#[cfg(test)]
mod tests;
