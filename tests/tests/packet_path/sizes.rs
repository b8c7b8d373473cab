//! Packets of every size, and those with more than a plain header.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use netctl_common::{Direction, Outcome, Verdict};

use crate::{
    host::Container,
    rig::{Rig, Setup},
    sockets::{Noise, socket},
};

/// Sends datagrams of these lengths, one after another, and fails unless each arrives as it was sent.
fn datagrams(
    from: &Container,
    to: &Container,
    address: IpAddr,
    lengths: impl IntoIterator<Item = usize>,
) -> Result<()> {
    let receiver = socket(&to.netns, address)?;
    let target = receiver.local_addr()?;
    receiver.set_read_timeout(Some(Duration::from_secs(2)))?;
    let [v4, v6] = from.station.both();
    let sender = socket(&from.netns, if address.is_ipv4() { v4 } else { v6 })?;
    let mut noise = Noise(3);
    let mut buffer = vec![0; 65_536];
    for length in lengths {
        let sent: Vec<u8> = (0..length).map(|_| noise.next()).collect();
        let way = || format!("{length} bytes from {} to {address}", from.netns.name());
        sender.send_to(&sent, target).with_context(way)?;
        let received = receiver.recv(&mut buffer).with_context(way)?;
        ensure!(buffer[..received] == sent, "{}: {received} others arrived", way());
    }
    Ok(())
}

#[test]
fn datagrams_of_every_length_arrive() -> Result<()> {
    for setup in Setup::DUAL {
        let rig = Rig::of(setup)?;
        for (from, to) in [(&rig.near, &rig.far), (&rig.far, &rig.near), (&rig.near, &rig.beside)] {
            for address in to.station.both() {
                let headers = if address.is_ipv4() { 28 } else { 48 };
                let mtu = setup.inner_mtu() as usize;
                // Those that are longer than the endpoint's MTU leave it as fragments.
                let edge = mtu - headers - 2..=mtu - headers + 2;
                let lengths = (0..=64).chain(edge).chain([4000, 20_000, 65_507 - headers]);
                datagrams(from, to, address, lengths).with_context(|| format!("{setup:?}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn fragments_of_containers_arrive() -> Result<()> {
    for setup in Setup::DUAL {
        let rig = Rig::of(setup)?;
        for (from, to) in [(&rig.near, &rig.far), (&rig.far, &rig.beside), (&rig.near, &rig.beside)]
        {
            for address in to.station.both() {
                from.ping_with(&["-s", "4000"], &address.to_string())?;
            }
        }
    }
    Ok(())
}

#[test]
fn packets_with_ip_options_arrive() -> Result<()> {
    for setup in Setup::DUAL {
        let rig = Rig::of(setup)?;
        for to in [&rig.far, &rig.beside] {
            for options in [&["-R"][..], &["-T", "tsonly"], &["-R", "-s", "1300", "-M", "do"]] {
                rig.near.ping_with(options, &to.station.ip())?;
            }
        }
        // They take the fast path like any other.
        let counters = rig.a.counters()?;
        let sent = (Direction::FromContainer, Outcome::Forwarded(Verdict::ToUnderlay));
        ensure!(counters.get(&sent).is_some_and(|count| count.0 >= 15), "{counters:?}");
    }
    Ok(())
}

/// A packet that is too big and may be cut goes in an outer packet that is cut, as in a tunnel of the kernel's own.
#[test]
fn what_may_be_cut_and_is_too_big_crosses_in_fragments() -> Result<()> {
    let rig = Rig::new()?;
    rig.a.netns.ip(["link set ncnear mtu 9000"])?;
    rig.near.netns.ip(["link set eth0 mtu 9000"])?;
    rig.near.ping_with(&["-M", "dont", "-s", "4000"], &rig.far.station.ip())?;
    let joined = (Direction::FromTunnel, Outcome::Forwarded(Verdict::ToContainer));
    let counters = rig.b.counters()?;
    ensure!(counters.get(&joined).is_some_and(|count| count.0 == 5), "{counters:?}");
    Ok(())
}

/// The kernel cuts no outer packet of IPv6: who sends such packets is told, and cuts them himself from then on.
#[test]
fn what_may_be_cut_and_is_too_big_for_a_tunnel_over_ipv6_is_reported() -> Result<()> {
    let [_, setup] = Setup::DUAL;
    let rig = Rig::of(setup)?;
    rig.a.netns.ip(["link set ncnear mtu 9000"])?;
    rig.near.netns.ip(["link set eth0 mtu 9000"])?;
    let ip = rig.far.station.ip();
    let words = ["ping", "-n", "-c", "1", "-W", "1", "-M", "dont", "-s", "4000", &ip];
    let first = rig.near.netns.run(words)?;
    ensure!(first.stdout.contains("Frag needed and DF set (mtu = 1430)"), "{first:?}");
    rig.near.ping_with(&["-M", "dont", "-s", "4000"], &ip)
}
