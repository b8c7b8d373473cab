//! The way to each other host, by probes on the very port that tunnels use.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    Cluster, Finding, Patient,
    probe::{Answered, Found, probe},
    unseen,
};
use crate::{
    kernel::Netlink,
    model::{DaemonNote, Vteps},
};

/// A host to which there is a way, as far as is known.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name, or its address where it is no host of netctl.
    pub name: String,
    /// Its tunnel address.
    pub address: IpAddr,
    /// The MTU of its underlay device, in bytes; `None` where it does not say.
    pub mtu: Option<u32>,
    /// Whether it answers probes: it shares a network with this host, and is of this version.
    pub answers: bool,
}

/// A host, and what there is to say of the way to it.
struct Path {
    peer: Peer,
    /// What an IP packet to it may have, in bytes, as far as both ends and the kernel's route say.
    promised: u32,
    /// Whether the kernel has a route to it by the underlay.
    routed: bool,
    /// What probes said; none where they would not be answered.
    found: Option<Found>,
}

/// What is to be known of the way to a host.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What an IP packet may have on the way, in bytes, as far as that was found out.
    pub carries: u32,
    /// Whether probes were answered.
    pub probed: bool,
    /// What is wrong first.
    pub finding: Option<Finding>,
}

/// Tries out the way to a host, from the namespace of `netlink` and as its daemon's `note` says.
///
/// # Errors
/// In a sentence, why it cannot be tried.
pub async fn try_way(netlink: &Netlink, note: &DaemonNote, peer: Peer) -> Result<Verdict, String> {
    let path = look(netlink, note, peer).await?;
    let largest = path.found.as_ref().and_then(|found| found.largest);
    Ok(Verdict {
        carries: largest.map_or(path.promised, |largest| largest.min(path.promised)),
        probed: path.found.as_ref().is_some_and(|found| found.answered == Answered::Tunnel),
        finding: judge(note, &path),
    })
}

pub(super) async fn examine(patient: &Patient<'_>) -> Result<Vec<Finding>, String> {
    let Patient { client, netlink, note, cluster, .. } = patient;
    let Some(Cluster { hosts, .. }) = cluster else {
        return Err("it takes the daemon and its store".to_owned());
    };
    let own = Vteps::try_from(addresses(note)).map_err(unseen)?;
    if note.underlay.is_none() {
        return Err(UNKNOWN.to_owned());
    }
    // Who shares a network with this host answers it, and no other.
    let fdb = client.fdb().await.map_err(unseen)?;
    let tunnels: BTreeSet<IpAddr> = fdb.into_iter().filter_map(|row| row.vtep).collect();
    let mut findings = Vec::new();
    for host in hosts.iter().filter(|host| host.name != note.host) {
        let Some(address) = own.towards(&host.vteps) else { continue };
        // One of another version may not know of probes.
        let answers = tunnels.contains(&address) && host.version == env!("CARGO_PKG_VERSION");
        let (name, mtu) = (host.name.to_string(), Some(host.mtu));
        let path = look(netlink, note, Peer { name, address, mtu, answers }).await?;
        findings.extend(judge(note, &path));
    }
    Ok(findings)
}

const UNKNOWN: &str = "the underlay is not known";

fn addresses(note: &DaemonNote) -> Vec<IpAddr> {
    note.addresses.iter().map(ipnet::IpNet::addr).collect()
}

async fn look(netlink: &Netlink, note: &DaemonNote, peer: Peer) -> Result<Path, String> {
    let link =
        netlink.link_by_name(note.underlay.as_ref().ok_or(UNKNOWN)?).await.map_err(unseen)?;
    let (address, port) = (peer.address, note.vxlan_port);
    let mut own = addresses(note).into_iter();
    let source = own
        .find(|own| own.is_ipv4() == address.is_ipv4())
        .ok_or_else(|| format!("this host has no address of the family of {address}"))?;
    let way = netlink.way(address, source, link.index).await.map_err(unseen)?;
    let known = way.and_then(|way| way.mtu).unwrap_or(u32::MAX);
    let promised = link.mtu.min(peer.mtu.unwrap_or(u32::MAX)).min(known);
    let found = if peer.answers && way.is_some() {
        let probing = move || probe(source, address, port, promised);
        let probed = netlink.netns().run(probing).await.map_err(unseen)?;
        Some(probed.map_err(|error| format!("cannot probe the way to {address}: {error}"))?)
    } else {
        None
    };
    Ok(Path { peer, promised, routed: way.is_some(), found })
}

/// The first thing that is wrong: what comes after it says nothing then.
fn judge(note: &DaemonNote, path: &Path) -> Option<Finding> {
    let Path { peer, promised, routed, found } = path;
    let (name, peer, port) = (&peer.name, peer.address, note.vxlan_port);
    let device = note.underlay.as_deref().unwrap_or("eth0");
    let finding = |id, what: String, why, mend: String| {
        Some(Finding::new(id, name.as_str(), what, why, &note.host, mend))
    };
    const LOST: &str = "nothing that containers send to its services arrives";
    if !routed {
        return finding(
            "peer-no-route",
            format!("there is no route to {name} ({peer}) by {device}"),
            LOST,
            format!("ip route get {peer} oif {device}    # and add what is missing"),
        );
    }
    let found = found.as_ref()?;
    if found.refused {
        return finding(
            "tunnel-refused",
            format!("this host's own packet filter drops what goes to UDP port {port} of {name}"),
            "what takes the kernel's vxlan device is lost: groups, datagrams that are cut",
            format!("iptables -I OUTPUT -p udp --dport {port} -j ACCEPT"),
        );
    }
    match found.answered {
        Answered::Nothing => finding(
            "peer-unreachable",
            format!("{name} does not answer at {peer}, though its daemon was heard of"),
            LOST,
            format!("ip neigh show {peer}; ping -c 3 {peer}    # and see to the network between"),
        ),
        Answered::Life => finding(
            "tunnel-blocked",
            format!("{name} is there, and what is sent to its UDP port {port} is not answered"),
            LOST,
            format!(
                "netctl doctor    # on {name}; then let UDP port {port} to {peer} pass in every firewall between"
            ),
        ),
        Answered::Back => finding(
            "tunnel-blocked-here",
            format!("what {name} sends to UDP port {port} of this host does not arrive"),
            "nothing that its containers send to services here arrives",
            format!(
                "netctl doctor    # on {name}; then let UDP port {port} from {peer} pass in every firewall between"
            ),
        ),
        Answered::Tunnel if found.largest.unwrap_or(0) < *promised => {
            let largest = found.largest.unwrap_or(0);
            finding(
                "path-mtu",
                format!(
                    "packets of {promised} bytes to {name} are lost on the way, and those of {largest} are not"
                ),
                "small packets and pings pass, and large transfers hang",
                format!(
                    "ip link set {device} mtu {largest}    # on all hosts, or give the network between {promised}"
                ),
            )
        }
        Answered::Tunnel => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sound_note, *};

    #[test]
    fn what_is_wrong_first_on_the_way_is_named() {
        let peer = Peer {
            name: "h2".to_owned(),
            address: [192, 0, 2, 2].into(),
            mtu: Some(1500),
            answers: true,
        };
        let note = sound_note();
        let sound = Found { refused: false, answered: Answered::Tunnel, largest: Some(1500) };
        let heard = |answered| Some(Found { refused: false, answered, largest: None });
        let path = |routed, found| Path { peer: peer.clone(), promised: 1500, routed, found };
        for (path, expected) in [
            (path(true, Some(sound.clone())), None),
            (path(true, None), None),
            (path(false, None), Some("peer-no-route")),
            (path(true, heard(Answered::Nothing)), Some("peer-unreachable")),
            (path(true, Some(Found { refused: true, ..sound.clone() })), Some("tunnel-refused")),
            (path(true, heard(Answered::Life)), Some("tunnel-blocked")),
            (path(true, heard(Answered::Back)), Some("tunnel-blocked-here")),
            (path(true, Some(Found { largest: Some(1400), ..sound })), Some("path-mtu")),
        ] {
            assert_eq!(judge(&note, &path).map(|finding| finding.id), expected);
        }
    }
}
