//! What is sent to all, or to a group, reaches every member of the network, once, and nobody else.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use testbed::{Lab, Netns, eventually};

use crate::container::{Container, SOON};

on_both_stores! {
    groups_reach_all_members_once on 2;
}

const PORT: u16 = 5353;

/// One who listens to a group, in a container.
struct Listener {
    name: String,
    socket: UdpSocket,
}

/// ```text
///   h1: box-one, box-two ── network dev          box-other ── network other, the same subnets
///   h2: box-three ───────── network dev
/// ```
fn groups_reach_all_members_once(lab: &Lab) -> Result<()> {
    let subnets = ["--subnet", "10.20.0.0/24", "--subnet", "fd00:20::/64"];
    for network in ["dev", "other"] {
        let overlap = ["-o", "allow-overlap=true", network];
        lab.host(1).ok(["network", "create"].into_iter().chain(subnets).chain(overlap))?;
    }
    let make = |host, name, network| Container::new(lab.host(host), name, network, &[]);
    let (one, two) = (make(1, "one", "dev")?, make(1, "two", "dev")?);
    let (three, other) = (make(2, "three", "dev")?, make(1, "other", "other")?);
    one.reaches(&three.address_at(0)?)?;
    three.reaches(&one.address_at(1)?)?;

    let all = [&one, &two, &three, &other];
    // mDNS, a group that nobody chose for anything, and everybody.
    for to in ["224.0.0.251", "239.1.2.3", "ff02::fb", "ff05::1:3", "255.255.255.255"] {
        let to: IpAddr = to.parse()?;
        let listeners: Vec<Listener> =
            all.iter().map(|container| listen(lab, container, to)).collect::<Result<_>>()?;
        for (from, sender) in [(&one, "one"), (&three, "three")] {
            let text = format!("{to} from {sender}");
            send(&from.netns(lab)?, to, text.as_bytes())?;
            // What goes to everybody is heard by the sender too, from its own kernel: a copy that came back were a second.
            let hears = |l: &&Listener| l.name != "other" && (l.name != sender || is_broadcast(to));
            for listener in listeners.iter().filter(hears) {
                eventually(&format!("{} hears {text}", listener.name), SOON, || {
                    let heard = listener.hear()?.context("nothing")?;
                    ensure!(heard == text, "{} heard {heard:?}", listener.name);
                    Ok(())
                })?;
            }
        }
        // Twice would have come by now, and so would what is not for it.
        std::thread::sleep(Duration::from_millis(200));
        for listener in &listeners {
            let more = listener.hear()?;
            ensure!(more.is_none(), "{} heard {more:?} too much", listener.name);
        }
    }
    Ok(())
}

fn is_broadcast(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn listen(lab: &Lab, container: &Container<'_>, group: IpAddr) -> Result<Listener> {
    let socket = container.netns(lab)?.within(|| {
        let any: IpAddr = match group {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // That of the group before may be held still, by a process that another test is just starting.
        let socket = eventually("the port is free", SOON, || Ok(UdpSocket::bind((any, PORT))?))?;
        let index = nix::net::if_::if_nametoindex("eth0")?;
        match group {
            IpAddr::V4(group) if group.is_multicast() => {
                let own: Ipv4Addr = container.address_at(0)?.parse()?;
                socket.join_multicast_v4(&group, &own)?;
            }
            IpAddr::V4(_) => {}
            IpAddr::V6(group) => socket.join_multicast_v6(&group, index)?,
        }
        socket.set_nonblocking(true)?;
        Ok(socket)
    })?;
    Ok(Listener { name: container.service.clone(), socket })
}

impl Listener {
    /// What has come, if anything has.
    fn hear(&self) -> Result<Option<String>> {
        let mut buffer = [0; 64];
        match self.socket.recv(&mut buffer) {
            Ok(length) => Ok(Some(String::from_utf8_lossy(&buffer[..length]).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Sends to a group by `eth0`, and not to itself.
fn send(netns: &Netns, to: IpAddr, text: &[u8]) -> Result<()> {
    netns.within(|| {
        let index = nix::net::if_::if_nametoindex("eth0")?;
        let to: SocketAddr = match to {
            IpAddr::V4(to) => (to, PORT).into(),
            IpAddr::V6(to) => std::net::SocketAddrV6::new(to, PORT, 0, index).into(),
        };
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(to),
            socket2::Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )?;
        socket.bind_device(Some(b"eth0"))?;
        if to.is_ipv4() {
            socket.set_multicast_loop_v4(false)?;
            socket.set_broadcast(true)?;
        } else {
            socket.set_multicast_loop_v6(false)?;
        }
        socket.bind(&SocketAddr::new(any, 0).into())?;
        socket.send_to(text, &to.into())?;
        Ok(())
    })
}
