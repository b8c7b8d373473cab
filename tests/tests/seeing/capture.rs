//! `netctl capture`: what is in the file, as tshark and capinfos read it.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use testbed::{
    Host, Signal,
    frames::{UDP, ethernet, ipv4, udp},
    output_of,
};

use crate::{
    refusals::refused,
    stage::{Running, join, mac, played, wire, within},
};

/// `netctl capture` into a file.
struct Capture {
    running: Running,
    file: PathBuf,
}

impl Capture {
    fn start(host: &Host, name: &str, words: &str) -> Result<Self> {
        let file = host.dir("run").join(format!("{name}.pcapng"));
        let line = format!("capture -w {} {words}", file.display());
        let running = Running::start(host, name, line.trim(), "capturing at ")?;
        Ok(Self { running, file })
    }

    /// Ends it, which must have lost nothing, and gives where the capture is and what was said.
    fn end(self) -> Result<(PathBuf, String)> {
        let said = self.running.end(Signal::SIGINT)?;
        ensure!(said.contains(" captured, and none lost"), "{said}");
        Ok((self.file, said))
    }
}

/// What tshark prints of these fields, a line for each packet, with names where the capture has some.
fn fields(file: &std::path::Path, fields: &[&str]) -> Result<Vec<String>> {
    let mut words = vec!["-n", "-N", "n", "-r", file.to_str().context("a path")?, "-T", "fields"];
    words.extend(["-E", "separator=/s"]);
    for field in fields {
        words.extend(["-e", field]);
    }
    let text = output_of("tshark", words)?.ok()?;
    Ok(text.lines().map(ToOwned::to_owned).collect())
}

/// ```text
///   h1: box-a ── 3 echoes ──► h2: box-b       captured at a, and on the way between the hosts
///       box-c ── echoes ──► gateway           not captured there
/// ```
#[test]
fn an_endpoint_is_captured_inside_and_out() -> Result<()> {
    played(2, |lab| {
        let (h1, h2) = (lab.host(1), lab.host(2));
        join(h1, "c")?;
        let inner = Capture::start(h1, "inner", "--service a.dev icmp")?;
        let boxed = Capture::start(h1, "boxed", "--sandbox box-a icmp")?;
        let outer = Capture::start(h1, "outer", "--outer")?;
        let of_network =
            Capture::start(h2, "network", "--outer --network dev udp src portrange 49152-65535")?;
        let of_service = Capture::start(h1, "station", "--outer --service c.dev")?;
        let there = Capture::start(h2, "there", "--network dev icmp")?;
        within(h1, "a", "ping -n -c 3 -i 0.1 -W 2 b")?;
        within(h1, "c", "ping -n -c 2 -i 0.1 -W 2 10.92.0.1")?;

        const ECHO: [&str; 4] = ["frame.interface_name", "ip.src_host", "ip.dst_host", "icmp.type"];
        let (file, said) = inner.end()?;
        ensure!(said.starts_with("capturing at a.dev\n6 packets were captured"), "{said}");
        let pair = ["a.dev a.dev b.dev 8", "a.dev b.dev a.dev 0"];
        ensure!(
            fields(&file, &ECHO)? == [pair, pair, pair].concat(),
            "{:?}",
            fields(&file, &ECHO)?
        );
        let directions = fields(&file, &["frame.packet_flags_direction"])?;
        ensure!(directions.len() == 6 && directions[0] != directions[1], "{directions:?}");
        let about = output_of("capinfos", [file.as_os_str()])?.ok()?;
        for line in [
            "Number of packets:   6",
            "Capture application: netctl ",
            "Capture comment:     captured by netctl on host h1",
            "Description = eth0 in sandbox box-a on host h1",
            "Filter string = icmp",
            "Time precision = nanoseconds (9)",
            "Number of packets = 6",
        ] {
            ensure!(about.contains(line), "no {line:?}: {about}");
        }
        let (file, _) = boxed.end()?;
        ensure!(fields(&file, &ECHO)?.len() == 6);

        // In the tunnel: the hosts are named too.
        const TUNNEL: [&str; 4] = ["frame.interface_name", "vxlan.vni", "ip.src_host", "icmp.type"];
        let (file, _) = outer.end()?;
        let seen = fields(&file, &TUNNEL)?;
        let echoes: Vec<&String> =
            seen.iter().filter(|line| line.ends_with(" 8") || line.ends_with(" 0")).collect();
        ensure!(echoes.len() == 6, "{seen:?}");
        ensure!(
            echoes[0] == "eth0 4096 h1,a.dev 8" && echoes[1] == "eth0 4096 h2,b.dev 0",
            "{seen:?}"
        );
        let (file, _) = of_network.end()?;
        let seen = fields(&file, &TUNNEL)?;
        ensure!(
            seen.iter().filter(|line| line.ends_with(" 8") || line.ends_with(" 0")).count() == 6,
            "{seen:?}"
        );
        // What `c` sends does not leave the host.
        let (file, _) = of_service.end()?;
        ensure!(fields(&file, &TUNNEL)?.iter().all(|line| !line.contains("a.dev")));

        // At both ends of what passes on one host.
        let (file, said) = there.end()?;
        ensure!(said.starts_with("capturing at b.dev, gateway.dev\n6 packets "), "{said}");
        ensure!(fields(&file, &ECHO)?.iter().all(|line| line.starts_with("b.dev ")));
        // tcpdump knows the form too.
        let text = output_of("tcpdump", ["-n", "-r", file.to_str().context("a path")?])?;
        ensure!(text.ok()?.lines().count() == 6);
        Ok(())
    })
}

/// The whole host is captured in the order in which packets were seen, with VLAN tags where they were.
#[test]
fn a_host_is_captured_in_order_and_as_it_was_on_the_wire() -> Result<()> {
    played(1, |lab| {
        let host = lab.host(1);
        join(host, "b")?;
        let all = Capture::start(host, "all", "--snaplen 60")?;
        within(host, "a", "ping -n -q -c 50 -i 0.005 -s 500 -W 2 b")?;
        let wire = wire(lab, host, "a")?;
        let (a, b) = (mac(host, "a")?, mac(host, "b")?);
        let inner = ipv4([10, 92, 0, 2], [10, 92, 0, 3], 0, UDP, &udp(1, 2, b"tagged"));
        wire.send(&ethernet(b, a, 0x8100, &[&[0, 7, 8, 0][..], &inner].concat()))?;
        std::thread::sleep(std::time::Duration::from_millis(100));
        let (file, said) = all.end()?;
        ensure!(said.starts_with("capturing at a.dev, b.dev, gateway.dev\n"), "{said}");
        let seen = fields(
            &file,
            &[
                "frame.time_epoch",
                "frame.interface_name",
                "icmp.type",
                "icmp.seq",
                "frame.len",
                "frame.cap_len",
            ],
        )?;
        let echoes: Vec<Vec<&str>> = seen.iter().map(|line| line.split(' ').collect()).collect();
        let times: Vec<&str> = echoes.iter().map(|line| line[0]).collect();
        ensure!(times.is_sorted(), "{seen:?}");
        // Out of one, into the other, and back: four times each.
        let sequence: Vec<(&str, &str)> = echoes
            .iter()
            .filter(|line| line[2] == "8" || line[2] == "0")
            .map(|line| (line[1], line[2]))
            .collect();
        ensure!(sequence.len() == 200, "{}", sequence.len());
        for round in sequence.chunks(4) {
            ensure!(
                round == [("a.dev", "8"), ("b.dev", "8"), ("b.dev", "0"), ("a.dev", "0")],
                "{round:?}"
            );
        }
        ensure!(
            echoes
                .iter()
                .filter(|line| line[2] == "8")
                .all(|line| line[4] == "542" && line[5] == "60")
        );
        let tags = fields(&file, &["vlan.id", "frame.interface_name"])?;
        ensure!(tags.iter().any(|line| line == "7 b.dev"), "{tags:?}");
        Ok(())
    })
}

#[test]
fn it_ends_by_count_by_time_and_with_its_reader() -> Result<()> {
    played(1, |lab| {
        let host = lab.host(1);
        let mut ping = host
            .spawn("ping", "netctl exec box-a -- ping -n -q -i 0.02 -w 60 10.92.0.1".split(' '))?;
        let counted = host.dir("run").join("counted.pcapng");
        let line = format!("capture --service a.dev -c 7 -w {} icmp", counted.display());
        let output = host.netctl(line.split(' '))?;
        ensure!(output.success() && output.stdout.is_empty(), "{output:?}");
        ensure!(
            output.stderr == "capturing at a.dev\n7 packets were captured, and none lost\n",
            "{output:?}"
        );
        ensure!(fields(&counted, &["icmp.type"])?.len() == 7);

        let timed = host.dir("run").join("timed.pcapng");
        let line =
            format!("capture --service a.dev --duration 0.5 -w {} udp port 9", timed.display());
        let output = host.netctl(line.split(' '))?;
        ensure!(
            output.success() && output.stderr.ends_with("0 packets were captured, and none lost\n"),
            "{output:?}"
        );
        ensure!(fields(&timed, &["frame.number"])?.is_empty());

        // To a pipe, whose reader has seen enough, or goes on to the end.
        let piped = "netctl capture --service a.dev icmp 2>/dev/null | tshark -n -r - -c 3 -T fields -e icmp.type 2>/dev/null";
        let seen = host.run(["bash", "-o", "pipefail", "-c", piped])?;
        ensure!(seen.success() && seen.stdout.lines().count() == 3, "{seen:?}");
        let piped = "netctl capture -w - -c 4 --network dev icmp | tcpdump -n -r -";
        let seen = host.run(["bash", "-o", "pipefail", "-c", piped])?.ok()?;
        ensure!(seen.lines().count() == 4, "{seen}");
        ping.stop(Signal::SIGINT, crate::stage::SOON)
    })
}

#[test]
fn it_is_said_when_an_interface_is_gone() -> Result<()> {
    played(1, |lab| {
        let host = lab.host(1);
        join(host, "b")?;
        let both = Capture::start(host, "both", "--network dev icmp")?;
        let one = Capture::start(host, "one", "--service b.dev icmp")?;
        within(host, "b", "ping -n -c 1 -W 2 a")?;
        // Down is not gone.
        within(host, "b", "ip link set eth0 down")?;
        within(host, "b", "ip link set eth0 up")?;
        testbed::eventually("b is back", crate::stage::SOON, || {
            within(host, "b", "ping -n -c 1 -W 1 a")
        })?;
        ensure!(!one.running.said().contains("gone"), "{}", one.running.said());
        host.ok(["sandbox", "rm", "box-b"])?;
        let said = one.running.ends()?;
        let end = "the interface of b.dev is gone\n";
        ensure!(said.contains(end), "{said}");
        ensure!(
            said.ends_with("error: all interfaces are gone, so there is nothing more to capture\n"),
            "{said}"
        );
        ensure!(fields(&one.file, &["icmp.type"])?.len() >= 4);
        both.running.says(&["the interface of b.dev is gone"])?;
        within(host, "a", "ping -n -c 1 -W 2 10.92.0.1")?;
        let (file, said) = both.end()?;
        ensure!(!said.contains("error"), "{said}");
        let seen = fields(&file, &["frame.interface_name"])?;
        for name in ["a.dev", "b.dev", "gateway.dev"] {
            ensure!(seen.iter().any(|line| line == name), "{name}: {seen:?}");
        }
        Ok(())
    })
}

#[test]
fn what_cannot_be_captured_is_refused_before_anything_begins() -> Result<()> {
    played(2, |lab| {
        let host = lab.host(1);
        host.ok(["network", "create", "-d", "bridge", "near"])?;
        host.ok(["service", "publish", "idle.dev"])?;
        host.ok(["sandbox", "create", "empty"])?;
        let file = host.dir("run").join("refused.pcapng");
        let cases = [
            (
                "tcp prt 80",
                1,
                "the filter \"tcp prt 80\" is unusable: syntax error; pcap-filter(7) says how to write one",
            ),
            (
                "--outer tcp prt 80",
                1,
                "the filter \"tcp prt 80\" is unusable: syntax error; pcap-filter(7) says how to write one",
            ),
            ("--service b.dev", 1, "service b.dev is attached on host h2, not here: capture there"),
            (
                "--service idle.dev",
                1,
                "service idle.dev is not attached: `netctl service attach` does that",
            ),
            ("--service none.dev", 1, "there is no service none"),
            ("--sandbox none", 1, "there is no sandbox none"),
            (
                "--sandbox empty",
                1,
                "sandbox empty has no interface of netctl's, so there is nothing to capture",
            ),
            ("--network none", 1, "there is no network none"),
            (
                "--network near",
                1,
                "network near has no interface on host h1, so there is nothing to capture",
            ),
            ("--network dev --sandbox box-a", 2, "cannot be used with"),
            ("--outer --sandbox box-a", 2, "cannot be used with"),
            ("--snaplen 0", 2, "0 is not in 1..=262144"),
            ("--duration 0", 2, "write seconds, 0.1 at least"),
            ("--duration x", 2, "write seconds, 0.1 at least"),
            ("-c 0", 2, "0 is not in 1.."),
        ];
        let write = format!("-w {}", file.display());
        refused(host, &format!("capture {write}"), &cases)?;
        ensure!(!file.exists(), "a file was made");
        let output = host.netctl("capture --service a.dev -w /nowhere/x.pcapng".split(' '))?;
        ensure!(
            output.code() == 1
                && output.stderr.starts_with("error: cannot write /nowhere/x.pcapng: "),
            "{output:?}"
        );
        let output = host.netctl("capture --service a.dev -w /dev/full".split(' '))?;
        ensure!(
            output.code() == 1
                && output.stderr
                    == "error: cannot write /dev/full: No space left on device (os error 28)\n",
            "{output:?}"
        );
        let output = host.netctl("--socket /nowhere.sock capture -w /dev/null".split(' '))?;
        ensure!(output.code() == 3, "{output:?}");

        // Without root, without tcpdump, and on a terminal.
        let words = format!("setpriv --reuid 65534 --clear-groups netctl capture {write}");
        let output = host.run(words.split(' '))?;
        ensure!(output.code() == 1 && output.stderr.contains("netctl needs root"), "{output:?}");
        let netctl = host.run(["sh", "-c", "command -v netctl"])?.ok()?;
        let line = format!("PATH=/nowhere {} capture {write} icmp", netctl.trim());
        let output = host.run(["sh", "-c", &line])?;
        let sentence = "error: there is no tcpdump on the PATH, which compiles filters: install the package tcpdump, or capture without a filter\n";
        ensure!(output.code() == 1 && output.stderr == sentence, "{output:?}");
        let output = host.run(["script", "-qec", "netctl capture", "/dev/null"])?;
        ensure!(
            output.code() == 2
                && output.stdout.contains("a capture is nothing to read on a terminal"),
            "{output:?}"
        );
        Ok(())
    })
}
