//! The way to each other host, by probes on the very port that tunnels use.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    Cluster, Finding, Patient,
    probe::{Answered, Found, probe},
    unseen,
};
use crate::model::{DaemonNote, Host, Vteps};

/// A host, and what there is to say of the way to it.
struct Path {
    host: Host,
    peer: IpAddr,
    /// What an IP packet to it may have, in bytes, as far as both ends and the kernel's route say.
    promised: u32,
    /// Whether the kernel has a route to it by the underlay.
    routed: bool,
    /// What probes said; none where they would not be answered, since the two hosts share no network.
    found: Option<Found>,
}

pub(super) async fn examine(patient: &Patient<'_>) -> Result<Vec<Finding>, String> {
    let Patient { client, netlink, note, cluster, .. } = patient;
    let Some(Cluster { hosts, .. }) = cluster else {
        return Err("it takes the daemon and its store".to_owned());
    };
    let mine: Vec<IpAddr> = note.addresses.iter().map(ipnet::IpNet::addr).collect();
    let own = Vteps::try_from(mine.clone()).map_err(unseen)?;
    let Some(underlay) = &note.underlay else {
        return Err("the underlay is not known".to_owned());
    };
    let link = netlink.link_by_name(underlay).await.map_err(unseen)?;
    // Who shares a network with this host answers it, and no other.
    let fdb = client.fdb().await.map_err(unseen)?;
    let tunnels: BTreeSet<IpAddr> = fdb.into_iter().filter_map(|row| row.vtep).collect();
    let mut paths = Vec::new();
    for host in hosts.iter().filter(|host| host.name != note.host) {
        let Some(peer) = own.towards(&host.vteps) else { continue };
        let Some(source) = mine.iter().copied().find(|own| own.is_ipv4() == peer.is_ipv4()) else {
            continue;
        };
        let way = netlink.way(peer, source, link.index).await.map_err(unseen)?;
        let known = way.and_then(|way| way.mtu).unwrap_or(u32::MAX);
        let promised = link.mtu.min(host.mtu).min(known);
        let port = note.vxlan_port;
        // One of another version may not know of probes.
        let knows = tunnels.contains(&peer) && host.version == env!("CARGO_PKG_VERSION");
        let found = if knows && way.is_some() {
            let probing = move || probe(source, peer, port, promised);
            let probed = netlink.netns().run(probing).await.map_err(unseen)?;
            Some(probed.map_err(|error| format!("cannot probe the way to {peer}: {error}"))?)
        } else {
            None
        };
        paths.push(Path { host: host.clone(), peer, promised, routed: way.is_some(), found });
    }
    Ok(paths.iter().filter_map(|path| judge(note, path)).collect())
}

/// The first thing that is wrong: what comes after it says nothing then.
fn judge(note: &DaemonNote, path: &Path) -> Option<Finding> {
    let Path { host, peer, promised, routed, found } = path;
    let (name, port) = (&host.name, note.vxlan_port);
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
    use serde_json::json;

    use super::{super::sound_note, *};

    #[test]
    fn what_is_wrong_first_on_the_way_is_named() {
        let id = "0123456789abcdef".repeat(4);
        let host: Host = serde_json::from_value(json!({
            "schema": 1, "id": id, "name": "h2", "vteps": ["192.0.2.2"], "vxlan_port": 4789,
            "mtu": 1500, "version": "0.1.0", "started": 0,
        }))
        .expect("a host");
        let note = sound_note();
        let sound = Found { refused: false, answered: Answered::Tunnel, largest: Some(1500) };
        let heard = |answered| Some(Found { refused: false, answered, largest: None });
        let path = |routed, found| Path {
            host: host.clone(),
            peer: host.vteps.iter().next().expect("an address"),
            promised: 1500,
            routed,
            found,
        };
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
