//! A daemon that ends and starts again is not noticed by the packets, and knows all that it knew.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use aya::programs::links::{FdLink, PinnedLink};
use testbed::{Host, Lab, Signal};

use crate::{
    container::{Container, all_pairs, end_whole},
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

    let mut echoes = one.echoes(&two)?;
    for host in lab.hosts() {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            echoes.goes_on()?;
            lab.restart_daemon(host, signal)?;
            echoes.goes_on()?;
        }
    }
    end_whole(echoes)?;

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
