//! The hosts of the cluster, as the store has them.

use std::collections::BTreeMap;

use super::{Cluster, Finding, Patient, SKEW};
use crate::{
    model::{DaemonNote, Host, HostName, ServiceView, UnixTime},
    moment::unix_now,
};

pub(super) fn examine(patient: &Patient<'_>) -> Result<Vec<Finding>, String> {
    let Some(Cluster { hosts, services }) = &patient.cluster else {
        return Err("it takes the daemon and its store".to_owned());
    };
    Ok(judge(&patient.note, hosts, services, unix_now()))
}

fn judge(
    note: &DaemonNote,
    hosts: &[Host],
    services: &[ServiceView],
    now: UnixTime,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let own = hosts.iter().find(|host| host.name == note.host);
    if own.is_none() {
        found.push(Finding::new(
            "host-not-listed",
            note.host.as_str(),
            format!("the store does not list {}, though its daemon runs", note.host),
            "the others take this host for dead, and lead no name to its services",
            &note.host,
            super::RESTART,
        ));
    }
    found.extend(hosts.iter().filter_map(|host| same_address(host, hosts)));
    found.extend(dead(note, hosts, services));
    let ahead = hosts.iter().filter(|host| host.started > now + SKEW);
    found.extend(ahead.map(|host| {
        Finding::new(
            "clock-skew",
            host.name.as_str(),
            format!(
                "{} started {} s from now: its clock and this host's differ",
                host.name,
                host.started - now
            ),
            "certificates and times of the one mean something else to the other",
            &host.name,
            "timedatectl set-ntp true    # on both hosts",
        )
    }));
    if let Some(own) = own {
        let others = || hosts.iter().filter(|host| host.name != own.name);
        found.extend(others().filter_map(|other| mtu(note, own, other)));
        found.extend(others().filter_map(|other| settings(own, other)));
    }
    found
}

/// Two hosts that want the packets of one address; told once, of the second.
fn same_address(host: &Host, hosts: &[Host]) -> Option<Finding> {
    let shared =
        |other: &Host| host.vteps.iter().find(|vtep| other.vteps.iter().any(|v| v == *vtep));
    let mut before = hosts.iter().take_while(|other| other.name != host.name);
    let (other, address) = before.find_map(|other| Some((other, shared(other)?)))?;
    Some(Finding::new(
        "same-tunnel-address",
        host.name.as_str(),
        format!("{} and {} both say that their tunnel address is {address}", other.name, host.name),
        "packets for the services of one arrive at the other",
        &host.name,
        "ip -br address    # give the host an address of its own, then systemctl restart netctl",
    ))
}

/// Hosts that have services and give no sign of life.
fn dead(note: &DaemonNote, hosts: &[Host], services: &[ServiceView]) -> Vec<Finding> {
    let mut owners: BTreeMap<&HostName, usize> = BTreeMap::new();
    for owner in services.iter().filter_map(|view| view.endpoint.owner.as_ref()) {
        *owners.entry(&owner.host).or_default() += 1;
    }
    let missing =
        |name: &HostName| *name != note.host && hosts.iter().all(|host| host.name != *name);
    let gone = owners.into_iter().filter(|(name, _)| missing(name));
    gone.map(|(name, count)| {
        Finding::new(
            "host-dead",
            name.as_str(),
            format!("{name} has {count} services and has given no sign of life for 15 s"),
            "no name leads to them, and after --reap-after it loses them",
            name,
            "systemctl start netctl    # or, where it will not return: netctl service unpublish -f",
        )
    })
    .collect()
}

/// The underlay of one of the two carries less than that of the other.
fn mtu(note: &DaemonNote, own: &Host, other: &Host) -> Option<Finding> {
    let (low, high) = if own.mtu < other.mtu { (own, other) } else { (other, own) };
    if low.mtu == high.mtu {
        return None;
    }
    let device = note.underlay.as_deref().unwrap_or("eth0");
    Some(Finding::new(
        "mtu-differs",
        low.name.as_str(),
        format!(
            "the underlay of {} carries {} bytes a packet, and that of {} {}",
            low.name, low.mtu, high.name, high.mtu
        ),
        "what containers send from the one does not fit the other: each connection has to learn that",
        &low.name,
        format!("ip link set {device} mtu {}", high.mtu),
    ))
}

/// What is to be the same on all hosts.
fn settings(own: &Host, other: &Host) -> Option<Finding> {
    if own.vxlan_port != other.vxlan_port {
        return Some(Finding::new(
            "vxlan-port-differs",
            other.name.as_str(),
            format!(
                "{} takes VXLAN on port {}, and this host on {}",
                other.name, other.vxlan_port, own.vxlan_port
            ),
            "no packet between the two arrives",
            &other.name,
            "netctl config show    # have --vxlan-port be the same, then systemctl restart netctl",
        ));
    }
    (own.version != other.version).then(|| {
        Finding::new(
            "host-other-version",
            other.name.as_str(),
            format!("{} runs netctl {}, and this host {}", other.name, other.version, own.version),
            "an upgrade of the cluster is not complete",
            &other.name,
            "apt install netctl && systemctl restart netctl",
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::sound_note, *};

    fn host(name: &str, vtep: &str) -> Host {
        let id = "0123456789abcdef".repeat(4);
        serde_json::from_value(json!({
            "schema": 1, "id": id, "name": name, "vteps": [vtep], "vxlan_port": 4789,
            "mtu": 1500, "version": "0.1.0", "started": 1000,
        }))
        .expect("a host")
    }

    fn service(host: &str) -> ServiceView {
        let id = "0123456789abcdef".repeat(4);
        let owner = json!({"host": host, "sandbox": id, "vteps": ["192.0.2.9"]});
        serde_json::from_value(json!({
            "schema": 1, "id": id, "network": id, "name": "web", "aliases": [], "mac": null,
            "addresses": [], "owner": owner, "created": 0, "network_name": "dev",
        }))
        .expect("a service")
    }

    #[test]
    fn each_fault_of_the_cluster_is_named_with_the_host_that_has_it() {
        let (h1, h2) = (host("h1", "192.0.2.1"), host("h2", "192.0.2.2"));
        let both = || vec![h1.clone(), h2.clone()];
        let other = |change: fn(&mut Host)| {
            let mut hosts = both();
            change(&mut hosts[1]);
            hosts
        };
        for (hosts, owner, expected) in [
            (both(), "h2", None),
            (vec![h2.clone()], "h2", Some(("host-not-listed", "h1"))),
            (vec![h1.clone()], "h2", Some(("host-dead", "h2"))),
            (vec![h1.clone(), host("h2", "192.0.2.1")], "h2", Some(("same-tunnel-address", "h2"))),
            (other(|host| host.started = 1006), "h2", Some(("clock-skew", "h2"))),
            (other(|host| host.mtu = 1400), "h2", Some(("mtu-differs", "h2"))),
            (other(|host| host.mtu = 9000), "h2", Some(("mtu-differs", "h1"))),
            (other(|host| host.vxlan_port = 8472), "h2", Some(("vxlan-port-differs", "h2"))),
            (other(|host| host.version = "0.2.0".into()), "h2", Some(("host-other-version", "h2"))),
        ] {
            let found = judge(&sound_note(), &hosts, &[service(owner)], 1000);
            let found: Vec<_> = found.iter().map(|f| (f.id, f.object.as_str())).collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
