//! Faults that are planted: each is named where it is, and what is said to mend it does.

use std::{
    ffi::{CString, c_int},
    fs,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use netctl_common::{
    MacAddr, Vni,
    maps::{FDB, FdbEntry, FdbKey, NEIGH4, Neighbour, NeighbourKey4},
};
use nix::{errno::Errno, libc};
use serde_json::Value;
use testbed::{Host, Lab, Signal, Store, eventually};

use crate::stage::{Hop, SOON, arrives, join, lab, played, stops, trace};

/// Where the host's daemon has pinned this.
fn pinned(host: &Host, name: &str) -> Result<PathBuf> {
    let mut found = fs::read_dir(host.dir("bpf"))?.map(|entry| Ok(entry?.path().join(name)));
    found.find(|path| path.as_ref().is_ok_and(|path| path.exists())).context("no pin")?
}

/// Takes the program of a pinned link from its device, as only who asks the kernel for that can: without its pin, it stays
/// for as long as the daemon has it open.
fn detach(pin: &Path) -> Result<()> {
    /// `BPF_OBJ_GET` and `BPF_LINK_DETACH` of `enum bpf_cmd` (`include/uapi/linux/bpf.h`).
    const GET: c_int = 7;
    const DETACH: c_int = 34;
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let (get, pointer) = ([path.as_ptr() as u64, 0], size_of::<[u64; 2]>());
    // SAFETY: the attribute is a pointer to text that lives until the call is over, and zeros.
    let link = unsafe { libc::syscall(libc::SYS_bpf, GET, &raw const get, pointer) };
    let link = c_int::try_from(Errno::result(link)?)?;
    // SAFETY: the kernel has just made it for this caller, and nobody else has it.
    let link = unsafe { OwnedFd::from_raw_fd(link) };
    let attribute = link.as_raw_fd();
    // SAFETY: the attribute is one descriptor.
    let detached =
        unsafe { libc::syscall(libc::SYS_bpf, DETACH, &raw const attribute, size_of::<c_int>()) };
    Errno::result(detached)?;
    Ok(())
}

/// A map of the host's, for others to tamper with.
pub(crate) fn map<K: aya::Pod, V: aya::Pod>(
    host: &Host,
    name: &str,
) -> Result<HashMap<MapData, K, V>> {
    let data = MapData::from_pin(pinned(host, &format!("maps/{name}"))?)?;
    Ok(Map::HashMap(data).try_into()?)
}

/// The service's address and its MAC.
pub(crate) fn station(host: &Host, service: &str) -> Result<([u8; 4], MacAddr)> {
    let view: Value = serde_json::from_str(&host.ok(["service", "inspect", service])?)?;
    let text = |path| view.pointer(path).and_then(Value::as_str).context("not said");
    let address: std::net::Ipv4Addr =
        text("/0/addresses/0")?.split('/').next().unwrap_or_default().parse()?;
    Ok((address.octets(), text("/0/mac")?.parse()?))
}

pub(crate) fn vni() -> Vni {
    Vni::new(4096).expect("a VNI")
}

/// The host's side of the service's interface.
pub(crate) fn port(host: &Host, service: &str) -> Result<String> {
    let view: Value = serde_json::from_str(&host.ok(["service", "inspect", service])?)?;
    let id = view.pointer("/0/id").and_then(Value::as_str).context("no id")?;
    Ok(format!("nc{}", &id[..12]))
}

/// The index of a device of the host's.
pub(crate) fn index(host: &Host, device: &str) -> Result<u32> {
    let text = host.run(["ip", "-j", "link", "show", "dev", device])?.ok()?;
    let links: Value = serde_json::from_str(&text)?;
    let index = links.pointer("/0/ifindex").and_then(Value::as_u64).context("no index")?;
    Ok(index.try_into()?)
}

/// Restarts the daemon, as is said to mend it, and sees that the way is good.
fn restarted(lab: &Lab, said: &Hop, question: &str, ping: &str) -> Result<()> {
    ensure!(said.mend.as_deref() == Some("systemctl restart netctl"), "{said:?}");
    lab.restart_daemon(lab.host(1), Signal::SIGTERM)?;
    good_again(lab.host(1), question, ping)
}

fn good_again(host: &Host, question: &str, ping: &str) -> Result<()> {
    eventually("it would arrive again", SOON, || {
        let report = trace(host, question)?;
        ensure!(report.arrives, "{report:#?}");
        Ok(())
    })?;
    arrives(host, question, ping, &[])
}

#[test]
fn what_the_maps_lack_is_told_from_what_is_not_there() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let host = lab.host(1);
        let (address, mac) = station(host, "b.dev")?;
        let mut fdb: HashMap<_, FdbKey, FdbEntry> = map(host, FDB)?;
        fdb.remove(&FdbKey::new(vni(), mac))?;
        let said = stops(host, "a b", "b", "from-container", "unknown-destination")?;
        ensure!(said.what.contains("The store has it: it is b.dev on h2."), "{said:?}");
        restarted(lab, &said, "a b", "b")?;

        // One that has not asked yet.
        join(host, "late.dev", &[])?;
        let mut neighbours: HashMap<_, NeighbourKey4, Neighbour> = map(host, NEIGH4)?;
        neighbours.remove(&NeighbourKey4::new(vni(), address))?;
        let said = stops(host, "late b", "b", "neighbour", "arp-unknown")?;
        ensure!(said.what.contains("The store has it: it is b.dev on h2."), "{said:?}");
        restarted(lab, &said, "late b", "b")?;

        // What nobody has is no fault of the maps.
        let said = stops(host, "a 10.77.0.200", "10.77.0.200", "neighbour", "arp-unknown")?;
        ensure!(said.what.contains("Nobody has 10.77.0.200 in the store either."), "{said:?}");
        ensure!(said.mend.as_deref() == Some("netctl service ls"), "{said:?}");
        host.ok(["service", "publish", "--ip", "10.77.0.201", "idle.dev"])?;
        let said = stops(host, "a idle", "10.77.0.201", "neighbour", "arp-unknown")?;
        ensure!(
            said.what.contains("It is that of idle.dev, which is attached nowhere."),
            "{said:?}"
        );
        let mend = "netctl service attach SANDBOX idle.dev";
        ensure!(said.mend.as_deref() == Some(mend), "{said:?}");
        Ok(())
    })
}

#[test]
fn what_the_maps_have_elsewhere_is_named() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let host = lab.host(1);
        host.ok([
            "service",
            "publish",
            "--ip",
            "10.77.0.50",
            "--mac",
            "02:00:00:00:00:50",
            "--vtep",
            "192.0.2.50",
            "old.dev",
        ])?;
        let report = trace(host, "a old")?;
        ensure!(report.arrives, "{report:#?}");
        let hop = report.hops.last().context("no hop")?;
        ensure!(hop.verdict == "unknown" && hop.what.contains("no host of netctl"), "{report:#?}");
        let (_, mac) = station(host, "b.dev")?;
        let mut fdb: HashMap<_, FdbKey, FdbEntry> = map(host, FDB)?;
        let wrong = fdb.get(&FdbKey::new(vni(), MacAddr([2, 0, 0, 0, 0, 0x50])), 0)?;
        fdb.insert(FdbKey::new(vni(), mac), wrong, 0)?;
        let said = stops(host, "a b", "b", "tunnel", "wrong-host")?;
        ensure!(
            said.what == "the maps send it to 192.0.2.50, and the store has b elsewhere on h2",
            "{said:?}"
        );
        restarted(lab, &said, "a b", "b")
    })
}

#[test]
fn what_keeps_an_interface_from_working_is_named() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let host = lab.host(1);
        let shell = |line: &str| host.run(["sh", "-c", line])?.ok();
        let mended = |said: &Hop| {
            shell(said.mend.as_deref().context("nothing mends it")?)?;
            good_again(host, "a c", "c")
        };
        arrives(host, "a c", "c", &[])?;
        shell("netctl exec box-c -- ip link set eth0 down")?;
        mended(&stops(host, "a c", "c", "sandbox box-c", "interface-down")?)?;
        shell("netctl exec box-a -- ip link set eth0 down")?;
        let said = stops(host, "a c", "c", "sandbox box-a", "interface-down")?;
        mended(&said)?;
        let port = port(host, "a.dev")?;
        shell(&format!("ip link set {port} down"))?;
        mended(&stops(host, "a c", "c", &format!("port {port}"), "interface-down")?)?;
        let index = fs::read_to_string(format!(
            "/proc/{}/net/dev",
            host.daemon_pid().context("no daemon")?
        ))?;
        ensure!(index.contains(&port), "{index}");
        let line = shell(&format!("ip -o link show {port}"))?;
        let index = line.split(':').next().unwrap_or_default();
        detach(&pinned(host, &format!("links/port-{index}"))?)?;
        let said = eventually("the program is gone", SOON, || {
            stops(host, "a c", "c", &format!("port {port}"), "program-gone")
        })?;
        restarted(lab, &said, "a c", "c")
    })
}

#[test]
fn what_is_wrong_between_hosts_is_named() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let host = lab.host(1);
        let link = |what: &str| lab.underlay().ip([format!("link set h2 {what}")]);
        link("mtu 1450")?;
        let ping = "-M do -s 1422 b";
        let said = stops(host, "a b --size 1450", ping, "underlay eth0", "path-mtu")?;
        ensure!(said.what.contains("packets of 1500 bytes to h2 are lost on the way"), "{said:?}");
        arrives(host, "a b", "b", &[("underlay eth0", "134 bytes in the tunnel")])?;
        link("mtu 1500")?;
        good_again(host, "a b --size 1450", ping)?;

        let drop = "add table bridge fault; \
            add chain bridge fault pass { type filter hook forward priority 0; }; \
            add rule bridge fault pass ip daddr 192.0.2.2 udp dport 4789 drop";
        lab.underlay().run(["nft", drop])?.ok()?;
        let said = stops(host, "a b", "b", "underlay eth0", "tunnel-blocked")?;
        ensure!(said.mend.is_some_and(|mend| mend.contains("let UDP port 4789 to 192.0.2.2 pass")));
        lab.underlay().run(["nft", "delete table bridge fault"])?.ok()?;
        good_again(host, "a b", "b")
    })
}

/// A daemon that is dead stops no packet; a host that is does.
#[test]
fn a_dead_daemon_is_told_from_a_dead_host() -> Result<()> {
    played(lab(Store::Etcd)?, |lab| {
        let host = lab.host(1);
        lab.host(2).stop_daemon(Signal::SIGKILL)?;
        eventually("its lease has ended", Duration::from_secs(40), || {
            let hosts = host.ok(["host", "ls"])?;
            ensure!(!hosts.contains("h2"), "{hosts}");
            Ok(())
        })?;
        let missed = ("store", "h2 is missed: its daemon was not heard of");
        arrives(host, "a b", "10.77.0.4", &[missed, ("underlay eth0", "probes came back")])?;
        lab.underlay().ip(["link set h2 down"])?;
        let said = stops(host, "a b", "10.77.0.4", "underlay eth0", "peer-unreachable")?;
        ensure!(said.what.starts_with("h2 does not answer at 192.0.2.2"), "{said:?}");
        lab.underlay().ip(["link set h2 up"])?;
        lab.start_daemon(lab.host(2))
    })
}
