//! Hosts that share no store: each is told which of the others has which addresses, by the same option.
//!
//! Nothing else passes between them. So all that a host would learn from the store is what follows from an address: the
//! link-layer address, and the tunnel address of the host whose range it lies in.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;

use super::super::{Error, HostContext, options::Options};
use crate::model::{Network, NetworkSpec, Peer, Vni};

const PEERS: &[&str] = &["peers"];
/// The most addresses that peers may have together: each is an entry of two maps on every host.
const MOST: u128 = 16_384;

/// Takes the option, and checks that it agrees with all else that the hosts must agree on.
pub(super) fn take(
    host: &HostContext,
    options: &mut Options<'_>,
    spec: &NetworkSpec,
    vni: Option<Vni>,
) -> Result<Vec<Peer>, Error> {
    let Some(Peers(peers)) = options.take::<Peers>(PEERS)? else { return Ok(Vec::new()) };
    let unusable = |reason: String| Error::Value {
        option: PEERS[0].to_owned(),
        value: spec.options.get(PEERS[0]).cloned().unwrap_or_default(),
        reason,
    };
    let [subnet] = *spec.subnets else {
        return Err(unusable(
            "the hosts must agree on the subnet: give one with --subnet, the same on each"
                .to_owned(),
        ));
    };
    if spec.ipv6 && subnet.addr().is_ipv4() {
        return Err(unusable("such a network has one subnet: leave out --ipv6".to_owned()));
    }
    if vni.is_none() {
        return Err(unusable(
            "the hosts must agree on the VNI: give one with -o vni=NUMBER, the same on each"
                .to_owned(),
        ));
    }
    let [own] = &*spec.ip_ranges else {
        return Err(unusable(format!(
            "say with --ip-range which part of {subnet} is this host's own"
        )));
    };
    let ranges = || std::iter::once(own.range).chain(peers.iter().map(|peer| peer.range));
    for (at, peer) in peers.iter().enumerate() {
        if !subnet.contains(&peer.range) {
            return Err(unusable(format!("{} does not lie in subnet {subnet}", peer.range)));
        }
        let overlaps = |other: &IpNet| other.contains(&peer.range) || peer.range.contains(other);
        if let Some(other) = ranges().take(at + 1).find(overlaps) {
            return Err(unusable(format!(
                "{} overlaps with {other}: each address is on one host",
                peer.range
            )));
        }
        if host.vteps().iter().any(|own| own == peer.vtep) {
            return Err(unusable(format!(
                "{} is this host's own tunnel address: name the others",
                peer.vtep
            )));
        }
        if !host.vteps().iter().any(|own| own.is_ipv4() == peer.vtep.is_ipv4()) {
            return Err(unusable(format!(
                "this host has no tunnel address of the family of {}: it has {}",
                peer.vtep,
                host.vteps()
            )));
        }
    }
    let all = peers.iter().fold(0_u128, |all, peer| all.saturating_add(size(&peer.range)));
    if all > MOST {
        return Err(unusable(format!("the peers have {all} addresses: they can have {MOST}")));
    }
    Ok(peers)
}

/// The addresses that may be on other hosts, each with the tunnel address behind which it is. All of them are known to
/// the data plane: whether somebody has one, nobody can say.
pub(super) fn stations<'a>(
    host: &'a HostContext,
    network: &'a Network,
) -> impl Iterator<Item = (IpAddr, IpAddr)> + 'a {
    let own = host.vteps();
    let is_other = move |peer: &&Peer| own.iter().all(|own| own != peer.vtep);
    let others = network.peers.iter().filter(is_other);
    others.flat_map(move |peer| {
        let subnet = network.subnets.iter().find(|subnet| subnet.cidr.contains(&peer.range));
        let first = peer.range.network();
        (0..size(&peer.range).min(MOST)).filter_map(move |at| {
            let address = behind(first, at)?;
            let usable = subnet.is_some_and(|subnet| {
                address != subnet.gateway && subnet.check_host("address", address).is_ok()
            });
            usable.then_some((address, peer.vtep))
        })
    })
}

fn behind(first: IpAddr, at: u128) -> Option<IpAddr> {
    Some(match first {
        IpAddr::V4(v4) => IpAddr::V4(u32::try_from(u128::from(u32::from(v4)) + at).ok()?.into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).checked_add(at)?.into()),
    })
}

fn size(range: &IpNet) -> u128 {
    1_u128.checked_shl(u32::from(range.max_prefix_len() - range.prefix_len())).unwrap_or(u128::MAX)
}

/// Peers with commas between.
struct Peers(Vec<Peer>);

impl FromStr for Peers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let peers: Result<Vec<Peer>, _> = text.split(',').map(str::parse).collect();
        peers.map(Self).map_err(|error| error.to_string())
    }
}
