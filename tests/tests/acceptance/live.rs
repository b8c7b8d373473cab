//! What changes around two containers does not touch what they say to each other.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use testbed::{Capture, Lab, Netns};

use crate::{
    container::{Container, all_pairs, end_whole},
    stream::Stream,
};

on_both_stores! {
    changes_elsewhere_are_not_noticed on 3;
}

/// ```text
///   h1: box-one ── 100 echoes and 100 datagrams to a group a second, a stream ──► h2: box-two
///   h1: box-still, to which only the group's are
///   h1, h2, h3: others come, move and go
/// ```
fn changes_elsewhere_are_not_noticed(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "dev"])?;
    let one = Container::new(lab.host(1), "one", "dev", &[])?;
    let two = Container::new(lab.host(2), "two", "dev", &[])?;
    let still = Container::new(lab.host(1), "still", "dev", &[])?;
    all_pairs(&[&one, &two, &still])?;

    let (from, to) = (one.netns(lab)?, two.netns(lab)?);
    let theirs = format!("host {} and host {}", one.address()?, two.address()?);
    let capture = Capture::start(&still.netns(lab)?, "eth0", &theirs, "still")?;
    let group = Group::start(lab, &one, &[&two, &still])?;
    let stream = Stream::start(&from, &to, two.address()?.parse()?)?;
    let mut echoes = one.echoes(&two)?;
    for (what, change) in CHANGES {
        echoes.goes_on().with_context(|| format!("before {what}"))?;
        change(lab).context(what)?;
        echoes.goes_on().with_context(|| format!("after {what}"))?;
        stream.goes_on().with_context(|| format!("after {what}"))?;
    }
    end_whole(echoes)?;
    stream.end()?;
    group.end()?;
    let seen = capture.stop(&[])?;
    ensure!(seen.trim().is_empty(), "box-still has received:\n{seen}");
    Ok(())
}

type Change = fn(&Lab) -> Result<()>;

const CHANGES: &[(&str, Change)] = &[
    ("endpoints on the same hosts", neighbours),
    ("a host with its first and last endpoint", a_host),
    ("an endpoint that moves", a_move),
    ("another network with an MTU and without port security", a_network),
];

fn neighbours(lab: &Lab) -> Result<()> {
    for host in [1, 2] {
        let made: Vec<Container<'_>> = ["a", "b"]
            .iter()
            .map(|name| Container::new(lab.host(host), &format!("{name}{host}"), "dev", &[]))
            .collect::<Result<_>>()?;
        made.iter().rev().try_for_each(leaves)?;
    }
    Ok(())
}

fn a_host(lab: &Lab) -> Result<()> {
    let third = Container::new(lab.host(3), "third", "dev", &[])?;
    third.reaches("one")?;
    third.reaches("two")?;
    leaves(&third)
}

fn a_move(lab: &Lab) -> Result<()> {
    let mut mover = Container::new(lab.host(1), "mover", "dev", &[])?;
    let address = mover.address()?;
    for host in [3, 2, 3, 1] {
        mover.detach()?;
        mover.host.ok(["sandbox", "rm", &mover.name])?;
        mover = Container { host: lab.host(host), ..mover };
        mover.host.ok(["sandbox", "create", &mover.name])?;
        mover.attach()?;
        mover.reaches("two")?;
        ensure!(mover.address()? == address, "it has another address now");
    }
    leaves(&mover)
}

fn a_network(lab: &Lab) -> Result<()> {
    for (mtu, security) in [("1300", "on"), ("1400", "off"), ("1280", "on")] {
        let (mtu, security) = (format!("mtu={mtu}"), format!("port-security={security}"));
        let options = ["-o", "vni=70003", "-o", &mtu, "-o", &security];
        lab.host(2).ok(["network", "create"].iter().chain(&options).chain(&["other"]))?;
        let left = Container::new(lab.host(1), "left", "other", &[])?;
        let right = Container::new(lab.host(2), "right", "other", &[])?;
        all_pairs(&[&left, &right])?;
        leaves(&left)?;
        leaves(&right)?;
        lab.host(3).ok(["network", "rm", "other"])?;
    }
    Ok(())
}

fn leaves(container: &Container<'_>) -> Result<()> {
    container.detach()?;
    container.host.ok(["service", "unpublish", &container.reference()])?;
    container.host.ok(["sandbox", "rm", &container.name]).map(drop)
}

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const PORT: u16 = 5454;
/// How many datagrams are sent at most.
const MOST: u32 = 12_000;
/// Those who listen for so long have heard all.
const SILENCE: Duration = Duration::from_secs(2);

/// Numbered datagrams to a group, 100 a second, and those who listen to it.
struct Group {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<u32>>,
    listeners: Vec<(String, JoinHandle<Result<Vec<u32>>>)>,
}

impl Group {
    fn start(lab: &Lab, from: &Container<'_>, to: &[&Container<'_>]) -> Result<Self> {
        let listen = |container: &&Container<'_>| {
            let socket = member(&container.netns(lab)?, container.octets()?.into())?;
            Ok((container.name.clone(), thread::spawn(move || hear(&socket))))
        };
        let listeners = to.iter().map(listen).collect::<Result<_>>()?;
        let own = Ipv4Addr::from(from.octets()?);
        let socket = from.netns(lab)?.within(|| {
            let socket = UdpSocket::bind((own, 0))?;
            socket2::SockRef::from(&socket).set_multicast_if_v4(&own)?;
            socket.set_multicast_loop_v4(false)?;
            Ok(socket)
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) && sent < MOST {
                socket.send_to(&u32::to_be_bytes(sent), (GROUP, PORT))?;
                sent += 1;
                thread::sleep(Duration::from_millis(10));
            }
            Ok(sent)
        });
        Ok(Self { stop, sender, listeners })
    }

    /// Ends it, and fails unless each datagram was heard once by each.
    fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().map_err(|_panic| anyhow!("the sender panicked"))??;
        for (name, listener) in self.listeners {
            let heard = listener.join().map_err(|_panic| anyhow!("{name} panicked"))??;
            let lost: Vec<u32> = (0..sent).filter(|number| !heard.contains(number)).collect();
            ensure!(lost.is_empty(), "{name} has not heard {lost:?} of {sent}");
            ensure!(heard.len() == sent as usize, "{name} has heard {} of {sent}", heard.len());
        }
        Ok(())
    }
}

fn member(netns: &Netns, own: Ipv4Addr) -> Result<UdpSocket> {
    netns.within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
        socket.join_multicast_v4(&GROUP, &own)?;
        socket.set_read_timeout(Some(SILENCE))?;
        Ok(socket)
    })
}

fn hear(socket: &UdpSocket) -> Result<Vec<u32>> {
    let mut heard = Vec::new();
    let mut number = [0; 4];
    loop {
        match socket.recv(&mut number) {
            Ok(_) => heard.push(u32::from_be_bytes(number)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(heard),
            Err(error) => return Err(error.into()),
        }
    }
}
