//! Questions that cannot be answered, and how answers look.

use anyhow::{Result, ensure};
use testbed::{Signal, Store, eventually};

use crate::{
    refusals::refused,
    stage::{SOON, join, lab, meets, played, trace},
};

#[test]
fn what_cannot_be_asked_is_said_in_a_sentence() -> Result<()> {
    played(lab(Store::Etcd)?, |lab| {
        let host = lab.host(1);
        host.ok(["network", "create", "--subnet", "10.78.0.0/24", "other"])?;
        host.ok(["service", "publish", "idle.dev"])?;
        host.ok(["service", "publish", "--ip", "10.78.0.9", "a.other"])?;
        host.ok(["service", "publish", "--ip", "10.78.0.8", "c.other"])?;
        host.ok(["network", "create", "-d", "null", "nothing"])?;
        host.ok(["network", "create", "-d", "host", "stack"])?;
        host.ok(["sandbox", "create", "--host", "box-h"])?;
        host.ok(["service", "publish", "h.stack"])?;
        host.ok(["service", "attach", "box-h", "h.stack"])?;
        host.ok(["service", "publish", "n.nothing"])?;
        let cases = [
            (
                "zzz b",
                1,
                "no service, sandbox or address zzz is on this host: see `netctl sandbox ls`",
            ),
            ("10.9.9.9 b", 1, "no service, sandbox or address 10.9.9.9 is on this host"),
            ("b a", 1, "service b is on h2: run `netctl trace` there"),
            ("idle a", 1, "service idle is attached nowhere, so it sends nothing"),
            (
                "box-h a",
                1,
                "sandbox box-h is the host's own network stack, whose packets netctl does not carry",
            ),
            ("a zzz", 1, "no service zzz is known: see `netctl service ls`, or name an address"),
            ("a n.nothing", 1, "service n.nothing has no address: its network's driver gives none"),
            ("a c.other -6", 1, "service c.other has no address of IPv6: its network has none"),
            ("a 10.77.0.4 -6", 1, "10.77.0.4 is an address of IPv4: leave -6 out"),
            ("a b --size 20", 1, "--size 20 is not usable: such a packet has 28 to 65535 bytes"),
            ("a b --size 70000", 1, "--size 70000 is not usable: such a packet has 28 to 65535"),
            ("a b --proto tcp", 2, "--proto tcp and --proto udp need a --port"),
            ("a b --proto icmp --port 80", 2, "--port goes with --proto tcp or --proto udp"),
            ("a b --port 0", 2, "0 is not in 1..=65535"),
            ("a b --proto sctp", 2, "invalid value 'sctp' for '--proto <tcp|udp|icmp>'"),
        ];
        refused(host, "trace", &cases)?;
        // Joined to both, the name alone does not say which.
        host.ok(["service", "attach", "box-c", "a.other"])?;
        let output = host.netctl(["trace", "a", "b"])?;
        let said = "error: a is in several networks: write a.dev or a.other";
        ensure!(output.code() == 1 && output.stderr.starts_with(said), "{output:?}");
        // One sandbox that has the name in several networks chooses by its routes, as one that is named itself.
        host.ok(["service", "attach", "box-c", "c.other"])?;
        let report = trace(host, "c 10.78.0.1")?;
        ensure!(report.source == "sandbox box-c" && report.arrives, "{report:#?}");
        let report = trace(host, "box-c 10.78.0.1")?;
        ensure!(report.source == "sandbox box-c" && report.arrives, "{report:#?}");
        ensure!(report.hops[0].what.contains("by eth"), "{report:#?}");
        let report = trace(host, "10.77.0.2 b.dev")?;
        ensure!(
            report.source == "a.dev" && report.destination == "b.dev (10.77.0.4)",
            "{report:#?}"
        );

        lab.etcd().expect("the lab has one").stop(Signal::SIGKILL)?;
        // What was known before is so still, also to a daemon that starts meanwhile.
        for round in ["the same daemon", "the next one"] {
            for question in ["a.dev b", "a.dev 10.77.0.4", "a.dev b -6"] {
                let report = eventually("it is followed", SOON, || {
                    let report = trace(host, question)?;
                    ensure!(report.arrives && report.returns, "{round}: {report:#?}");
                    Ok(report)
                })?;
                let first = &report.hops[0];
                ensure!(first.at == "store" && first.verdict == "unknown", "{report:#?}");
                let said = "it has not answered for ";
                ensure!(first.what.starts_with(said), "{round}: {report:#?}");
                meets(&report.hops, &[("tunnel", "to h2 (192.0.2.2) in VNI 4096")])?;
            }
            lab.restart_daemon(host, Signal::SIGTERM)?;
        }
        let output = host.netctl(["trace", "a.dev", "zzz"])?;
        let said = "error: the store does not answer, and no service zzz was known here before: \
                    name an address, or see `netctl status`";
        ensure!(output.code() == 1 && output.stderr.starts_with(said), "{output:?}");
        host.stop_daemon(Signal::SIGTERM)?;
        let output = host.netctl(["trace", "a.dev", "10.77.0.4"])?;
        ensure!(output.code() == 3, "{output:?}");
        Ok(())
    })
}

#[test]
fn people_read_a_line_for_each_hop() -> Result<()> {
    played(lab(Store::File)?, |lab| {
        let host = lab.host(1);
        let text = host.ok(["trace", "a", "b", "--port", "80"])?;
        let lines: Vec<&str> = text.lines().collect();
        ensure!(lines[0] == "TCP to port 80, 40 bytes, from a.dev to b.dev (10.77.0.4)", "{text}");
        ensure!(lines[1].starts_with("  pass  sandbox box-a "), "{text}");
        ensure!(lines.contains(&"It would arrive."), "{text}");
        ensure!(lines.contains(&"The answer from b.dev (10.77.0.4) to a.dev"), "{text}");
        let last = "It would come back, unless what cannot be told from here stops it.";
        ensure!(lines.last() == Some(&last), "{text}");
        join(host, "x.dev", &[])?;
        host.ok(["exec", "box-x", "--", "ip", "link", "set", "eth0", "down"])?;
        let output = host.netctl(["trace", "a", "x"])?;
        ensure!(output.code() == 1, "{output:?}");
        let text = &output.stdout;
        ensure!(text.contains("  STOP  sandbox box-x"), "{text}");
        ensure!(text.contains(" interface-down: eth0 is down\n"), "{text}");
        ensure!(text.contains(" Mend it: netctl exec box-x -- ip link set eth0 up\n"), "{text}");
        ensure!(text.ends_with("\nIt would stop at sandbox box-x.\n"), "{text}");
        Ok(())
    })
}
