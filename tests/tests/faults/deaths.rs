//! Daemons that die between two steps of an operation, each pair of steps in turn: after a restart the operation is done
//! or undone, everywhere alike, and what it could not do can be done again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testbed::{Lab, Options, Store, eventually};

use crate::state;

/// How many steps an operation may have: far more than any has.
const LIMIT: usize = 2_000;

/// One operation, and what is done around it.
struct Operation<'a> {
    prepare: &'a [&'a str],
    words: &'a str,
    /// Undoes it, as far as it was done.
    clean: &'a [&'a str],
}

/// Runs the operation on host 1 again and again, and has the daemon die one `stride` of steps later each time, until it
/// gets through. Returns how often it died.
fn dies_at_each(
    lab: &Lab,
    resting: &state::Dump,
    stride: usize,
    operation: &Operation<'_>,
) -> Result<usize> {
    let host = lab.host(1);
    let Operation { prepare, words, clean } = operation;
    for (deaths, step) in (0..LIMIT).step_by(stride).enumerate() {
        for words in *prepare {
            host.ok(words.split(' '))?;
        }
        let (output, died) = lab.dying_at(host, step, || host.netctl(words.split(' ')))?;
        let context = || format!("`{words}`, died at step {step}, {died:?}");
        let output = output?;
        ensure!(died.is_some() || output.success(), "{output:?}");
        eventually("all agrees", Duration::from_secs(10), || state::check(lab))
            .with_context(context)?;
        for words in *clean {
            // What was undone has not to be cleaned.
            host.netctl(words.split(' '))?;
        }
        eventually("nothing is left", Duration::from_secs(10), || {
            let left = state::dump(lab)?;
            ensure!(left == *resting, "{left:#?}");
            Ok(())
        })
        .with_context(context)?;
        if died.is_none() {
            return Ok(deaths);
        }
    }
    anyhow::bail!("`{words}` has no end")
}

/// Operations, what is done before each, and how many steps it has at least.
type Table<'a> = [(&'a str, &'a [&'a str], usize)];

const ATTACHED: [&str; 3] =
    ["sandbox create box", "service publish -p 8080:80 web.dev", "service attach box web.dev"];
const PUBLISHED: &str = ATTACHED[1];

const MADE: &Table<'_> = &[
    ("network create fresh", &[], 2),
    ("network rm fresh", &["network create fresh"], 2),
    ("service publish web.dev", &[], 2),
    ("service unpublish web.dev", &[PUBLISHED], 2),
    ("sandbox create box", &[], 4),
    ("sandbox rm box", &ATTACHED, 10),
];
const JOINED: &Table<'_> = &[
    ("service attach box web.dev", &[ATTACHED[0], PUBLISHED], 20),
    ("service detach box web.dev", &ATTACHED, 10),
    ("service unpublish -f web.dev", &ATTACHED, 10),
];
const RUN: &Table<'_> =
    &[("run --name box --publish-service a.dev --publish-service b.fresh true", &[], 40)];

fn at_every_step(store: Store, stride: usize, table: &Table<'_>) -> Result<()> {
    let lab = Lab::start(Options { store, ..Options::default() })?;
    let links = state::links(lab.host(1))?;
    lab.host(2).ok(["network", "create", "dev"])?;
    // Another host with an endpoint of the network follows it all.
    lab.host(2).ok(["run", "--name", "witness", "--publish-service", "witness.dev", "true"])?;
    let resting = state::dump(&lab)?;
    let clean = ["sandbox rm box", "service unpublish web.dev", "network rm fresh"];
    for (words, prepare, least) in table {
        let operation = Operation { prepare, words, clean: &clean };
        let deaths = dies_at_each(&lab, &resting, stride, &operation)?;
        ensure!(deaths * stride >= *least, "`{words}` has {deaths} steps: not all are counted");
    }
    ensure!(state::links(lab.host(1))? == links, "links are left");
    lab.end()
}

#[test]
fn a_daemon_may_die_at_any_step_of_making_with_a_file() -> Result<()> {
    at_every_step(Store::File, 1, MADE)
}

#[test]
fn a_daemon_may_die_at_any_step_of_joining_with_a_file() -> Result<()> {
    at_every_step(Store::File, 1, JOINED)
}

#[test]
fn a_daemon_may_die_at_any_step_of_a_run_with_a_file() -> Result<()> {
    at_every_step(Store::File, 1, RUN)
}

#[test]
fn a_daemon_may_die_at_any_step_with_etcd() -> Result<()> {
    [MADE, JOINED, RUN].into_iter().try_for_each(|table| at_every_step(Store::Etcd, 7, table))
}
