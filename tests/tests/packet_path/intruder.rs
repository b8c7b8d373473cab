//! Packets to the VXLAN port that no host of ours has sent.
//!
//! ```text
//!   near, beside ── a ══ b ── far          a stream, which goes on all the while
//!                   ▲
//!   intruder ───────┘ under anybody's address
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netctl_common::{Direction, DropReason, Outcome, maps::Port};
use testbed::{
    Netns, Wire, eventually,
    frames::{UDP, checksum, ethernet, ipv4, ipv6, udp, vxlan},
};

use crate::{
    counters::Counters,
    object::PORT,
    rig::{Rig, Setup, Station, VNI, mac_of},
    stream::Stream,
    tunnel::fragments,
    vlan::tagged,
};

/// In the payload of all that is forged, and of nothing else.
const MARK: &[u8] = b"forged, and for nobody";
const UNKNOWN: [u8; 4] = [192, 0, 2, 66];
/// A host of ours without members of the network.
const ELSEWHERE: [u8; 4] = [192, 0, 2, 4];

/// One who is on the underlay and can send what he wants.
struct Intruder {
    wire: Wire,
    mac_a: [u8; 6],
    /// Keeps the device there.
    _netns: Netns,
}

/// A rig, somebody on its underlay, and what its containers and the host receive.
struct Scene {
    rig: Rig,
    intruder: Intruder,
    taps: Vec<(&'static str, Wire)>,
}

impl Scene {
    fn new(setup: Setup) -> Result<Self> {
        let mut rig = Rig::of(setup)?;
        rig.a.knows_host(ELSEWHERE)?;
        let netns = Netns::new(rig.run.dir(), "intruder")?;
        rig.underlay.join(&netns, UNKNOWN[3])?;
        let wire = Wire::new(&netns, "eth0")?;
        let mac_a = mac_of(&rig.a.netns, "eth0")?.0;
        let taps = vec![
            ("near", Wire::tap(&rig.near.netns, "eth0")?),
            ("beside", Wire::tap(&rig.beside.netns, "eth0")?),
            ("far", Wire::tap(&rig.far.netns, "eth0")?),
            ("the host", Wire::tap(&rig.a.netns, "nh")?),
        ];
        Ok(Self { rig, intruder: Intruder { wire, mac_a, _netns: netns }, taps })
    }

    /// Sends the frame, and fails unless it is counted once, there, and nothing else is dropped.
    fn is_dropped(&self, frame: &[u8], direction: Direction, reason: DropReason) -> Result<()> {
        let before = self.rig.a.counters()?;
        self.intruder.wire.send(frame)?;
        let place = (direction, Outcome::Dropped(reason));
        let moved = eventually("it is counted", Duration::from_secs(5), || {
            let moved = drops(self.rig.a.counters_since(&before)?);
            ensure!(!moved.is_empty(), "nothing is dropped");
            Ok(moved)
        })?;
        let right = moved.len() == 1 && moved.get(&place).is_some_and(|count| count.0 == 1);
        ensure!(right, "{place:?} is not all that moved: {moved:?}");
        Ok(())
    }

    /// Fails if anybody has received something that was forged.
    fn nobody_has_it(&self) -> Result<()> {
        for (name, tap) in &self.taps {
            let frames = tap.receive(Duration::from_millis(100))?;
            let forged = |frame: &&Vec<u8>| {
                frame.len() < 200 && frame.windows(MARK.len()).any(|part| part == MARK)
            };
            let found = frames.iter().find(forged);
            ensure!(found.is_none(), "{name} has received {found:?}");
        }
        Ok(())
    }
}

/// What came by the underlay and was dropped.
fn drops(mut counters: Counters) -> Counters {
    counters.retain(|(direction, outcome), _| {
        *direction != Direction::FromContainer && matches!(outcome, Outcome::Dropped(_))
    });
    counters
}

/// A datagram from one station to another.
fn inner(from: Station, to: Station) -> Vec<u8> {
    let packet = ipv4(from.address, to.address, 0, UDP, &udp(1000, 2000, MARK));
    ethernet(to.mac, from.mac, 0x0800, &packet)
}

/// An outer packet over IPv4 around it.
fn outer(to: [u8; 6], from: [u8; 4], vni: u32, inner: &[u8]) -> Vec<u8> {
    around(to, from, &vxlan(vni, inner))
}

fn around(to: [u8; 6], from: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let datagram = udp(50_000, PORT, payload);
    ethernet(to, [2, 9, 9, 9, 9, 9], 0x0800, &ipv4(from, [192, 0, 2, 1], 0, UDP, &datagram))
}

#[test]
fn forged_packets_are_dropped_by_reason_and_nothing_else_happens() -> Result<()> {
    use Direction::{FromTunnel, FromUnderlay};
    use DropReason as Reason;
    let scene = Scene::new(Setup::DUAL[0])?;
    let Scene { rig, intruder, .. } = &scene;
    let (near, beside, far) = (rig.near.station, rig.beside.station, rig.far.station);
    let (a, b) = (intruder.mac_a, rig.b.address);
    let [to_far, _] = far.both();
    let stream = Stream::start(&rig.near.netns, &rig.far.netns, to_far)?;
    stream.goes_on()?;

    let good = inner(far, near);
    let nobody = inner(Station::number(99), near);
    let group = {
        let mut frame = good.clone();
        frame[..6].fill(0xff);
        frame
    };
    let mut no_vni = outer(a, b, VNI, &good);
    no_vni[42] = 0;
    let nested = {
        let within = ipv4(b, rig.a.address, 0, UDP, &udp(50_000, PORT, &vxlan(VNI, &good)));
        ethernet(near.mac, Station::number(99).mac, 0x0800, &within)
    };
    for (what, frame, direction, reason) in [
        (
            "unknown source",
            outer(a, UNKNOWN, VNI, &good),
            FromUnderlay,
            Reason::UnknownTunnelSource,
        ),
        (
            "unknown source, to all",
            outer(a, UNKNOWN, VNI, &group),
            FromUnderlay,
            Reason::UnknownTunnelSource,
        ),
        ("unknown network", outer(a, b, VNI + 1, &good), FromUnderlay, Reason::UnknownVni),
        ("not a member", outer(a, ELSEWHERE, VNI, &good), FromUnderlay, Reason::NotMember),
        ("unknown station", outer(a, b, VNI, &nobody), FromUnderlay, Reason::InnerSource),
        (
            "our own station",
            outer(a, b, VNI, &inner(near, beside)),
            FromUnderlay,
            Reason::InnerSource,
        ),
        (
            "our own station, to itself",
            outer(a, b, VNI, &inner(near, near)),
            FromUnderlay,
            Reason::InnerSource,
        ),
        ("nobody's station, nested", outer(a, b, VNI, &nested), FromUnderlay, Reason::InnerSource),
        (
            "a tag inside",
            outer(a, UNKNOWN, VNI, &tagged(0x8100, 5, &good)),
            FromUnderlay,
            Reason::UnknownTunnelSource,
        ),
        (
            "a priority tag outside",
            tagged(0x8100, 0, &outer(a, UNKNOWN, VNI, &good)),
            FromTunnel,
            Reason::UnknownTunnelSource,
        ),
        ("no VNI", no_vni, FromUnderlay, Reason::MalformedVxlan),
        (
            "for a station elsewhere",
            outer(a, b, VNI, &inner(far, far)),
            FromUnderlay,
            Reason::NotLocal,
        ),
    ] {
        scene.is_dropped(&frame, direction, reason).context(what)?;
        scene.nobody_has_it().context(what)?;
    }
    stream.goes_on()?;
    stream.end()
}

/// Cut where its sender says that it ends: all lengths agree.
#[test]
fn packets_that_end_early_are_dropped() -> Result<()> {
    let scene = Scene::new(Setup { dual: false, ..Setup::DUAL[0] })?;
    let Scene { rig, intruder, .. } = &scene;
    let (near, far) = (rig.near.station, rig.far.station);
    let payload = vxlan(VNI, &inner(far, near));
    let [to_far, _] = far.both();
    let stream = Stream::start(&rig.near.netns, &rig.far.netns, to_far)?;
    stream.goes_on()?;
    for length in 0..payload.len() {
        let reason =
            if length < 8 { DropReason::MalformedVxlan } else { DropReason::MalformedInner };
        let frame = around(intruder.mac_a, rig.b.address, &payload[..length]);
        scene
            .is_dropped(&frame, Direction::FromUnderlay, reason)
            .with_context(|| format!("{length} bytes behind UDP"))?;
    }
    scene.nobody_has_it()?;
    stream.end()
}

/// What the programs leave to the kernel comes back to them, or is none of theirs and goes nowhere.
#[test]
fn what_the_kernel_joins_or_ignores_reaches_nobody() -> Result<()> {
    let scene = Scene::new(Setup::DUAL[0])?;
    let Scene { rig, intruder, .. } = &scene;
    let (a, good) = (intruder.mac_a, inner(rig.far.station, rig.near.station));
    let [to_far, _] = rig.far.station.both();
    let stream = Stream::start(&rig.near.netns, &rig.far.netns, to_far)?;

    // In two fragments, of which the first shows that it is VXLAN.
    let [second, first] = fragments(a, UNKNOWN, rig.a.address, VNI, &good, 1);
    intruder.wire.send(&second)?;
    scene.is_dropped(&first, Direction::FromTunnel, DropReason::UnknownTunnelSource)?;

    // Over IPv6, to the address that the host has by itself, where its tunnels run over IPv4.
    eventually("the host is sure of its address", Duration::from_secs(10), || {
        let words = ["ip", "-6", "addr", "show", "dev", "eth0", "tentative"];
        let tentative = rig.a.netns.run(words)?.ok()?;
        ensure!(tentative.is_empty(), "{tentative}");
        Ok(())
    })?;
    let local = netctl_common::addr6::link_local(netctl_common::MacAddr(a));
    let datagram = udp(50_000, PORT, &vxlan(VNI, &good));
    let foreign =
        ipv6([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x66], local, 0, UDP, &datagram);
    let frame = ethernet(a, [2, 9, 9, 9, 9, 9], 0x86dd, &foreign);
    scene.is_dropped(&frame, Direction::FromTunnel, DropReason::UnknownTunnelSource)?;

    // In another VLAN, and for another host: it is not ours.
    let known = outer(a, rig.b.address, VNI, &good);
    let mut other = known.clone();
    other[33] = 7;
    other[24..26].fill(0);
    let sum = checksum(&other[14..34]);
    other[24..26].copy_from_slice(&sum);
    let before = rig.a.counters()?;
    for frame in [tagged(0x8100, 5, &known), other] {
        intruder.wire.send(&frame)?;
    }
    scene.nobody_has_it()?;
    let moved = drops(rig.a.counters_since(&before)?);
    ensure!(moved.is_empty(), "one was taken for ours: {moved:?}");
    stream.goes_on()?;
    stream.end()
}

/// ```text
///   near, which may send from any address: VXLAN of host b's, to host a by the gateway, or to all
/// ```
///
/// The host's stack would take it for a packet of the underlay, and its vxlan device open it.
#[test]
fn a_container_cannot_pose_as_a_host() -> Result<()> {
    let mut scene = Scene::new(Setup::DUAL[0])?;
    let near = scene.rig.near.station;
    scene.rig.a.set_port("ncnear", near, Port::ANY_SOURCE)?;
    let Scene { rig, taps, .. } = &scene;
    let forged = inner(rig.far.station, rig.beside.station);
    let datagram = udp(50_000, PORT, &vxlan(VNI, &forged));
    let packet = ipv4(rig.b.address, rig.a.address, 0, UDP, &datagram);
    let wire = Wire::new(&rig.near.netns, "eth0")?;
    for to in [[2, 0, 0, 0, 0, 1], [0xff; 6]] {
        wire.send(&ethernet(to, near.mac, 0x0800, &packet))?;
    }
    for (name, tap) in taps {
        let frames = tap.receive(Duration::from_millis(200))?;
        ensure!(!frames.contains(&forged), "{name} has received it");
        let opened = *name == "the host" && frames.iter().any(|frame| frame.ends_with(&packet));
        ensure!(!opened, "the host has received it");
    }
    let place = (Direction::FromContainer, Outcome::Dropped(DropReason::SourceAddress));
    let counters = rig.a.counters()?;
    ensure!(counters.get(&place).is_some_and(|count| count.0 == 1), "{counters:?}");
    Ok(())
}
