//! Daemons that die between two steps of a request, each pair of steps in turn: after a restart the container has joined
//! or it has not, everywhere alike, and DEL leaves nothing.

use std::{path::Path, slice::from_ref, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testbed::{Lab, Netns, Options, Store, eventually};

use crate::{plugin::Attachment, state};

/// How many steps a request may have: far more than any has.
const LIMIT: usize = 2_000;

/// Makes a request again and again, and has the daemon die one `stride` of steps later each time, until it gets
/// through. Returns how many steps it has, about.
fn dies_at_each(
    lab: &Lab,
    resting: &state::Dump,
    stride: usize,
    verb: &str,
    prepared: &[Attachment<'_>],
    asked: &Attachment<'_>,
) -> Result<usize> {
    let host = lab.host(1);
    for step in (0..LIMIT).step_by(stride) {
        for attachment in prepared {
            attachment.ask("ADD")?.ok()?;
        }
        let (answer, died) = lab.dying_at(host, step, || asked.ask(verb))?;
        let context = || format!("{verb}, died at step {step}, {died:?}");
        let answer = answer?;
        if died.is_none() {
            answer.ok()?;
        }
        eventually("all agrees", Duration::from_secs(10), || state::check(lab))
            .with_context(context)?;
        // What a runtime does, whatever came of ADD and DEL.
        for attachment in prepared.iter().chain([asked]) {
            attachment.silent("DEL").with_context(context)?;
        }
        eventually("nothing is left", Duration::from_secs(10), || {
            let left = state::dump(lab)?;
            ensure!(left == *resting, "{left:#?}");
            Ok(())
        })
        .with_context(context)?;
        if died.is_none() {
            return Ok(step);
        }
    }
    anyhow::bail!("{verb} has no end")
}

fn at_every_step(store: Store, stride: usize) -> Result<()> {
    let lab = Lab::start(Options { store, hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    let links = state::links(host)?;
    host.ok(["network", "create", "dev"])?;
    host.ok(["network", "create", "back"])?;
    let resting = state::dump(&lab)?;
    let netns = Netns::new(lab.dir(), "c")?;
    let of = |device: &str, network: &str| {
        let device = device.to_owned();
        let c = Attachment { device, ..Attachment::new(host, "c", netns.path()) };
        c.with(&json!({"name": network}))
    };
    let (first, second) = (of("eth0", "dev"), of("eth1", "back"));
    for (verb, prepared, asked, least) in [
        ("ADD", &[][..], &first, 20),
        ("ADD", from_ref(&first), &second, 20),
        ("DEL", &[first.clone(), second.clone()], &second, 10),
        ("DEL", from_ref(&first), &first, 10),
    ] {
        let steps = dies_at_each(&lab, &resting, stride, verb, prepared, asked)?;
        ensure!(steps >= least, "{verb} has {steps} steps: not all are counted");
    }
    ensure!(state::links(host)? == links, "links are left");
    let inside = netns.run(["ip", "-brief", "link"])?.ok()?;
    ensure!(inside.lines().count() == 1, "interfaces are left: {inside}");
    ensure!(!Path::new(&host.crash_file()).exists(), "a step is still to come");
    lab.end()
}

#[test]
fn a_daemon_may_die_at_any_step_with_a_file() -> Result<()> {
    at_every_step(Store::File, 3)
}

#[test]
fn a_daemon_may_die_at_any_step_with_etcd() -> Result<()> {
    at_every_step(Store::Etcd, 7)
}
