//! What does not fit is answered, and TCP goes on with less.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use netctl_common::{Direction, Outcome, Verdict};
use testbed::{Capture, eventually};

use crate::{
    rig::{Rig, Setup},
    stream::Stream,
};

/// In bytes: what does not fit any tunnel of the rig's.
const RAISED: &str = "9200";

/// Raises what the near container's own interface takes: so it is the data plane that answers, not the container.
fn raise(rig: &Rig) -> Result<()> {
    rig.a.netns.ip([format!("link set ncnear mtu {RAISED}")])?;
    rig.near.netns.ip([format!("link set eth0 mtu {RAISED}")])
}

/// Sends one echo that must not be cut, in an IP packet of so many bytes.
fn probe(rig: &Rig, to: IpAddr, bytes: u32) -> Result<testbed::Output> {
    let headers = if to.is_ipv4() { 28 } else { 48 };
    let (size, to) = ((bytes - headers).to_string(), to.to_string());
    rig.near.netns.run(["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", &size, &to])
}

#[test]
fn one_byte_too_many_is_answered_with_what_fits() -> Result<()> {
    for mtu in [1400, 1500, 9000] {
        for setup in Setup::DUAL {
            let setup = Setup { mtu, ..setup };
            let rig = Rig::of(setup)?;
            raise(&rig)?;
            for to in rig.far.station.both() {
                one_byte_too_many(&rig, to).with_context(|| format!("{setup:?}, to {to}"))?;
            }
        }
    }
    Ok(())
}

fn one_byte_too_many(rig: &Rig, to: IpAddr) -> Result<()> {
    let fits = rig.setup.inner_mtu();
    let name = if to.is_ipv4() { "too-big4" } else { "too-big6" };
    // The destination unreachable with code 4 of the one family, type 2 of the other (RFC 792, RFC 4443).
    let filter = "icmp[0] == 3 or (ip6 and ip6[6] == 58 and ip6[40] == 2)";
    let mut capture = Capture::start(&rig.near.netns, "eth0", filter, name)?;
    let first = probe(rig, to, fits)?;
    ensure!(first.success(), "{fits} bytes do not fit: {first:?}");
    let output = probe(rig, to, fits + 1)?;
    let said = [format!("mtu = {fits}"), format!("mtu={fits}")];
    let told = said.iter().any(|said| output.stdout.contains(said));
    ensure!(!output.success() && told, "{output:?}");

    capture.end()?;
    let seen = capture.dissect(&[
        "-o",
        "ip.check_checksum:TRUE",
        "-T",
        "fields",
        "-e",
        "ip.src",
        "-e",
        "ipv6.src",
        "-e",
        "icmp.mtu",
        "-e",
        "icmpv6.mtu",
        "-e",
        "ip.checksum.status",
        "-e",
        "icmp.checksum.status",
        "-e",
        "icmpv6.checksum.status",
        "-E",
        "occurrence=f",
    ])?;
    // Good is 1. The quoted header, which has fields of the same names, comes second and is left out.
    let wanted = match to {
        IpAddr::V4(_) => format!("{to}\t\t{fits}\t\t1\t1\t\n"),
        IpAddr::V6(_) => format!("\t{to}\t\t{fits}\t\t\t1\n"),
    };
    ensure!(seen == wanted, "tshark sees {seen:?} instead of {wanted:?}");

    // The sender has learned: it sends less, and the largest that fits still arrives.
    let route = rig.near.netns.run(["ip", "route", "get", &to.to_string()])?.ok()?;
    ensure!(route.contains(&format!("mtu {fits}")), "{route}");
    let last = probe(rig, to, fits)?;
    ensure!(last.success(), "{last:?}");
    let place = (Direction::FromContainer, Outcome::Forwarded(Verdict::TooBigReported));
    let counters = rig.a.counters()?;
    ensure!(counters.contains_key(&place), "{counters:?}");
    Ok(())
}

/// The tunnel takes less from one moment to the next, as where a host's device was given a smaller MTU.
#[test]
fn tcp_goes_on_where_the_path_shrinks() -> Result<()> {
    for setup in Setup::DUAL {
        let mut rig = Rig::of(setup)?;
        let [v4, v6] = rig.far.station.both();
        let [back, _] = rig.near.station.both();
        let streams = [
            Stream::start(&rig.near.netns, &rig.far.netns, v4)?,
            Stream::start(&rig.near.netns, &rig.far.netns, v6)?,
            Stream::start(&rig.far.netns, &rig.near.netns, back)?,
        ];
        let all_go_on = || streams.iter().try_for_each(Stream::goes_on);
        all_go_on()?;
        for less in [50, 150] {
            let mtu = setup.inner_mtu() - less;
            let (a, b) = (rig.a.address, rig.b.address);
            rig.a.set_tunnel(b, mtu)?;
            rig.b.set_tunnel(a, mtu)?;
            all_go_on().with_context(|| format!("{setup:?}, {mtu} bytes fit"))?;
            for (container, to) in [(&rig.near, v4), (&rig.near, v6), (&rig.far, back)] {
                eventually("the sender knows", std::time::Duration::from_secs(5), || {
                    let words = ["ip", "route", "get", &to.to_string()];
                    let route = container.netns.run(words)?.ok()?;
                    ensure!(route.contains(&format!("mtu {mtu}")), "{route}");
                    Ok(())
                })?;
            }
        }
        streams.into_iter().try_for_each(Stream::end)?;
    }
    Ok(())
}
