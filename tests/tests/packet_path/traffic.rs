use std::time::Duration;

use anyhow::{Result, ensure};
use netctl_common::{Direction, Outcome, Verdict, maps::Port};
use testbed::{Capture, eventually};

use crate::{
    counters::Counters,
    rig::{Rig, UNDERLAY_MTU, VNI},
    sockets,
};

fn count(counters: &Counters, direction: Direction, verdict: Verdict) -> (u64, u64) {
    counters.get(&(direction, Outcome::Forwarded(verdict))).copied().unwrap_or_default()
}

#[test]
fn every_container_reaches_every_other_and_the_gateway() -> Result<()> {
    let rig = Rig::new()?;
    let containers = [&rig.near, &rig.beside, &rig.far];
    for from in containers {
        for to in containers {
            from.ping(&to.station.ip())?;
        }
        from.ping("10.0.0.1")?;
    }
    // Five pings each from two containers to the far one, and their answers to its five to each of them.
    let a = rig.a.counters()?;
    assert_eq!(count(&a, Direction::FromContainer, Verdict::ToUnderlay).0, 20);
    assert_eq!(count(&a, Direction::FromUnderlay, Verdict::ToContainer).0, 20);
    assert_eq!(count(&a, Direction::FromContainer, Verdict::ToHost).0, 10);
    Ok(())
}

#[test]
fn tcp_arrives_whole_and_crosses_in_large_packets() -> Result<()> {
    let rig = Rig::new()?;
    sockets::transfer(&rig.near, &rig.far, 32)?;
    sockets::transfer(&rig.far, &rig.near, 32)?;
    sockets::transfer(&rig.near, &rig.beside, 32)?;
    let (packets, bytes) = count(&rig.a.counters()?, Direction::FromContainer, Verdict::ToUnderlay);
    assert!(bytes / packets > 3000, "{bytes} bytes in {packets} packets");
    Ok(())
}

/// The underlay cuts the packets, as one without the offload does: the headers must be right for that.
#[test]
fn tcp_arrives_whole_where_the_underlay_segments() -> Result<()> {
    let rig = Rig::new()?;
    for host in [&rig.a, &rig.b] {
        // Longer ones are not left to the device (`netif_skb_features`).
        host.netns.ip([format!("link set eth0 gso_max_size {UNDERLAY_MTU}")])?;
    }
    let capture = Capture::start(&rig.b.netns, "eth0", "udp port 4789", "segments")?;
    sockets::transfer(&rig.near, &rig.far, 4)?;
    sockets::segments(&rig.near, &rig.far, false)?;
    let text = capture.stop(&["-vv"])?;
    let lengths: Vec<usize> = text
        .lines()
        .filter_map(|line| line.split("(17), length ").nth(1)?.trim_end_matches(')').parse().ok())
        .collect();
    let longest = lengths.iter().max();
    ensure!(
        longest == Some(&(UNDERLAY_MTU as usize)),
        "the longest of {} is {longest:?}",
        lengths.len()
    );
    for wrong in ["bad cksum", "invalid", "truncated"] {
        let line = text.lines().find(|line| line.contains(wrong));
        ensure!(line.is_none(), "{line:?}");
    }
    Ok(())
}

#[test]
fn udp_segments_take_the_kernels_tunnel_and_arrive() -> Result<()> {
    let rig = Rig::new()?;
    for merge in [false, true] {
        sockets::segments(&rig.near, &rig.far, merge)?;
        sockets::segments(&rig.near, &rig.beside, merge)?;
    }
    let (a, b) = (rig.a.counters()?, rig.b.counters()?);
    assert_eq!(count(&a, Direction::FromContainer, Verdict::HandedOver).0, 4);
    assert_eq!(count(&b, Direction::FromUnderlay, Verdict::HandedOver).0, 4);
    assert_eq!(count(&b, Direction::FromTunnel, Verdict::ToContainer).0, 4);
    Ok(())
}

/// A container that forwards sends packets that came out of a tunnel back into one.
#[test]
fn what_a_container_forwards_arrives() -> Result<()> {
    let mut rig = Rig::new()?;
    rig.b.set_port("ncfar", rig.far.station, Port::ANY_SOURCE)?;
    rig.far.netns.set_sysctl("net/ipv4/ip_forward", "1")?;
    for (container, other) in [(&rig.near, &rig.beside), (&rig.beside, &rig.near)] {
        let route =
            format!("route add {}/32 via {} dev eth0", other.station.ip(), rig.far.station.ip());
        container.netns.set_sysctl("net/ipv4/conf/all/accept_redirects", "0")?;
        container.netns.set_sysctl("net/ipv4/conf/eth0/accept_redirects", "0")?;
        container.netns.ip([route])?;
    }
    // The forwarder's own source is not the packets'.
    rig.a.set_port("ncnear", rig.near.station, Port::ANY_SOURCE)?;
    rig.near.ping(&rig.beside.station.ip())?;
    sockets::transfer(&rig.near, &rig.beside, 8)?;
    let (packets, _) = count(&rig.b.counters()?, Direction::FromContainer, Verdict::ToUnderlay);
    assert!(packets > 10, "{packets} packets came back");
    Ok(())
}

#[test]
fn tcpdump_finds_the_outer_headers_well_formed() -> Result<()> {
    let rig = Rig::new()?;
    rig.near.ping(&rig.far.station.ip())?;
    let capture = Capture::start(&rig.b.netns, "eth0", "udp port 4789", "wire")?;
    rig.near.netns.run(["ping", "-n", "-c", "1", "-Q", "0xb8", &rig.far.station.ip()])?.ok()?;
    eventually("the reply is captured", Duration::from_secs(5), || {
        let replies = capture.dissect(&["-Y", "icmp.type == 0"])?;
        ensure!(!replies.trim().is_empty(), "none yet");
        Ok(())
    })?;
    let text = capture.stop(&["-e", "-vv"])?;
    let vni = format!("VXLAN, flags [I] (0x08), vni {VNI}");
    for wanted in [
        "192.0.2.1.",
        "192.0.2.2.4789",
        &vni,
        "tos 0xb8",
        "ttl 64",
        "flags [DF]",
        "[no cksum]",
        "length 134",
        "10.0.0.11 > 10.0.0.21: ICMP echo request",
        "10.0.0.21 > 10.0.0.11: ICMP echo reply",
    ] {
        ensure!(text.contains(wanted), "no {wanted:?} in:\n{text}");
    }
    ensure!(!text.contains("bad"), "{text}");
    Ok(())
}
