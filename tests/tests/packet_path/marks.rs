//! What routers say to packets: TTL, DSCP, congestion.

use anyhow::{Context as _, Result, ensure};
use netctl_common::{Direction, DropReason, Outcome};
use testbed::Capture;

use crate::rig::{Rig, Setup};

/// Traffic class and TTL of the echo requests that reach the far container, by `tcpdump -v`, one line for each packet.
fn echoes(rig: &Rig, options: &[&str], ip: &str, name: &str) -> Result<String> {
    let filter = "icmp[0] == 8 or (ip6 and ip6[40] == 128)";
    let capture = Capture::start(&rig.far.netns, "eth0", filter, name)?;
    let words = ["ping", "-n", "-c", "2", "-i", "0.02", "-W", "1"];
    rig.near.netns.run(words.iter().chain(options).chain([&ip]))?;
    capture.stop(&["-v"])
}

#[test]
fn ttl_and_traffic_class_are_the_senders() -> Result<()> {
    for setup in Setup::DUAL {
        let rig = Rig::of(setup)?;
        let [v4, v6] = rig.far.station.both().map(|address| address.to_string());
        let seen = echoes(&rig, &["-t", "7", "-Q", "0xba"], &v4, "ttl4")?;
        ensure!(seen.matches("tos 0xba,ECT(0), ttl 7,").count() == 2, "{setup:?}: {seen}");
        // The class is that of RFC 2474 with ECT(0), and tcpdump shows the flow label behind it.
        let seen = echoes(&rig, &["-t", "7", "-Q", "0xba"], &v6, "ttl6")?;
        let right = seen.matches("class 0xba").count() == 2 && seen.matches("hlim 7,").count() == 2;
        ensure!(right, "{setup:?}: {seen}");

        let outer = Capture::start(&rig.b.netns, "eth0", "udp dst port 4789", "outer")?;
        rig.near.ping_with(&["-t", "7", "-Q", "0xba"], &v4)?;
        let outer = outer.stop(&["-v"])?;
        let (class, hops) =
            if setup.over6 { ("class 0xba", "hlim 64") } else { ("tos 0xba,ECT(0)", "ttl 64") };
        ensure!(outer.contains(class) && outer.contains(hops), "{setup:?}: {outer}");
    }
    Ok(())
}

/// The underlay, in the middle, marks congestion on every outer packet (RFC 3168): its queues are full.
#[test]
fn congestion_on_the_underlay_reaches_the_receiver() -> Result<()> {
    for setup in Setup::DUAL {
        let rig = Rig::of(setup)?;
        let family = if setup.over6 { "ip6" } else { "ip" };
        for command in [
            "add table netdev middle".to_owned(),
            "add chain netdev middle full { type filter hook ingress device h1 priority 0; }"
                .to_owned(),
            format!("add rule netdev middle full udp dport 4789 {family} ecn set ce"),
        ] {
            rig.underlay.netns().run(["nft", &command])?.ok()?;
        }
        for (address, marked) in
            rig.far.station.both().into_iter().zip(["tos 0xbb,CE, ttl 64,", "class 0xbb"])
        {
            let seen = echoes(&rig, &["-Q", "0xba"], &address.to_string(), marked)
                .with_context(|| format!("{setup:?}"))?;
            ensure!(seen.matches(marked).count() == 2, "{setup:?}, {address}: {seen}");
            ensure!(!seen.contains("bad cksum"), "{setup:?}: {seen}");
            // A sender that does not take marks is told by the loss (RFC 6040 section 4.2).
            let seen = echoes(&rig, &["-Q", "0xb8"], &address.to_string(), "unmarked")?;
            ensure!(seen.trim().is_empty(), "{setup:?}, {address}: {seen}");
        }
        let place = (Direction::FromUnderlay, Outcome::Dropped(DropReason::CongestionMark));
        let counters = rig.b.counters()?;
        ensure!(counters.get(&place).is_some_and(|count| count.0 >= 4), "{counters:?}");
    }
    Ok(())
}
