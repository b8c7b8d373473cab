//! `netctl daemon --cleanup`: a host is as it was before netctl, and the cluster without it.
//!
//! ```text
//!   h1: box1 (a.dev), box6 (six.dev6), ns (c.dev, given namespace), solo.br (bridge)     h2: box2 (b.dev)
//! ```

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use netctl::kernel::{Netlink, Netns};
use serde_json::Value;
use testbed::{DEADLINE, Host, Lab, Options, Output, Signal, Store, eventually, output};

use crate::state;

/// What others have on the host, with names like ours.
const FOREIGN: &str = "\
    ip link add ncuplink type veth peer nh-backup; ip link add netctl-hrx type bridge
    ip link add nc0123456789ab type bridge
    ip -6 rule add iif nh-backup priority 1 unreachable; ip route add 203.0.113.0/24 dev eth0
    nft add table inet netctl2; nft add table ip netctl; nft add table ip nat
    iptables -P FORWARD DROP; ip6tables -P FORWARD DROP
    iptables -A FORWARD -i nh-+ -m comment --comment 'netctl: as somebody else says' -j ACCEPT";

fn lab(store: Store) -> Result<(Lab, BTreeSet<String>)> {
    let lab = Lab::start(Options { store, daemons: false, ..Options::default() })?;
    let h1 = lab.host(1);
    h1.run(["sh", "-e", "-c", FOREIGN])?.ok()?;
    let before = standing(h1)?;
    lab.hosts().iter().try_for_each(|host| lab.start_daemon(host))?;
    h1.ok(["network", "create", "--subnet", "10.1.0.0/24", "dev"])?;
    h1.ok(["network", "create", "--internal", "--subnet", "fd00:1::/64", "dev6"])?;
    fill(h1)?;
    lab.host(2).ok(["run", "--name", "box2", "--publish-service", "b.dev", "true"])?;
    Ok((lab, before))
}

/// Has the host have something of all kinds.
fn fill(h1: &Host) -> Result<()> {
    let given = given(h1);
    for words in [
        "run --name box1 -p 8080:80 --publish-service a.dev true",
        "run --name box6 --publish-service six.dev6 true",
        &format!("sandbox create --netns {given} given"),
        "service publish c.dev",
        "service attach given c.dev",
        "run --name solo --publish-service solo.br.bridge true",
    ] {
        h1.ok(words.split(' '))?;
    }
    ensure!(h1.run(["nft", "list", "table", "inet", "netctl"])?.success(), "there is no table");
    let rules = h1.run(["iptables", "-S", "FORWARD"])?.ok()?;
    ensure!(rules.contains("as table inet netctl says"), "{rules}");
    let rules = h1.run(["ip", "-6", "rule"])?.ok()?;
    ensure!(rules.lines().any(|rule| rule.contains("iif nh-00")), "{rules}");
    Ok(())
}

/// A namespace of somebody else's.
fn given(host: &Host) -> String {
    host.netns().path().with_file_name("external").display().to_string()
}

/// All that netctl may change on a host, by the account of others.
fn standing(host: &Host) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for words in [
        "ip -o link",
        "ip -o addr",
        "ip rule",
        "ip -6 rule",
        "ip route",
        "ip -6 route",
        "tc qdisc",
        "nft list ruleset",
        "sysctl -a -r net.ipv4.conf.*forwarding$",
        "sysctl -a -r net.ipv6.conf.*forwarding$",
        "sysctl -a -r route_localnet",
    ] {
        for line in host.run(words.split(' '))?.ok()?.lines() {
            // The kernel gives these by itself, in its own time.
            if line.contains("fe80:") || line.contains("ff00:") {
                continue;
            }
            // Counters count on, and interfaces have other numbers.
            let line = line.split(" counter packets").next().unwrap_or_default();
            let line = line
                .split_once(": ")
                .filter(|_| words.starts_with("ip -o"))
                .map_or(line, |(_, rest)| rest);
            found.insert(format!("{words}: {}", line.trim()));
        }
    }
    found.insert(format!("packets of {}", largest_packets(host)?));
    for name in ["run", "bpf", "netns"] {
        let dir = host.dir(name);
        let entries = fs::read_dir(&dir).into_iter().flatten();
        for entry in entries {
            found.insert(entry?.path().display().to_string());
        }
    }
    let mounts = host.run(["cat", "/proc/self/mounts"])?.ok()?;
    let home = host.dir("run").parent().context("a home")?.display().to_string();
    found.extend(mounts.lines().filter(|line| line.contains(&home)).map(ToOwned::to_owned));
    Ok(found)
}

/// What the underlay device takes, which older versions of `ip` do not show.
fn largest_packets(host: &Host) -> Result<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let netlink = Netlink::open(&Netns::open(host.netns().path())?).await?;
        Ok(netlink.link_by_name("eth0").await?.sizes.gso_ipv4)
    })
}

fn clean(lab: &Lab, host: &Host, further: &[&str]) -> Result<Output> {
    let words = [&["--cleanup"], further].concat();
    output(lab.daemon_command(host, &words), DEADLINE)
}

fn is_as_before(host: &Host, before: &BTreeSet<String>) -> Result<()> {
    let after = standing(host)?;
    ensure!(
        after == *before,
        "too much: {:#?}\nmissing: {:#?}",
        after.difference(before).collect::<Vec<_>>(),
        before.difference(&after).collect::<Vec<_>>()
    );
    Ok(())
}

/// Nothing of the host is left in the store but what people made.
fn is_given_back(lab: &Lab) -> Result<()> {
    let dump = state::dump(lab)?;
    for (key, value) in &dump {
        ensure!(!key.starts_with("attachments/h1/"), "{key} is left");
        ensure!(!value.contains("\"host\":\"h1\",\"sandbox\""), "{key}: {value}");
    }
    let names: Vec<&str> = dump
        .keys()
        .filter_map(|key| key.strip_prefix("names/endpoints/")?.split('/').nth(1))
        .collect();
    // What was published for a sandbox went with it; what people published is free.
    ensure!(names.contains(&"b") && names.contains(&"c"), "{names:?}");
    ensure!(!names.iter().any(|name| ["a", "six", "solo"].contains(name)), "{names:?}");
    let hosts = lab.host(2).ok(["host", "ls", "-q"])?;
    ensure!(!hosts.contains("h1"), "h1 is a host still: {hosts}");
    lab.host(2).ok(["service", "ls"]).map(drop)
}

fn a_host_is_as_it_was(store: Store) -> Result<()> {
    let (lab, before) = lab(store)?;
    let h1 = lab.host(1);
    let refused = clean(&lab, h1, &[])?;
    ensure!(refused.code() == 1, "{refused:?}");
    ensure!(
        refused.stderr.contains("another netctl daemon is running with --run-dir"),
        "{refused:?}"
    );
    h1.ok(["status"])?;
    h1.stop_daemon(Signal::SIGKILL)?;

    let said = clean(&lab, h1, &[])?.ok()?;
    for thing in [
        "removed: links and maps ",
        "removed: device netctl-vx\n",
        "removed: device np-001000\n",
        "removed: device netctl-hr0\n",
        "removed: routing rule for nh-001001\n",
        "removed: nftables table inet netctl\n",
        "removed: iptables rules in the chain FORWARD\n",
        "removed: forwarding of eth0\n",
        "removed: sandbox box1\n",
        "removed: sandbox given\n",
        "removed: endpoint in the store a\n",
        "removed: host in the store h1\n",
        "stays: network in the store br: it was made for this host alone",
    ] {
        ensure!(said.contains(thing), "{thing} is not in {said}");
    }
    is_as_before(h1, &before)?;
    is_given_back(&lab)?;
    let inside = h1.run(["nsenter", &format!("--net={}", given(h1)), "ip", "-o", "link"])?.ok()?;
    ensure!(!inside.contains("eth1"), "{inside}");
    ensure!(fs::read_dir(h1.dir("state").join("sandboxes"))?.next().is_none(), "records are left");

    let again: Value = serde_json::from_str(&clean(&lab, h1, &["--format", "json"])?.ok()?)?;
    ensure!(
        again["removed"] == serde_json::json!([]) && again["failed"] == again["removed"],
        "{again}"
    );
    ensure!(again["stays"][0]["name"] == "br", "{again}");

    // And netctl can be had again.
    lab.start_daemon(h1)?;
    h1.ok(["service", "unpublish", "c.dev"])?;
    h1.ok(["network", "rm", "br"])?;
    fill(h1)?;
    h1.run(["netctl", "exec", "given", "ping", "-c", "3", "-i", "0.1", "b"])?.ok()?;
    lab.host(2).run(["netctl", "exec", "box2", "ping", "-c", "3", "-i", "0.1", "a"])?.ok()?;
    lab.end()
}

#[test]
fn a_host_is_as_it_was_with_a_file() -> Result<()> {
    a_host_is_as_it_was(Store::File)
}

#[test]
fn a_host_is_as_it_was_with_etcd() -> Result<()> {
    a_host_is_as_it_was(Store::Etcd)
}

/// ```text
///   h1: pins in what it mounted itself, where others have something too     h2: in what others mounted
/// ```
#[test]
fn only_a_bpf_file_system_of_its_own_that_nobody_uses_is_unmounted() -> Result<()> {
    let lab = Lab::start(Options { daemons: false, ..Options::default() })?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let place = |host: &Host| host.dir("bpf").display().to_string();
    let (own, theirs) = (place(h1), place(h2));
    let mounts = |path: &str| -> Result<usize> {
        let all = h1.run(["cat", "/proc/self/mountinfo"])?.ok()?;
        Ok(all.lines().filter(|line| line.split(' ').nth(4) == Some(path)).count())
    };
    fs::create_dir_all(h2.dir("bpf"))?;
    h2.run(["mount", "-t", "bpf", "bpf", &theirs])?.ok()?;
    for host in lab.hosts() {
        lab.start_daemon(host)?;
        ensure!(mounts(&place(host))? == 1, "{} is not mounted once", place(host));
        host.stop_daemon(Signal::SIGTERM)?;
    }

    let used = h1.dir("bpf").join("theirs");
    fs::create_dir(&used)?;
    let stays =
        format!("stays: bpf file system {own}: others use it, after whom `umount` takes it away\n");
    for _ in 0..2 {
        let said = clean(&lab, h1, &[])?.ok()?;
        ensure!(said.contains(&stays) && mounts(&own)? == 1, "{said}");
    }
    fs::remove_dir(&used)?;
    // Somebody looks into it.
    let mut looker = h1.spawn("looker", ["sh", "-c", &format!("cd {own} && exec sleep 1000")])?;
    eventually("it is looked into", DEADLINE, || {
        let cwd = fs::read_link(format!("/proc/{}/cwd", looker.pid()))?;
        ensure!(cwd == h1.dir("bpf"), "{}", cwd.display());
        Ok(())
    })?;
    let said = clean(&lab, h1, &[])?.ok()?;
    ensure!(said.contains(&stays) && mounts(&own)? == 1, "{said}");
    looker.stop(Signal::SIGKILL, DEADLINE)?;
    let said = clean(&lab, h1, &[])?.ok()?;
    ensure!(said.contains(&format!("removed: bpf file system {own}\n")), "{said}");
    ensure!(mounts(&own)? == 0, "it is mounted");

    let said = clean(&lab, h2, &[])?.ok()?;
    ensure!(said.contains(&format!("removed: links and maps {theirs}/v")), "{said}");
    ensure!(!said.contains("bpf file system") && mounts(&theirs)? == 1, "{said}");
    let left: Vec<_> = fs::read_dir(&theirs)?.collect::<Result<_, _>>()?;
    ensure!(left.iter().all(|entry| entry.path().extension().is_some()), "{left:?}");
    lab.end()
}

/// Dies in the middle, each time one step later, and is begun again: each leaves less than the one before.
#[test]
fn what_was_killed_in_the_middle_is_finished() -> Result<()> {
    let (lab, before) = lab(Store::File)?;
    let h1 = lab.host(1);
    h1.stop_daemon(Signal::SIGTERM)?;
    let mut places = BTreeSet::new();
    for step in 0..200 {
        fs::write(h1.crash_file(), step.to_string())?;
        let output = clean(&lab, h1, &[])?;
        let place = fs::read_to_string(h1.crash_file())?;
        fs::remove_file(h1.crash_file())?;
        if place.parse::<u32>().is_ok() {
            output.ok()?;
            is_as_before(h1, &before)?;
            is_given_back(&lab)?;
            // Requests to the kernel, to nft, of files, of the store: in each it died.
            ensure!(places.len() >= 7, "it died at {places:?}");
            return lab.end();
        }
        places.insert(place);
    }
    anyhow::bail!("it has no end: {places:?}")
}

#[test]
fn what_others_took_away_already_is_no_matter() -> Result<()> {
    let (lab, before) = lab(Store::File)?;
    let h1 = lab.host(1);
    h1.stop_daemon(Signal::SIGTERM)?;
    h1.run([
        "sh",
        "-e",
        "-c",
        "nft delete table inet netctl; ip link del nh-001000; ip link del netctl-vx",
    ])?
    .ok()?;
    fs::remove_dir_all(h1.dir("state").join("synced"))?;
    fs::remove_file(h1.dir("run").join("daemon.json"))?;
    h1.run(["umount", &h1.dir("bpf").display().to_string()])?.ok()?;
    // A record that nobody can read is said, and keeps nothing else from going.
    let damaged = h1.dir("state").join("sandboxes/damaged.json");
    fs::write(&damaged, "{")?;
    let output = clean(&lab, h1, &[])?;
    ensure!(output.code() == 1 && output.stderr.contains("damaged.json"), "{output:?}");
    fs::remove_file(&damaged)?;
    clean(&lab, h1, &[])?.ok()?;
    is_as_before(h1, &before)?;
    is_given_back(&lab)?;
    lab.end()
}

#[test]
fn a_store_that_is_away_keeps_nothing_from_going() -> Result<()> {
    let (lab, before) = lab(Store::Etcd)?;
    let h1 = lab.host(1);
    let etcd = lab.etcd().context("the lab has an etcd")?;
    h1.stop_daemon(Signal::SIGTERM)?;
    etcd.stop(Signal::SIGTERM)?;
    let said = clean(&lab, h1, &[])?.ok()?;
    ensure!(
        said.contains("stays: endpoints in the store of host h1: the store at etcd "),
        "{said}"
    );
    ensure!(
        said.contains("stays: record of sandbox box1: it says what is to be given back"),
        "{said}"
    );
    is_as_before(h1, &before)?;
    etcd.start()?;
    let said = clean(&lab, h1, &[])?.ok()?;
    ensure!(said.contains("removed: endpoint in the store a\n"), "{said}");
    ensure!(said.contains("removed: sandbox box1\n"), "{said}");
    eventually("h1 is gone", Duration::from_secs(20), || is_given_back(&lab))?;
    is_as_before(h1, &before)?;
    lab.end()
}

/// A daemon with other directories has this host.
#[test]
fn a_host_of_a_daemon_with_other_directories_is_left_alone() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let h1 = lab.host(1);
    h1.ok(["run", "--name", "box", "--publish-service", "a.dev", "true"])?;
    let before = standing(h1)?;
    let dir = |name: &str| format!("--{name}-dir={}", lab.dir().join(name).display());
    let words = ["netctl", "daemon", "--cleanup"].map(ToOwned::to_owned).into_iter();
    let output = h1.run(words.chain(["run", "state", "bpf", "netns"].map(dir)))?;
    ensure!(output.code() == 1, "{output:?}");
    let expected = format!(
        "error: device netctl-vx of this host runs programs of netctl that are not pinned below {}: ",
        lab.dir().join("bpf").display()
    );
    ensure!(output.stderr.starts_with(&expected), "{output:?}");
    is_as_before(h1, &before)?;
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    lab.end()
}
