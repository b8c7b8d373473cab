//! Sandboxes: whether each has what it is to have, whether its names are answered, and what is left of others.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RecordType},
};
use ipnet::IpNet;

use super::{Finding, Patient, RESTART, unseen};
use crate::{
    controller::{Kept, kept},
    drivers::{is_port, port},
    kernel::{Netlink, Netns},
    model::HostName,
};

/// How long a name server may take, twice.
const PATIENCE: Duration = Duration::from_millis(700);

/// A sandbox as it is.
struct Seen {
    name: String,
    netns: String,
    /// None where its namespace is gone.
    inside: Option<Inside>,
}

struct Inside {
    interfaces: Vec<Interface>,
    /// The name servers that did not answer.
    silent: Vec<IpAddr>,
}

struct Interface {
    device: String,
    wanted: Vec<IpNet>,
    /// Whether it is up, and its addresses; none where there is no such device.
    found: Option<(bool, Vec<IpNet>)>,
}

pub(super) async fn examine(patient: &Patient<'_>) -> Result<Vec<Finding>, String> {
    // First what there is, and then whose it is: what is made meanwhile is somebody's.
    let links = patient.netlink.links().await.map_err(unseen)?;
    let sandboxes = kept(&patient.note.state_dir).map_err(unseen)?;
    let owned: BTreeSet<String> = sandboxes
        .iter()
        .flat_map(|kept| kept.interfaces.iter().map(|interface| port(&interface.endpoint)))
        .collect();
    let unfinished = sandboxes.iter().any(|kept| kept.unfinished);
    let leftover = |name: &String| is_port(name) && !owned.contains(name);
    let left: Vec<String> = if unfinished {
        Vec::new()
    } else {
        links.into_iter().map(|link| link.name).filter(leftover).collect()
    };
    let mut seen = Vec::new();
    // One sandbox of each name server is enough.
    let mut asked = BTreeSet::new();
    let whole =
        |kept: &&Kept| !kept.unfinished && !kept.sandbox.foreign && !kept.sandbox.host_stack;
    for kept in sandboxes.iter().filter(whole) {
        let servers: Vec<IpAddr> =
            kept.gateways.iter().copied().filter(|_| patient.alive).collect();
        let network = kept.interfaces.first().map(|interface| interface.network.clone());
        let servers = if asked.insert((network, servers.clone())) { servers } else { Vec::new() };
        seen.push(look(kept, servers).await?);
    }
    Ok(judge(patient.host(), &seen, &left))
}

async fn look(kept: &Kept, servers: Vec<IpAddr>) -> Result<Seen, String> {
    let Kept { sandbox, interfaces, .. } = kept;
    let (name, path) = (sandbox.name.to_string(), sandbox.netns.display().to_string());
    let Ok(netns) = Netns::open(&sandbox.netns) else {
        return Ok(Seen { name, netns: path, inside: None });
    };
    let netlink = Netlink::open(&netns).await.map_err(unseen)?;
    let links = netlink.links().await.map_err(unseen)?;
    let addresses = netlink.addresses().await.map_err(unseen)?;
    let has = |index| {
        let of = addresses.iter().filter(|address| address.link == index);
        of.map(|address| address.net).collect()
    };
    let named =
        interfaces.iter().filter_map(|interface| Some((interface, interface.device.clone()?)));
    let interfaces = named.map(|(interface, device)| Interface {
        found: links.iter().find(|link| link.name == device).map(|link| (link.up, has(link.index))),
        wanted: interface.addresses.clone(),
        device,
    });
    let interfaces = interfaces.collect();
    let mut silent = Vec::new();
    for server in servers {
        if !netns.run(move || answers(server)).await.map_err(unseen)? {
            silent.push(server);
        }
    }
    Ok(Seen { name, netns: path, inside: Some(Inside { interfaces, silent }) })
}

/// Whether the name server answers anything at all.
fn answers(server: IpAddr) -> bool {
    let ask = || {
        let any: SocketAddr =
            if server.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect((server, 53)).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut query = Message::query();
        // Of the network's own, so that nobody outside is asked.
        query.add_query(Query::query(Name::from_ascii("netctl-doctor").ok()?, RecordType::A));
        socket.send(&query.to_vec().ok()?).ok()?;
        socket.recv(&mut [0; 512]).ok()
    };
    ask().or_else(ask).is_some()
}

fn judge(host: &HostName, seen: &[Seen], left: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    for Seen { name, netns, inside } in seen {
        let Some(inside) = inside else {
            found.push(Finding::new(
                "namespace-gone",
                name,
                format!("the network namespace of sandbox {name} is gone from {netns}"),
                "its services keep their names and addresses, and nobody is there",
                host,
                format!("netctl sandbox rm {name}"),
            ));
            continue;
        };
        found.extend(inside.interfaces.iter().flat_map(|each| interface(host, name, each)));
        found.extend(inside.silent.iter().map(|server| {
            Finding::new(
                "names-unanswered",
                server.to_string(),
                format!("the name server at {server} does not answer sandbox {name}"),
                "nothing is found by name in that network",
                host,
                "iptables -I INPUT -i nh-+ -p udp --dport 53 -j ACCEPT    # and the same of tcp",
            )
        }));
    }
    found.extend(left.iter().map(|link| {
        Finding::new(
            "leftover-interface",
            link,
            format!("the interface {link} is of a service that this host does not have"),
            "it is in the way of nobody, but nobody will remove it while the daemon is away",
            host,
            format!("ip link delete {link}"),
        )
    }));
    found
}

fn interface(host: &HostName, sandbox: &str, interface: &Interface) -> Vec<Finding> {
    let Interface { device, wanted, found } = interface;
    let object = format!("{sandbox} {device}");
    let exec = format!("netctl exec {sandbox} -- ip");
    let Some((up, addresses)) = found else {
        return vec![Finding::new(
            "interface-missing",
            object,
            format!("sandbox {sandbox} has no interface {device}"),
            "it is not in that network",
            host,
            RESTART,
        )];
    };
    let mut faults = Vec::new();
    if !up {
        faults.push(Finding::new(
            "interface-down",
            &object,
            format!("{device} of sandbox {sandbox} is down"),
            "it is not in that network",
            host,
            format!("{exec} link set {device} up"),
        ));
    }
    for net in wanted.iter().filter(|net| !addresses.contains(net)) {
        faults.push(Finding::new(
            "address-missing",
            &object,
            format!("{device} of sandbox {sandbox} has lost its address {net}"),
            "it is not reached, and what it sends from another is dropped",
            host,
            format!("{exec} address add {net} dev {device}"),
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_of_a_sandbox_is_named_and_mended() {
        let host = "h1".parse().expect("a name");
        let net: IpNet = "10.1.0.2/24".parse().expect("a net");
        let seen = |found: Option<(bool, Vec<IpNet>)>| Seen {
            name: "web".to_owned(),
            netns: "/run/netns/web".to_owned(),
            inside: Some(Inside {
                interfaces: vec![Interface { device: "eth0".to_owned(), wanted: vec![net], found }],
                silent: Vec::new(),
            }),
        };
        let gone = Seen { inside: None, ..seen(None) };
        let mut mute = seen(Some((true, vec![net])));
        mute.inside.as_mut().expect("it is there").silent.push("10.1.0.1".parse().expect("one"));
        for (seen, id, mend) in [
            (gone, "namespace-gone", "netctl sandbox rm web"),
            (seen(None), "interface-missing", RESTART),
            (
                seen(Some((false, vec![net]))),
                "interface-down",
                "netctl exec web -- ip link set eth0 up",
            ),
            (
                seen(Some((true, vec![]))),
                "address-missing",
                "netctl exec web -- ip address add 10.1.0.2/24 dev eth0",
            ),
            (mute, "names-unanswered", "iptables -I INPUT -i nh-+ -p udp --dport 53 -j ACCEPT"),
        ] {
            let found = judge(&host, &[seen], &[]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].id, id);
            assert!(found[0].mend.starts_with(mend), "{}", found[0].mend);
        }
        assert_eq!(judge(&host, &[seen(Some((true, vec![net])))], &[]), []);
        let left = judge(&host, &[], &["nc0123456789ab".to_owned()]);
        assert_eq!(left[0].mend, "ip link delete nc0123456789ab");
    }
}
