//! What can be chosen for a sandbox and its interfaces, and what is told to the neighbours.

use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::{Lab, Netns, Options};

use crate::{exec, ok, refused};

#[test]
fn settings_are_as_they_were_chosen() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    for words in [
        "network create --subnet 10.83.0.0/24 dev",
        "network create --subnet 10.84.0.0/24 other",
        "network create -d null none",
        "service publish --ip 10.83.0.10 web.dev",
        "service publish web.other",
        "service publish more.other",
        "service publish x.none",
        "sandbox create --sysctl net.ipv4.ip_forward=1 --sysctl net/ipv4/tcp_ecn=2 --hostname node.example \
         --add-host db:192.0.2.7 --add-host db6=fd00::7 box",
        "service attach --ifname front --sysctl net.ipv4.conf.IFNAME.log_martians=1 box web.dev",
        "service attach box web.other",
    ] {
        ok(host, words)?;
    }
    let sysctl = |path: &str| exec(host, "box", &format!("cat /proc/sys/net/{path}"));
    ensure!(sysctl("ipv4/ip_forward")? == "1\n" && sysctl("ipv4/tcp_ecn")? == "2\n");
    ensure!(sysctl("ipv4/conf/front/log_martians")? == "1\n");
    ensure!(sysctl("ipv4/conf/eth0/log_martians")? == "0\n");
    let address = exec(host, "box", "ip -brief address show dev front")?;
    ensure!(address.contains("10.83.0.10/24"), "{address}");
    ensure!(exec(host, "box", "hostname")? == "node.example\n");
    for (name, address) in [("db", "192.0.2.7"), ("db6", "fd00::7"), ("node.example", "10.83.0.10")]
    {
        let found = exec(host, "box", &format!("getent hosts {name}"))?;
        ensure!(found.starts_with(address), "{name}: {found}");
    }

    let taken = |device: &str| {
        format!("sandbox box has an interface {device} already: choose another name")
    };
    for (words, sentence) in [
        ("service attach --ifname front box more.other", &*taken("front")),
        ("service attach --ifname lo box more.other", &*taken("lo")),
        (
            "service attach --ifname x box x.none",
            "network none gives no interface that could have a name: leave out --ifname",
        ),
        (
            "service attach --sysctl net.ipv4.ip_forward=0 box more.other",
            "sysctl net/ipv4/ip_forward=0 is of the whole sandbox: name the interface as IFNAME, or give it to \
             `netctl sandbox create`",
        ),
        (
            "service attach --sysctl net.ipv4.conf.IFNAME.nothing=0 box more.other",
            "cannot set to 0 the sysctl net/ipv4/conf/eth1/nothing: No such file or directory (os error 2)",
        ),
        (
            "sandbox create --sysctl net.ipv4.conf.IFNAME.rp_filter=0 s",
            "sysctl net/ipv4/conf/IFNAME/rp_filter=0 is of an interface: give it to `netctl service attach`",
        ),
        (
            "sandbox create --sysctl net.ipv4.nothing=0 s",
            "cannot set to 0 the sysctl net/ipv4/nothing: No such file or directory (os error 2)",
        ),
        (
            "sandbox create --sysctl net.ipv4.ip_forward=x s",
            "cannot set to x the sysctl net/ipv4/ip_forward: Invalid argument (os error 22)",
        ),
    ] {
        refused(host, words, sentence)?;
    }
    let left = ok(host, "sandbox ls -q")?;
    ensure!(left.lines().count() == 1, "{left}");
    let links = exec(host, "box", "ip -brief link")?;
    ensure!(links.lines().count() == 3, "more than lo, front and eth0: {links}");
    lab.end()
}

/// What comes to an interface without a carrier is answered a second late: the question for the neighbour's address is
/// lost.
#[test]
fn an_interface_is_up_with_a_carrier_or_not_at_all() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    let given = Netns::new(lab.dir(), "given")?;
    let path = given.path().display();
    for words in [
        "network create --subnet 10.86.0.0/24 --subnet fd86::/64 dev",
        "service publish web.dev",
        &format!("sandbox create --netns {path} box"),
    ] {
        ok(host, words)?;
    }
    let monitor = given.spawn("links", ["ip", "-o", "monitor", "link"])?;
    let says = |marker: &str| {
        testbed::eventually("a new interface is seen", Duration::from_secs(5), || {
            // It may not listen yet.
            drop(given.ip([format!("link del {marker}")]));
            given.ip([format!("link add {marker} type veth peer name {marker}p")])?;
            ensure!(monitor.log().contains(marker), "{}", monitor.log());
            Ok(())
        })
    };
    says("before")?;
    ok(host, "service attach box web.dev")?;
    says("after")?;
    let log = monitor.log();
    let seen: Vec<&str> = log.lines().filter(|line| line.contains(": eth0@")).collect();
    let up: Vec<&&str> = seen.iter().filter(|line| line.contains(",UP")).collect();
    ensure!(!up.is_empty() && up.iter().all(|line| line.contains("LOWER_UP")), "{log}");
    lab.end()
}

/// ```text
///   watcher, which knows `first` ─ dev ─ first, then second: the same addresses, another station
/// ```
#[test]
fn neighbours_are_told_who_has_an_address_now() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    for words in [
        "network create --subnet 10.85.0.0/24 --subnet fd85::/64 dev",
        "sandbox create watcher",
        "sandbox create first",
        "sandbox create second",
        "service publish watcher.dev",
        "service publish --ip 10.85.0.20 --ip6 fd85::20 --mac 02:00:00:00:00:01 first.dev",
        "service attach watcher watcher.dev",
        "service attach first first.dev",
    ] {
        ok(host, words)?;
    }
    for address in ["10.85.0.20", "fd85::20"] {
        exec(host, "watcher", &format!("ping -c 1 -W 1 {address}"))?;
    }
    let knows = |mac: &str| {
        ["10.85.0.20", "fd85::20"].iter().try_for_each(|address| {
            let known = exec(host, "watcher", &format!("ip neigh show {address}"))?;
            ensure!(known.contains(mac), "{address}: {known}");
            Ok(())
        })
    };
    knows("02:00:00:00:00:01")?;
    for words in [
        "service unpublish -f first.dev",
        "service publish --ip 10.85.0.20 --ip6 fd85::20 --mac 02:00:00:00:00:02 second.dev",
        "service attach second second.dev",
    ] {
        ok(host, words)?;
    }
    // Nothing was sent to it since.
    testbed::eventually("it knows better", Duration::from_secs(5), || knows("02:00:00:00:00:02"))?;
    lab.end()
}
