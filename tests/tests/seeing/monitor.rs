//! `netctl monitor`: what it shows.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{
    Lab, Signal,
    frames::{UDP, ethernet, ipv4, udp},
};

use crate::{
    refusals::refused,
    stage::{Running, join, mac, played, wire, within},
};

const A: [u8; 4] = [10, 92, 0, 2];
const GATEWAY: [u8; 4] = [10, 92, 0, 1];
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// ```text
///   h1: box-a ── forged, and for nobody ──► dropped there
///   the underlay ── VXLAN of no host of ours ──► h1: dropped there
/// ```
#[test]
fn a_drop_is_shown_with_its_reason_and_names() -> Result<()> {
    played(2, |lab| {
        let h1 = lab.host(1);
        let (wire, mac) = (wire(lab, h1, "a")?, mac(h1, "a")?);
        let drops = Running::monitor(h1, "drops", "--drops")?;
        let frame = |to, from, source, target, port| {
            ethernet(to, from, 0x0800, &ipv4(source, target, 0, UDP, &udp(5000, port, b"data")))
        };
        wire.send(&frame(STRANGER, STRANGER, A, GATEWAY, 53))?;
        drops.says(&[
            " drop ",
            " source-mac ",
            " dev ",
            " a:5000 (02:00:00:00:00:09) -> gateway:53 udp 46 bytes by nc",
            " of a in box-a",
        ])?;
        wire.send(&frame(STRANGER, mac, [192, 0, 2, 77], GATEWAY, 54))?;
        drops.says(&[
            " source-address ",
            " 192.0.2.77:5000 -> gateway:54 udp ",
            " of a in box-a",
        ])?;
        wire.send(&frame(STRANGER, mac, A, [10, 92, 0, 99], 55))?;
        drops.says(&[
            " unknown-destination ",
            " a:5000 -> 10.92.0.99:55 (02:00:00:00:00:09) udp ",
        ])?;
        wire.send(&ethernet(STRANGER, mac, 0x0800, &[0x45; 12]))?;
        drops.says(&[" malformed-ipv4 ", " dev ", " a -> 02:00:00:00:00:09 ipv4 26 bytes "])?;

        // A host that is none of ours, and one that is but has no such station.
        let external = lab.external();
        let line =
            "printf '\\10\\0\\0\\0\\0\\20\\0\\0aaaaaabbbbbb\\10\\0' > /dev/udp/192.0.2.1/4789";
        external.run(["bash", "-c", line])?.ok()?;
        let from = format!(" by eth0 from {}", external.address());
        drops.says(&[" unknown-tunnel-source ", " dev ", " 61:61:61", &from])?;
        lab.host(2).run(["bash", "-c", line])?.ok()?;
        drops.says(&[" inner-source ", " dev ", " from 192.0.2.2"])?;
        drops.end(Signal::SIGINT).map(drop)
    })
}

/// ```text
///   h1: box-a ── TCP, UDP, an echo ──► h2: box-b       seen on both
///       box-a ── a question for a name ──► the gateway
/// ```
#[test]
fn a_flow_is_shown_once_on_each_host_with_names() -> Result<()> {
    played(2, |lab| {
        let (h1, h2) = (lab.host(1), lab.host(2));
        let here = Running::monitor(h1, "here", "--flows")?;
        let there = Running::monitor(h2, "there", "--flows")?;
        within(h1, "a", "ping -n -c 3 -i 0.1 -W 2 b")?;
        here.says(&[
            " flow ",
            " to-underlay ",
            " dev ",
            " a -> b icmp echo request 98 bytes by nc",
            " of a in box-a",
        ])?;
        there.says(&[
            " flow ",
            " to-container ",
            " dev ",
            " a -> b icmp echo request 148 bytes by ",
        ])?;
        here.says(&[" to-host ", " -> gateway:53 udp "])?;
        // Nobody listens: the connection is refused, which is no flow.
        drop(h1.netctl(["exec", "box-a", "--", "bash", "-c", "</dev/tcp/b/8080"])?);
        here.says(&[" to-underlay ", " a:", " -> b:8080 tcp syn "])?;
        there.says(&[" to-container ", " a:", " -> b:8080 tcp syn "])?;
        let (here, there) = (here.end(Signal::SIGINT)?, there.end(Signal::SIGINT)?);
        for said in [&here, &there] {
            ensure!(said.matches("icmp echo").count() == 1, "once: {said}");
            ensure!(!said.contains(" drop ") && !said.contains(" lost"), "{said}");
        }
        Ok(())
    })
}

#[test]
fn filters_and_a_count_choose_what_is_shown() -> Result<()> {
    played(1, |lab| {
        let host = lab.host(1);
        join(host, "b")?;
        host.ok(["network", "create", "other"])?;
        let (wire, mac) = (wire(lab, host, "a")?, mac(host, "a")?);
        let forge = |from, port| {
            wire.send(&ethernet(
                STRANGER,
                from,
                0x0800,
                &ipv4([1, 1, 1, 1], GATEWAY, 0, UDP, &udp(1, port, b"")),
            ))
        };
        let all = Running::monitor(host, "all", "")?;
        let by_reason = Running::monitor(host, "reason", "--reason source-address --format table")?;
        let by_port = Running::monitor(host, "port", "--port 77 --protocol UDP --network dev")?;
        let by_service = Running::monitor(host, "service", "--service b")?;
        let elsewhere = Running::monitor(host, "elsewhere", "--network other")?;
        let counted =
            host.spawn("counted", "netctl monitor --drops -n 2 --format json".split(' '))?;
        let mut counted = counted;
        for (from, port) in [(STRANGER, 76), (mac, 77), (STRANGER, 78)] {
            forge(from, port)?;
        }
        for port in ["76", "77", "78"] {
            all.says(&[" drop ", &format!(":{port} udp")])?;
        }
        within(host, "b", "ping -n -c 1 -W 2 a")?;
        by_service.says(&[" flow ", " to-container ", " b -> a icmp echo request"])?;
        testbed::eventually("it has counted to two", crate::stage::SOON, || {
            if counted.alive() {
                forge(STRANGER, 79)?;
            }
            ensure!(!counted.alive(), "it runs");
            Ok(())
        })?;
        let lines: Vec<Value> =
            counted.log().lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        ensure!(lines.len() == 2, "{lines:?}");
        let drop = &lines[0];
        ensure!(drop["kind"] == "drop" && drop["network"] == "dev", "{drop}");
        ensure!(drop["sandbox"] == "box-a" && drop["sender"] == "a", "{drop}");
        ensure!(drop["destination"]["service"] == "gateway", "{drop}");
        ensure!(drop["at_us"].as_u64().context("no time")? > 1_700_000_000_000_000, "{drop}");

        let (reason, port) = (by_reason.end(Signal::SIGINT)?, by_port.end(Signal::SIGTERM)?);
        ensure!(reason.lines().count() == 2 && reason.contains(":77 udp"), "{reason}");
        ensure!(port.lines().count() == 2 && port.contains(":77 udp"), "{port}");
        let service = by_service.end(Signal::SIGINT)?;
        ensure!(!service.contains(" of a in box-a"), "{service}");
        let elsewhere = elsewhere.end(Signal::SIGINT)?;
        ensure!(elsewhere.lines().count() == 1, "{elsewhere}");
        Ok(())
    })
}

#[test]
fn what_cannot_be_is_refused() -> Result<()> {
    played(1, |lab| {
        let host = lab.host(1);
        let cases = [
            (
                "--reason nonsense",
                2,
                "there is no drop reason \"nonsense\"; `netctl counters --all` lists them",
            ),
            ("--network nowhere", 1, "error: there is no network nowhere"),
            ("-n 0", 2, "0 is not in 1.."),
            ("--flows --reason source-mac", 2, "cannot be used with"),
        ];
        refused(host, "monitor", &cases)?;
        let nobody = "netctl daemon cannot be reached at /nowhere.sock";
        refused(host, "--socket /nowhere.sock", &[("monitor", 3, nobody)])?;
        not_root(lab)
    })
}

/// The socket is the daemon's user's alone.
fn not_root(lab: &Lab) -> Result<()> {
    let words = ["setpriv", "--reuid", "65534", "--clear-groups", "netctl", "monitor"];
    let output = lab.host(1).run(words)?;
    ensure!(output.code() == 3 && output.stderr.contains("run netctl as root"), "{output:?}");
    Ok(())
}
