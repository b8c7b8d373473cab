//! A daemon that ends and starts again is not noticed by the packets, and knows all that it knew.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::links::{FdLink, PinnedLink};
use testbed::{Host, Lab, Process, Signal, eventually};

use crate::{
    container::{Container, SOON, all_pairs},
    rest::{map_ids, pins},
};

on_both_stores! {
    no_packet_is_lost on 2;
}

/// ```text
///   h1: box-svc1 ── 100 echoes a second ──► h2: box-svc2
///   each daemon in turn: SIGTERM, start, SIGKILL, start
/// ```
fn no_packet_is_lost(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "dev"])?;
    let one = Container::new(lab.host(1), "svc1", "dev", &[])?;
    let two = Container::new(lab.host(2), "svc2", "dev", &[])?;
    let old = Container::new(lab.host(2), "old", "dev", &[])?;
    all_pairs(&[&one, &two, &old])?;
    let before = [standing(&one)?, standing(&two)?];

    let mut ping = Ping::start(&one, &two)?;
    for host in lab.hosts() {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            ping.goes_on()?;
            lab.restart_daemon(host, signal)?;
            ping.goes_on()?;
        }
    }
    ping.end()?;

    for (container, before) in [&one, &two].into_iter().zip(before) {
        let after = standing(container)?;
        ensure!(
            after == before,
            "on {} something was made anew: {before:#?} {after:#?}",
            container.host.name()
        );
    }
    all_pairs(&[&one, &two, &old])?;
    let new = Container::new(lab.host(1), "new", "dev", &[])?;
    old.detach()?;
    all_pairs(&[&one, &two, &new])?;
    one.does_not_reach(&old.address()?)
}

/// What a restart must not touch: devices, maps and links by the kernel's numbers, and what is inside.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    devices: String,
    inside: String,
    maps: Vec<u32>,
    links: BTreeMap<String, u32>,
}

fn standing(container: &Container<'_>) -> Result<Standing> {
    let host = container.host;
    Ok(Standing {
        devices: host.run(["ip", "-oneline", "link"])?.ok()?,
        inside: container.ok(&["ip", "-oneline", "link"])?
            + &container.ok(&["ip", "-4", "-oneline", "address"])?
            + &container.ok(&["ip", "-4", "route"])?,
        maps: map_ids(host)?,
        links: links(host)?,
    })
}

fn links(host: &Host) -> Result<BTreeMap<String, u32>> {
    let id = |(name, path)| {
        let link = FdLink::from(PinnedLink::from_pin(path)?);
        Ok((name, link.info()?.id()))
    };
    pins(host, "links")?.into_iter().map(id).collect()
}

/// Echoes, 100 a second and 12000 at most, and what came back of them.
pub(crate) struct Ping {
    process: Process,
}

impl Ping {
    pub(crate) fn start(from: &Container<'_>, to: &Container<'_>) -> Result<Self> {
        let address = to.address()?;
        let ping = ["ping", "-n", "-i", "0.01", "-c", "12000", &address];
        let words = ["netctl", "exec", &from.name, "--"].into_iter().chain(ping);
        Ok(Self { process: from.host.spawn("restart-ping", words)? })
    }

    /// The numbers of the echoes that were answered so far.
    fn answered(&self) -> Vec<usize> {
        let log = self.process.log();
        let number =
            |line: &str| line.split_once("icmp_seq=")?.1.split_whitespace().next()?.parse().ok();
        log.lines().filter_map(number).collect()
    }

    /// Waits until 50 more are answered.
    pub(crate) fn goes_on(&mut self) -> Result<()> {
        let before = self.answered().len();
        eventually("the echoes go on", SOON, || {
            ensure!(self.process.alive(), "it ended: {}", self.process.log());
            ensure!(self.answered().len() >= before + 50, "none more is answered");
            Ok(())
        })
    }

    /// Ends it, and fails unless each echo was answered once.
    pub(crate) fn end(mut self) -> Result<()> {
        sleep(Duration::from_millis(500));
        self.process.stop(Signal::SIGINT, Duration::from_secs(10))?;
        let answered = self.answered();
        let log = self.process.log();
        let sent = log.split_once(" packets transmitted").context("no summary")?.0;
        let sent: usize = sent.rsplit('\n').next().unwrap_or_default().parse()?;
        let mut once = BTreeSet::new();
        let twice: Vec<usize> = answered.into_iter().filter(|n| !once.insert(*n)).collect();
        ensure!(twice.is_empty(), "of {sent} echoes these were answered twice: {twice:?}");
        // The last one may have been on its way when ping was told to end.
        let lost: Vec<usize> = (1..sent).filter(|n| !once.contains(n)).collect();
        ensure!(lost.is_empty(), "of {sent} echoes these were lost: {lost:?}");
        Ok(())
    }
}
