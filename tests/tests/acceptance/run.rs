//! `netctl run`: a container in one step, what it sees, and that nothing of it stays.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Signal, eventually};

use crate::{
    container::{Container, SOON},
    stage::{field, names, refused},
};

on_both_stores! {
    a_container_in_one_step on 2;
    names_from_outside on 1;
}

/// ```text
///   h1: netctl run --publish-service svc1.dev.overlay     h2: box-svc2, network dev
/// ```
fn a_container_in_one_step(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    let publish = ["run", "--name", "box1", "--publish-service", "svc1.dev.overlay", "--"];
    h1.ok(publish.into_iter().chain(["true"]))?;
    ensure!(names(h2, "network")? == ["dev"] && names(h2, "service")? == ["svc1"]);
    ensure!(field(h1, &["network", "inspect", "dev"], "/0/driver")? == "overlay");

    let two = Container::new(h2, "svc2", "dev", &[])?;
    let one = Container {
        host: h1,
        name: "box1".to_owned(),
        service: "svc1".to_owned(),
        network: "dev".to_owned(),
    };
    crate::container::all_pairs(&[&one, &two])?;
    what_it_sees(&one, &two)?;
    exit_codes(h1)?;
    nothing_stays(h1)
}

/// Its own `/etc/resolv.conf` and `/etc/hosts`, and who has an address.
fn what_it_sees(one: &Container<'_>, two: &Container<'_>) -> Result<()> {
    let outside = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let gateway = field(one.host, &["network", "inspect", "dev"], "/0/subnets/0/gateway")?;
    let resolv = one.ok(&["cat", "/etc/resolv.conf"])?;
    let servers: Vec<_> = resolv.lines().filter(|line| line.starts_with("nameserver")).collect();
    ensure!(servers == [format!("nameserver {gateway}")], "{resolv}");
    let hosts = one.ok(&["cat", "/etc/hosts"])?;
    let own = format!("{}\tsvc1 svc1.dev box1", one.address()?);
    ensure!(hosts.lines().any(|line| line == own), "{hosts}");
    ensure!(hosts.contains("127.0.0.1\tlocalhost"), "{hosts}");
    ensure!(std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default() == outside);

    let pointer = one.ok(&["getent", "hosts", &two.address()?])?;
    ensure!(pointer.split_whitespace().nth(1) == Some("svc2.dev"), "{pointer}");
    one.detach()?;
    let resolv = one.ok(&["cat", "/etc/resolv.conf"])?;
    ensure!(!resolv.lines().any(|line| line.starts_with("nameserver")), "{resolv}");
    one.attach()
}

fn exit_codes(host: &Host) -> Result<()> {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let ran = host.netctl(["run", "--rm", "--", "sh", "-c", script])?;
        ensure!(ran.code() == code, "`run` {script}: {ran:?}");
        let ran = host.netctl(["exec", "box1", "--", "sh", "-c", script])?;
        ensure!(ran.code() == code, "`exec` {script}: {ran:?}");
    }
    let missing = host.netctl(["run", "--rm", "--", "no-such-command"])?;
    ensure!(missing.code() == 127 && missing.stderr.contains("no-such-command"), "{missing:?}");
    refused(host, &["exec", "nobody", "--", "true"], &["nobody"])
}

fn nothing_stays(host: &Host) -> Result<()> {
    let all = || -> Result<Vec<Vec<String>>> {
        ["sandbox", "service", "network"].into_iter().map(|noun| names(host, noun)).collect()
    };
    let before = all()?;
    let same = |what: &str| -> Result<()> {
        let now = all()?;
        ensure!(now == before, "{what}: {before:?} before, {now:?} now");
        Ok(())
    };
    let links = || -> Result<String> { host.run(["ip", "-oneline", "link"])?.ok() };
    let devices = links()?;
    let publish = ["run", "--rm", "--publish-service", "tmp.dev", "--"];
    host.ok(publish.into_iter().chain(["true"]))?;
    same("after its end")?;
    ensure!(links()? == devices, "a device stays: {}", links()?);

    let words = ["netctl"].into_iter().chain(publish).chain(["sleep", "1d"]);
    let mut running = host.spawn("run-sleep", words)?;
    eventually("tmp is there", SOON, || {
        ensure!(names(host, "service")?.contains(&"tmp".to_owned()), "not yet");
        Ok(())
    })?;
    running.stop(Signal::SIGTERM, Duration::from_secs(20))?;
    same("after SIGTERM")?;

    // The second of two services cannot be had: neither the first nor its network stays.
    let both = ["run", "--publish-service", "a.other.overlay", "--publish-service", "svc1.dev"];
    refused(host, &[&both[..], &["--", "true"]].concat(), &["svc1"])?;
    same("after a refusal")?;
    ensure!(links()? == devices, "a device stays: {}", links()?);
    Ok(())
}

/// ```text
///   h1: box-open   ─ network open              ──►  the host's name server, played by `external`
///   h1: box-closed ─ network closed, internal  ──X
/// ```
///
/// The daemon asks the servers of the machine's `/etc/resolv.conf`, so `external` is given the address of the first.
fn names_from_outside(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    host.ok(["network", "create", "open"])?;
    host.ok(["network", "create", "--internal", "closed"])?;
    let open = Container::new(host, "open", "open", &[])?;
    let closed = Container::new(host, "closed", "closed", &[])?;

    let server = name_server(lab)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let asked = scope.spawn(|| answer(&server, &stop));
        let played = (|| {
            eventually("a name from outside is known", SOON, || {
                let resolved = open.resolve("outside.example")?;
                ensure!(resolved.as_deref() == Some("203.0.113.7"), "it is {resolved:?}");
                Ok(())
            })?;
            let resolved = closed.resolve("secret.example")?;
            ensure!(resolved.is_none(), "the internal network knows it: {resolved:?}");
            let resolved = closed.resolve("open.open")?;
            ensure!(resolved.is_none(), "the name of another network: {resolved:?}");
            ensure!(closed.resolve("closed")? == Some(closed.address()?), "its own name");
            // Whose an address of ours is, is ours to answer.
            let nobody = open.exec(&["getent", "hosts", &nobodys(&open.address()?)])?;
            ensure!(!nobody.success(), "it has a name: {nobody:?}");
            Ok(())
        })();
        stop.store(true, Ordering::Relaxed);
        let asked = asked.join().expect("the name server does not panic")?;
        played?;
        for (word, expected) in [("outside", true), ("secret", false), ("arpa", false)] {
            let forwarded = asked
                .iter()
                .any(|query| query.windows(word.len()).any(|part| part == word.as_bytes()));
            ensure!(forwarded == expected, "{word} forwarded: {forwarded}");
        }
        Ok(())
    })
}

/// An address of the same /24 that nobody has.
fn nobodys(address: &str) -> String {
    let network = address.rsplit_once('.').map_or(address, |(network, _)| network);
    format!("{network}.250")
}

/// A socket where the daemon of the first host believes its name server to be.
fn name_server(lab: &Lab) -> Result<UdpSocket> {
    let file = std::fs::read_to_string("/etc/resolv.conf")?;
    let mut servers =
        file.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok());
    let server: Ipv4Addr = servers.next().context("/etc/resolv.conf names no IPv4 server")?;
    let place = if server.is_loopback() {
        lab.host(1).netns()
    } else {
        lab.external().netns().ip([format!("addr add {server}/32 dev eth0")])?;
        lab.host(1).netns().ip([format!("route add {server}/32 dev eth0")])?;
        lab.external().netns()
    };
    let socket = place.within(|| Ok(UdpSocket::bind((server, 53))?))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    Ok(socket)
}

/// Answers every query (RFC 1035) with 203.0.113.7 until it is told to stop, and returns the queries.
fn answer(server: &UdpSocket, stop: &AtomicBool) -> Result<Vec<Vec<u8>>> {
    let mut queries = Vec::new();
    let mut buffer = [0; 1500];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = server.recv_from(&mut buffer) else { continue };
        let query = buffer[..length].to_vec();
        let name = query[12..].iter().position(|byte| *byte == 0).context("no question")?;
        let question = query.get(12..12 + name + 5).context("half a question")?;
        let flags_and_counts = [0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 4, 0, 4, 203, 0, 113, 7];
        let answer = [&query[..2], &flags_and_counts, question, &record].concat();
        server.send_to(&answer, from)?;
        queries.push(query);
    }
    Ok(queries)
}
