//! Daemons that die between two steps of an operation on a plugin's network, each pair of steps in turn.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testbed::{Lab, eventually};

use crate::{Plugin, Resting, lab, ok};

/// Steps at which what a plugin gave is known to nobody but it.
const UNNOTED: [&str; 2] = ["after a plugin was asked", "before a note is written"];
/// How many steps an operation may have: far more than any has.
const LIMIT: usize = 500;

/// Does `words` on what `prepare` has made, and dies at each of its steps; whatever came of it, `clean` leaves nothing
/// anywhere.
fn dies_at_each(
    lab: &Lab,
    plugin: &Plugin,
    resting: &Resting,
    (prepare, words): (&[&str], &str),
) -> Result<usize> {
    let host = lab.host(1);
    for step in 0..LIMIT {
        for words in prepare {
            ok(host, words)?;
        }
        let (output, died) = lab.dying_at(host, step, || host.netctl(words.split(' ')))?;
        let context = || format!("`{words}`, died at step {step}, {died:?}");
        let output = output?;
        ensure!(died.is_some() || output.success(), "{output:?}");
        for words in ["sandbox rm box", "service unpublish -f a.far", "network rm far"] {
            // What was undone has not to be cleaned.
            host.netctl(words.split(' '))?;
        }
        if died.as_deref().is_some_and(|place| UNNOTED.contains(&place)) {
            plugin.forget_addresses()?;
        }
        eventually("nothing is left", Duration::from_secs(40), || resting.check(lab, plugin))
            .with_context(context)?;
        if died.is_none() {
            return Ok(step);
        }
    }
    anyhow::bail!("`{words}` has no end")
}

#[test]
fn a_plugin_is_told_the_opposite_of_all_that_it_was_told() -> Result<()> {
    let lab = lab()?;
    let plugin = Plugin::start(lab.host(1), "cable")?;
    let resting = Resting::of(&lab)?;
    let create = "network create -d cable --subnet 10.77.0.0/24 far";
    let all = [create, "sandbox create box", "service publish a.far", "service attach box a.far"];
    for (prepare, words, least) in [
        (&[][..], create, 6),
        (&all[..3], all[3], 20),
        (&all, "service detach box a.far", 15),
        (&all[..1], "network rm far", 4),
    ] {
        let deaths = dies_at_each(&lab, &plugin, &resting, (prepare, words))?;
        ensure!(deaths >= least, "`{words}` has {deaths} steps: not all are counted");
    }
    lab.end()
}

/// The same of what it chose for a network of the cluster.
#[test]
fn what_a_plugin_chose_for_a_network_is_freed() -> Result<()> {
    let lab = lab()?;
    let plugin = Plugin::start(lab.host(1), "cable")?;
    plugin.be_global()?;
    let resting = Resting::of(&lab)?;
    let create = "network create -d cable --subnet 10.77.0.0/24 far";
    for (prepare, words, least) in [(&[][..], create, 12), (&[create], "network rm far", 8)] {
        let deaths = dies_at_each(&lab, &plugin, &resting, (prepare, words))?;
        ensure!(deaths >= least, "`{words}` has {deaths} steps: not all are counted");
    }
    lab.end()
}

#[test]
fn a_plugin_has_back_all_that_it_gave() -> Result<()> {
    let lab = lab()?;
    let plugin = Plugin::start(lab.host(1), "desk")?;
    let resting = Resting::of(&lab)?;
    let all = ["network create --ipam-driver desk far", "service publish a.far"];
    for (prepare, words, least) in [
        (&[][..], all[0], 8),
        (&all[..1], all[1], 5),
        (&all, "service unpublish a.far", 5),
        (&all[..1], "network rm far", 5),
    ] {
        let deaths = dies_at_each(&lab, &plugin, &resting, (prepare, words))?;
        ensure!(deaths >= least, "`{words}` has {deaths} steps: not all are counted");
    }
    lab.end()
}
