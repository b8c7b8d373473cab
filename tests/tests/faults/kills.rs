//! Daemons killed in the middle of an operation: after a restart it is done or undone, everywhere alike.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use testbed::{Lab, Options, Signal, Store, eventually};

use crate::state;

/// Runs `words` on host 1 and kills its daemon after a delay, which grows from round to round until it takes longer
/// than the operation; then restarts it, and everything must agree. `prepare` is done before each round and `clean`
/// after.
fn killed_in(
    lab: &Lab,
    rounds: u32,
    step: Duration,
    prepare: &[&str],
    words: &str,
    clean: &[&str],
) -> Result<()> {
    let host = lab.host(1);
    for round in 0..rounds {
        for words in prepare {
            host.ok(words.split(' '))?;
        }
        let before = (state::dump(lab)?, host.ok(["sandbox", "ls", "-q"])?);
        let done = thread::scope(|scope| -> Result<bool> {
            let client = scope.spawn(|| host.netctl(words.split(' ')));
            thread::sleep(step * round);
            host.stop_daemon(Signal::SIGKILL)?;
            Ok(client.join().expect("the thread ended by itself")?.success())
        })?;
        lab.start_daemon(host)?;
        let context = || format!("`{words}`, killed after {:?}", step * round);
        eventually("all agrees", Duration::from_secs(10), || state::check(lab))
            .with_context(context)?;
        let after = (state::dump(lab)?, host.ok(["sandbox", "ls", "-q"])?);
        ensure!(!done || after != before, "{}: answered, but not done: {after:#?}", context());
        for words in clean {
            // What was undone has not to be cleaned.
            host.netctl(words.split(' '))?;
        }
    }
    Ok(())
}

fn killed(store: Store, rounds: u32) -> Result<()> {
    let lab = Lab::start(Options { store, ..Options::default() })?;
    let step = Duration::from_millis(60) / rounds;
    let empty = (state::dump(&lab)?, state::links(lab.host(1))?);
    killed_in(&lab, rounds, step, &[], "network create dev", &["network rm dev"])?;
    ensure!(state::dump(&lab)? == empty.0, "something is left: {:#?}", state::dump(&lab)?);
    lab.host(2).ok(["network", "create", "dev"])?;
    // Another host with an endpoint of the network follows it all.
    lab.host(2).ok(["run", "--name", "witness", "--publish-service", "witness.dev", "true"])?;
    let resting = state::dump(&lab)?;
    for (prepare, words, clean) in [
        (&[][..], "service publish web.dev", &["service unpublish web.dev"][..]),
        (
            &["sandbox create box", "service publish web.dev"],
            "service attach box web.dev",
            &["sandbox rm box", "service unpublish web.dev"],
        ),
        (
            &["sandbox create box", "service publish web.dev", "service attach box web.dev"],
            "service detach box web.dev",
            &["sandbox rm box", "service unpublish web.dev"],
        ),
        (&[], "sandbox create box", &["sandbox rm box"]),
    ] {
        killed_in(&lab, rounds, step, prepare, words, clean)?;
        ensure!(state::dump(&lab)? == resting, "{words} left {:#?}", state::dump(&lab)?);
    }
    // These take longer: a namespace, two networks, two interfaces.
    let step = step * 3;
    let run = "run --name box --publish-service a.dev --publish-service b.fresh true";
    killed_in(&lab, rounds, step, &[], run, &["sandbox rm box", "network rm fresh"])?;
    ensure!(state::dump(&lab)? == resting, "run left {:#?}", state::dump(&lab)?);
    killed_in(
        &lab,
        rounds,
        step,
        &[run],
        "sandbox rm box",
        &["sandbox rm box", "network rm fresh"],
    )?;
    ensure!(state::dump(&lab)? == resting, "sandbox rm left {:#?}", state::dump(&lab)?);
    ensure!(state::links(lab.host(1))? == empty.1, "links are left");
    lab.end()
}

#[test]
fn daemons_killed_in_the_middle_with_a_file() -> Result<()> {
    killed(Store::File, 8)
}

#[test]
fn daemons_killed_in_the_middle_with_etcd() -> Result<()> {
    killed(Store::Etcd, 4)
}
