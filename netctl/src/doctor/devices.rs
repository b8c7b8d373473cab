//! The underlay's device and address, the vxlan device, and who else wants its port.

use std::{fs, net::IpAddr, path::Path};

use super::{Finding, OffloadOff, Patient, RESTART, offloads_off, unseen};
use crate::{
    controller::VXLAN_DEVICE,
    kernel::{Address, Link},
    model::{DaemonNote, HostName},
};

/// Offloads without which TCP is several times slower, in the words of `ethtool -K`. Off is a fault only where on can
/// be had.
const NEEDED: [&str; 2] = ["tso", "gso"];

struct Facts {
    note: DaemonNote,
    links: Vec<Link>,
    addresses: Vec<Address>,
    off: Vec<OffloadOff>,
    /// The process that has a socket on the port of VXLAN: its number and name.
    holder: Option<(u32, String)>,
}

pub(super) async fn examine(patient: &Patient<'_>) -> Result<Vec<Finding>, String> {
    let Patient { netlink, note, .. } = patient;
    let off = match &note.underlay {
        // A device that is gone is told from the list of links.
        Some(underlay) => offloads_off(netlink, underlay).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let port = note.vxlan_port;
    let holder = tokio::task::spawn_blocking(move || holder(port)).await.map_err(unseen)?;
    Ok(judge(&Facts {
        note: note.clone(),
        links: netlink.links().await.map_err(unseen)?,
        addresses: netlink.addresses().await.map_err(unseen)?,
        off,
        holder,
    }))
}

fn judge(facts: &Facts) -> Vec<Finding> {
    let host = &facts.note.host;
    let mut found = Vec::new();
    if let Some(name) = &facts.note.underlay {
        match facts.links.iter().find(|link| link.name == *name) {
            Some(link) => found.extend(underlay(facts, link)),
            None => found.push(Finding::new(
                "underlay-missing",
                name,
                format!("there is no device {name}, which leads to the other hosts"),
                "no packet reaches them",
                host,
                format!("ip link    # if it is called otherwise now: netctl daemon --bind-interface, then {RESTART}"),
            )),
        }
    }
    let vxlan = facts.links.iter().find(|link| link.name == VXLAN_DEVICE);
    if !vxlan.is_some_and(|link| link.up) {
        found.extend(vxlan_port(facts, vxlan.is_some()));
    }
    found
}

fn underlay(facts: &Facts, link: &Link) -> Vec<Finding> {
    let Facts { note, addresses, off, .. } = facts;
    let (host, name): (&HostName, _) = (&note.host, &link.name);
    let mut found = Vec::new();
    if !link.up {
        found.push(Finding::new(
            "underlay-down",
            name,
            format!("{name}, which leads to the other hosts, is down"),
            "no packet reaches them",
            host,
            format!("ip link set {name} up"),
        ));
    } else if !link.carrier {
        found.push(Finding::new(
            "underlay-no-carrier",
            name,
            format!("{name}, which leads to the other hosts, has no carrier"),
            "no packet reaches them: the cable, or the switch's port, is out",
            host,
            format!("ethtool {name}    # and see to the other end of its cable"),
        ));
    }
    let has = |wanted: IpAddr| {
        addresses.iter().any(|address| address.link == link.index && address.net.addr() == wanted)
    };
    for net in note.addresses.iter().filter(|net| !has(net.addr())) {
        found.push(Finding::new(
            "underlay-address-missing",
            name,
            format!("{name} has lost {}, the tunnel address of this host", net.addr()),
            "what other hosts send does not arrive",
            host,
            format!("ip address add {net} dev {name}"),
        ));
    }
    let needed = |off: &&OffloadOff| off.changeable && NEEDED.contains(&off.word);
    let off: Vec<&str> = off.iter().filter(needed).map(|off| off.word).collect();
    if !off.is_empty() {
        let on: Vec<String> = off.iter().map(|word| format!("{word} on")).collect();
        found.push(Finding::new(
            "offloads-off",
            name,
            format!("{name} does not segment TCP: {} is off", off.join(" and ")),
            "each large packet is cut by the CPU before the tunnel is put on",
            host,
            format!("ethtool -K {name} {}    # then measure by netctl bench", on.join(" ")),
        ));
    }
    found
}

/// Why the vxlan device does not listen on its port.
fn vxlan_port(facts: &Facts, there: bool) -> Vec<Finding> {
    const WHY: &str =
        "what the fast path cannot take is lost: groups, datagrams that are cut, other protocols";
    let Facts { note, links, holder, .. } = facts;
    let port = note.vxlan_port;
    let mut found = Vec::new();
    let taken = |what: String, mend: String| {
        Finding::new(
            "vxlan-port-taken",
            what.clone(),
            format!("UDP port {port}, that of VXLAN, is taken by {what}"),
            "the daemon cannot start, or works without the kernel's vxlan device",
            &note.host,
            mend,
        )
    };
    if let Some((pid, name)) = holder {
        found.push(taken(format!("process {pid} ({name})"), format!("kill {pid} && {RESTART}")));
    }
    let other = |link: &&Link| {
        link.name != VXLAN_DEVICE && link.up && link.vxlan.is_some_and(|vxlan| vxlan.port == port)
    };
    if let Some(link) = links.iter().find(other) {
        found.push(taken(
            format!("the vxlan device {}", link.name),
            format!("ip link delete {} && {RESTART}", link.name),
        ));
    }
    let (id, what, mend) = if there {
        ("vxlan-down", "is down", format!("ip link set {VXLAN_DEVICE} up"))
    } else {
        ("vxlan-missing", "is gone", RESTART.to_owned())
    };
    found.push(Finding::new(
        id,
        VXLAN_DEVICE,
        format!("{VXLAN_DEVICE}, the kernel's vxlan device, {what}"),
        WHY,
        &note.host,
        mend,
    ));
    found
}

/// Who has a socket on this UDP port in this namespace. The kernel's own sockets belong to no process.
fn holder(port: u16) -> Option<(u32, String)> {
    let inode = ["udp", "udp6"].iter().find_map(|table| {
        let text = fs::read_to_string(Path::new("/proc/thread-self/net").join(table)).ok()?;
        text.lines().skip(1).find_map(|line| socket_on(line, port))
    })?;
    let wanted = format!("socket:[{inode}]");
    let has = |process: &Path| {
        let files = fs::read_dir(process.join("fd")).ok()?;
        files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == &*wanted))
            .then_some(())
    };
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        has(&entry.path())?;
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        Some((pid, name.trim().to_owned()))
    })
}

/// The inode of the socket in a line of `/proc/net/udp` (`proc_net(5)`), if it is on this port and a process has it.
fn socket_on(line: &str, port: u16) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let inode = fields.get(9)?.parse().ok()?;
    (u16::from_str_radix(local, 16) == Ok(port) && inode != 0).then_some(inode)
}

#[cfg(test)]
mod tests {
    use super::{super::sound_note, *};
    use crate::{
        kernel::{AddressState, Sizes, Vxlan},
        model::DaemonNote,
    };

    fn link(index: u32, name: &str, port: Option<u16>) -> Link {
        Link {
            index,
            name: name.to_owned(),
            mac: None,
            mtu: 1500,
            up: true,
            carrier: true,
            kind: None,
            master: None,
            peer: None,
            vxlan: port.map(|port| Vxlan { port, vni: None, flow_based: true }),
            sizes: Sizes::default(),
        }
    }

    fn sound() -> Facts {
        let net = "192.0.2.1/24".parse().expect("a net");
        let state = AddressState::Preferred;
        Facts {
            note: DaemonNote { addresses: vec![net], ..sound_note() },
            links: vec![link(2, "eth0", None), link(3, "netctl-vx", Some(4789))],
            addresses: vec![Address { link: 2, net, global: true, secondary: false, state }],
            off: vec![
                OffloadOff { word: "gro", changeable: true },
                OffloadOff { word: "gso", changeable: false },
            ],
            holder: None,
        }
    }

    #[test]
    fn each_fault_of_the_devices_is_named_and_mended() {
        fn found(change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, String)> {
            let mut facts = sound();
            change(&mut facts);
            judge(&facts).into_iter().map(|finding| (finding.id, finding.mend)).collect()
        }
        let mends = |found: Vec<(&'static str, String)>, id: &str, mend: &str| {
            assert!(found.iter().any(|f| f.0 == id && f.1.starts_with(mend)), "{id}: {found:?}");
        };
        assert_eq!(found(|_| {}), []);
        mends(found(|facts| facts.links[0].name = "eth1".into()), "underlay-missing", "ip link");
        mends(found(|f| f.links[0].up = false), "underlay-down", "ip link set eth0 up");
        mends(found(|f| f.links[0].carrier = false), "underlay-no-carrier", "ethtool eth0");
        let mend = "ip address add 192.0.2.1/24 dev eth0";
        mends(found(|facts| facts.addresses.clear()), "underlay-address-missing", mend);
        mends(
            found(|f| f.off.push(OffloadOff { word: "tso", changeable: true })),
            "offloads-off",
            "ethtool -K eth0 tso on",
        );
        mends(found(|f| f.links[1].up = false), "vxlan-down", "ip link set netctl-vx up");
        mends(found(|f| f.links.truncate(1)), "vxlan-missing", RESTART);
        let other = found(|facts| facts.links[1].name = "vxlan7".into());
        mends(other, "vxlan-port-taken", "ip link delete vxlan7");
        let held = found(|facts| {
            facts.links.truncate(1);
            facts.holder = Some((7, "dnsmasq".to_owned()));
        });
        mends(held, "vxlan-port-taken", "kill 7");
    }

    #[test]
    fn sockets_of_processes_are_told_from_the_kernels() {
        let line = |port, inode| {
            format!(
                "  7: 00000000:{port} 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 {inode} 2 0000000000000000 0"
            )
        };
        assert_eq!(socket_on(&line("12B5", "4711"), 4789), Some(4711));
        assert_eq!(socket_on(&line("12B5", "0"), 4789), None);
        assert_eq!(socket_on(&line("0035", "4711"), 4789), None);
        assert_eq!(socket_on("nonsense", 4789), None);
    }
}
