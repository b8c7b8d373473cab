//! Two networks with the same subnet on the same hosts: members reach their own network only.

use std::{net::UdpSocket, time::Duration};

use anyhow::{Context as _, Result, ensure};
use testbed::{
    Lab, Wire, eventually,
    frames::{arp, ethernet, ipv4, udp},
};

use crate::{
    container::{Container, SOON, all_pairs},
    stage::json,
};

on_both_stores! {
    networks_with_one_subnet on 2;
}

const PORT: u16 = 7000;

/// ```text
///            network red 10.9.0.0/24      network blue 10.9.0.0/24
///   h1       r1 10.9.0.2                  b1 10.9.0.2     b3 10.9.0.20
///   h2       r2 10.9.0.3                  b2 10.9.0.3     b4 10.9.0.21
/// ```
///
/// What r1 sends to 10.9.0.3 goes to r2 and not to b2; 10.9.0.20 and .21 are nobody's to it.
fn networks_with_one_subnet(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    let subnet = ["network", "create", "--subnet", "10.9.0.0/24"];
    h1.ok(subnet.into_iter().chain(["red"]))?;
    crate::stage::refused(h1, &[&subnet[..], &["blue"]].concat(), &["10.9.0.0/24", "red"])?;
    h2.ok(subnet.into_iter().chain(["-o", "allow-overlap=true", "blue"]))?;

    let place = |host, service, network, ip| Container::new(host, service, network, &["--ip", ip]);
    let r1 = place(h1, "r1", "red", "10.9.0.2")?;
    let r2 = place(h2, "r2", "red", "10.9.0.3")?;
    let b1 = place(h1, "b1", "blue", "10.9.0.2")?;
    let b2 = place(h2, "b2", "blue", "10.9.0.3")?;
    let b3 = place(h1, "b3", "blue", "10.9.0.20")?;
    let b4 = place(h2, "b4", "blue", "10.9.0.21")?;
    all_pairs(&[&r1, &r2])?;
    all_pairs(&[&b1, &b2, &b3, &b4])?;

    names_stay_apart(&r1, &b1)?;
    addresses_stay_apart(lab, [&r1, &r2], [&b1, &b2])?;
    for stranger in [&b3, &b4] {
        r1.does_not_reach(&stranger.address()?)?;
        by_mac(lab, &r1, stranger)?;
        by_forged_arp(lab, &r1, stranger)?;
    }
    all_pairs(&[&r1, &r2])?;
    all_pairs(&[&b1, &b2, &b3, &b4])
}

/// The gateway, and so the name server, has the same address in both networks.
fn names_stay_apart(red: &Container<'_>, blue: &Container<'_>) -> Result<()> {
    for (who, own, other) in [(red, "r2", "b2"), (blue, "b2", "r2")] {
        ensure!(who.resolve(own)?.as_deref() == Some("10.9.0.3"), "{} in {}", own, who.name);
        for name in [other.to_owned(), format!("{other}.red"), format!("{other}.blue")] {
            let resolved = who.resolve(&name)?;
            ensure!(resolved.is_none(), "{name} is {resolved:?} in {}", who.name);
        }
        let pointer = who.ok(&["getent", "hosts", "10.9.0.3"])?;
        ensure!(pointer.contains(own), "{pointer}");
    }
    Ok(())
}

/// A datagram to 10.9.0.3 arrives in the sender's network, and there alone.
fn addresses_stay_apart(
    lab: &Lab,
    red: [&Container<'_>; 2],
    blue: [&Container<'_>; 2],
) -> Result<()> {
    let listen = |container: &Container<'_>| -> Result<UdpSocket> {
        let socket = container.netns(lab)?.within(|| Ok(UdpSocket::bind(("0.0.0.0", PORT))?))?;
        socket.set_read_timeout(Some(Duration::from_millis(300)))?;
        Ok(socket)
    };
    let (in_red, in_blue) = (listen(red[1])?, listen(blue[1])?);
    for (from, right, wrong) in [(red[0], &in_red, &in_blue), (blue[0], &in_blue, &in_red)] {
        let text = from.name.as_bytes();
        let sender = from.netns(lab)?.within(|| Ok(UdpSocket::bind(("0.0.0.0", 0))?))?;
        sender.send_to(text, ("10.9.0.3", PORT))?;
        let mut buffer = [0; 64];
        let length = right.recv(&mut buffer).with_context(|| format!("from {}", from.name))?;
        ensure!(&buffer[..length] == text, "another datagram");
        ensure!(wrong.recv(&mut buffer).is_err(), "{} reaches the other network", from.name);
    }
    Ok(())
}

/// The attacker knows the stranger's MAC and writes it into its own neighbour table.
fn by_mac(lab: &Lab, attacker: &Container<'_>, stranger: &Container<'_>) -> Result<()> {
    let address = stranger.address()?;
    let mac = netctl_common::MacAddr(stranger.mac()?).to_string();
    let tap = Wire::tap(&stranger.netns(lab)?, "eth0")?;
    let before = dropped(attacker, "unknown-destination")?;
    attacker.ok(&["ip", "neigh", "replace", &address, "lladdr", &mac, "dev", "eth0"])?;
    attacker.does_not_reach(&address)?;
    nothing_from(&tap, attacker, stranger)?;
    eventually("the drops are counted", SOON, || {
        let now = dropped(attacker, "unknown-destination")?;
        ensure!(now >= before + 3, "{before} before, {now} now");
        Ok(())
    })?;
    attacker.ok(&["ip", "neigh", "del", &address, "dev", "eth0"]).map(drop)
}

/// The attacker claims to be others, asks for others, tells others lies, and sends as others.
fn by_forged_arp(lab: &Lab, attacker: &Container<'_>, stranger: &Container<'_>) -> Result<()> {
    let (own, other) = (attacker.mac()?, stranger.mac()?);
    let (own_ip, other_ip) = (attacker.octets()?, stranger.octets()?);
    let tap = Wire::tap(&stranger.netns(lab)?, "eth0")?;
    let wire = Wire::tap(&attacker.netns(lab)?, "eth0")?;
    let datagram = |from| ipv4(from, other_ip, 0, 17, &udp(1, PORT, b"forged"));
    let neighbour = [10, 9, 0, 3];
    let forged = [
        ("source-mac", arp(1, (other, other_ip), ([0; 6], neighbour))),
        ("arp-source", arp(1, (own, other_ip), ([0; 6], neighbour))),
        ("arp-source", arp(2, (own, other_ip), (other, other_ip))),
        ("arp-unknown", arp(1, (own, own_ip), ([0; 6], other_ip))),
        ("unknown-destination", arp(2, (own, own_ip), (other, other_ip))),
        ("source-mac", ethernet(other, other, 0x0800, &datagram(other_ip))),
        ("source-address", ethernet(other, own, 0x0800, &datagram(other_ip))),
        ("unknown-destination", ethernet(other, own, 0x0800, &datagram(own_ip))),
    ];
    for (reason, frame) in &forged {
        let before = dropped(attacker, reason)?;
        wire.send(frame)?;
        eventually(&format!("{reason} is counted"), SOON, || {
            let now = dropped(attacker, reason)?;
            ensure!(now > before, "{before} before, {now} now");
            Ok(())
        })?;
    }
    nothing_from(&tap, attacker, stranger)?;
    // A packet socket also sees what it sent itself: only an answer is addressed to the attacker.
    let answers = wire.receive(Duration::from_millis(50))?;
    let answer = answers.iter().find(|frame| frame.starts_with(&own));
    ensure!(answer.is_none(), "an answer: {answer:?}");
    let neighbours = stranger.ok(&["ip", "neigh"])?;
    let lie = netctl_common::MacAddr(own).to_string();
    ensure!(!neighbours.contains(&lie), "the lie is believed: {neighbours}");
    Ok(())
}

/// Fails if the stranger has seen a frame with the attacker's MAC, or one that came from outside under its own.
fn nothing_from(tap: &Wire, attacker: &Container<'_>, stranger: &Container<'_>) -> Result<()> {
    let (lie, own) = (attacker.mac()?, stranger.mac()?);
    let seen = tap.receive(Duration::from_millis(200))?;
    let from = |frame: &&Vec<u8>| {
        let ends = frame.get(..12);
        ends.is_some_and(|ends| ends[6..] == lie || (ends[..6] == own && ends[6..] == own))
    };
    let strange = seen.iter().find(from);
    ensure!(strange.is_none(), "{} got {strange:?}", stranger.name);
    Ok(())
}

/// How many packets from containers the attacker's host dropped for this reason.
fn dropped(attacker: &Container<'_>, reason: &str) -> Result<u64> {
    let counters = json(attacker.host, &["counters"])?;
    let rows = counters.as_array().context("no list")?.iter();
    let ours = rows.filter(|row| row["counter"] == reason && row["program"] == "from-container");
    Ok(ours.filter_map(|row| row["packets"].as_u64()).sum())
}
