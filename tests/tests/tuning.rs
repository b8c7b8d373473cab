//! Settings that a daemon may choose by itself: what it does to the underlay, and what it says.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netctl::kernel::{Netlink, Netns as Handle};
use serde_json::Value;
use testbed::{
    Host, Lab, Options, Process, Signal, Wire, eventually,
    frames::{UDP, ethernet, ipv4, udp, vxlan},
};

const SOON: Duration = Duration::from_secs(10);
const USUAL: u32 = 65_536;
const BIG: u32 = 196_608;

fn json(host: &Host, words: &[&str]) -> Result<Value> {
    let text = host.ok(words.iter().copied().chain(["--format", "json"]))?;
    serde_json::from_str(&text).with_context(|| text)
}

/// Two hosts with a container each, and daemons with further arguments.
fn lab(arguments: &[&str]) -> Result<Lab> {
    let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
    let lab = Lab::start(Options { arguments, ..Options::default() })?;
    lab.host(1).ok(["network", "create", "--subnet", "10.85.0.0/24", "dev"])?;
    for (host, name, service) in [(1, "box1", "a.dev"), (2, "box2", "b.dev")] {
        lab.host(host).ok(["run", "--name", name, "--publish-service", service, "true"])?;
    }
    Ok(lab)
}

fn reaches(lab: &Lab) -> Result<()> {
    let words =
        ["netctl", "exec", "box1", "ping", "-n", "-c", "3", "-i", "0.1", "-W", "1", "10.85.0.3"];
    eventually("box1 reaches box2", SOON, || lab.host(1).run(words)?.ok().map(drop))
}

/// The packets that a program of the host dropped.
fn dropped(host: &Host, program: &str) -> Result<u64> {
    let rows = json(host, &["counters"])?;
    let of = |row: &&Value| row["program"] == program && row["drop"] == true;
    let rows = rows.as_array().context("no rows")?;
    Ok(rows.iter().filter(of).filter_map(|row| row["packets"].as_u64()).sum())
}

/// A VXLAN packet to h1 from a host that nobody knows.
fn forged(lab: &Lab) -> Result<()> {
    let words = ["ip", "-brief", "link", "show", "dev", "eth0"];
    let text = lab.host(1).run(words)?.ok()?;
    let mac = text.split_whitespace().nth(2).context("no address")?;
    let mac: netctl_common::MacAddr = mac.parse().ok().context("an odd address")?;
    let inner = ethernet([2; 6], [2, 0, 0, 0, 0, 9], 0x0800, &[0x45; 40]);
    let datagram = udp(50_000, 4789, &vxlan(4096, &inner));
    let packet = ipv4([192, 0, 2, 254], [192, 0, 2, 1], 0, UDP, &datagram);
    let frame = ethernet(mac.0, [2, 0, 0, 0, 0, 8], 0x0800, &packet);
    let wire = Wire::new(lab.external().netns(), "eth0")?;
    (0..10).try_for_each(|_| wire.send(&frame).map(drop))
}

#[test]
fn forged_packets_are_dropped_by_the_driver() -> Result<()> {
    let lab = lab(&["--xdp", "on"])?;
    let h1 = lab.host(1);
    for daemon in ["first", "second"] {
        let status = json(h1, &["status"])?;
        ensure!(status["xdp"]["on"] == true, "the {daemon} daemon says {}", status["xdp"]);
        let link = h1.run(["ip", "link", "show", "eth0"])?.ok()?;
        ensure!(link.contains(" xdp "), "{link}");
        reaches(&lab)?;
        let (filter, program) = (dropped(h1, "underlay-filter")?, dropped(h1, "from-underlay")?);
        forged(&lab)?;
        eventually("forged packets are counted", SOON, || {
            let now = dropped(h1, "underlay-filter")?;
            ensure!(now == filter + 10, "{now} after {filter}");
            Ok(())
        })?;
        ensure!(dropped(h1, "from-underlay")? == program, "they came further");
        reaches(&lab)?;
        lab.restart_daemon(h1, Signal::SIGKILL)?;
    }
    lab.end()
}

#[test]
fn a_veth_underlay_is_not_slowed_down() -> Result<()> {
    let lab = lab(&[])?;
    let h1 = lab.host(1);
    let status = json(h1, &["status"])?;
    ensure!(status["xdp"]["on"] == false, "{}", status["xdp"]);
    ensure!(status["xdp"]["why"].as_str().is_some_and(|why| why.contains("veth")), "{status}");
    let link = h1.run(["ip", "link", "show", "eth0"])?.ok()?;
    ensure!(!link.contains("xdp"), "{link}");
    forged(&lab)?;
    eventually("forged packets are counted", SOON, || {
        ensure!(dropped(h1, "from-underlay")? >= 10, "they are not");
        Ok(())
    })?;
    lab.end()
}

/// The largest IPv4 packets that a host's device takes, in bytes.
fn takes(host: &Host, device: &str) -> Result<u32> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let netlink = Netlink::open(&Handle::open(host.netns().path())?).await?;
        Ok(netlink.link_by_name(device).await?.sizes.gso_ipv4)
    })
}

/// A daemon beside the lab's own, with directories of its own.
fn daemon(lab: &Lab, log: &str, big_tcp: &str) -> Result<Process> {
    let home = lab.dir().join("home");
    let mut words = vec!["netctl".to_owned(), "daemon".to_owned()];
    for name in ["run", "state", "bpf", "netns"] {
        words.push(format!("--{name}-dir={}", home.join(name).display()));
    }
    words.extend(["--bind-interface=eth0".to_owned(), format!("--big-tcp={big_tcp}")]);
    let process = lab.host(1).spawn(log, words)?;
    eventually("the daemon listens", SOON, || {
        ensure!(process.log().contains("ready"), "{}", process.log());
        Ok(())
    })?;
    Ok(process)
}

#[test]
fn the_underlay_gets_back_what_it_had() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, daemons: false, ..Options::default() })?;
    let h1 = lab.host(1);
    let stop = |mut daemon: Process| daemon.stop(Signal::SIGTERM, SOON);
    ensure!(takes(h1, "eth0")? == USUAL);
    for log in ["first", "second"] {
        stop(daemon(&lab, log, "auto")?)?;
        ensure!(takes(h1, "eth0")? == BIG, "{log}");
    }
    stop(daemon(&lab, "off", "off")?)?;
    ensure!(takes(h1, "eth0")? == USUAL);

    // What somebody else has changed since is theirs.
    stop(daemon(&lab, "on", "on")?)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let netlink = Netlink::open(&Handle::open(h1.netns().path())?).await?;
        let link = netlink.link_by_name("eth0").await?;
        anyhow::Ok(netlink.set_gso_ipv4(&link, 2 * USUAL).await?)
    })?;
    stop(daemon(&lab, "off again", "off")?)?;
    ensure!(takes(h1, "eth0")? == 2 * USUAL);
    lab.end()
}

#[test]
fn endpoints_take_large_packets_where_the_underlay_does() -> Result<()> {
    for (choice, expected) in [("auto", BIG), ("off", USUAL)] {
        let lab = lab(&["--big-tcp", choice])?;
        let h1 = lab.host(1);
        let status = json(h1, &["status"])?;
        ensure!(status["big_tcp"]["on"] == (choice == "auto"), "{status}");
        let links = h1.run(["ip", "-brief", "link"])?.ok()?;
        let ports = links.lines().filter_map(|line| line.split(['@', ' ']).next());
        let ours = |name: &&str| ["nc", "nh-", "np-"].iter().any(|start| name.starts_with(start));
        let ports: Vec<_> = ports.filter(ours).collect();
        ensure!(ports.len() == 3, "{links}");
        for port in ports {
            let bytes = takes(h1, port)?;
            ensure!(bytes == expected, "{port} takes {bytes} bytes");
        }
        lab.end()?;
    }
    Ok(())
}
