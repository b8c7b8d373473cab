//! Daemons that are exchanged for one whose maps have another layout, and back, while containers talk: the version under
//! which it pins is another then, and nothing else.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use testbed::{DEADLINE, Etcd, Host, Lab, Options, Signal, Store, eventually};

use crate::{
    state,
    traffic::{Traffic, tell},
};

/// What tells a daemon which layout it is to take for its own.
const VARIABLE: &str = "NETCTL_ABI_VERSION";
/// A layout that no daemon has by itself.
pub(crate) const OTHER: &str = "v77";

fn own() -> String {
    state::pins_dir()
}

/// Has the daemons that are started from now on have this layout.
pub(crate) fn becomes(host: &Host, layout: &str) {
    host.set_variable(VARIABLE, layout.trim_start_matches('v'));
}

/// Waits until what is pinned is of this layout alone.
fn has_taken_over(host: &Host, layout: &str) -> Result<()> {
    eventually("it has taken over", DEADLINE, || has_alone(host, layout))
}

#[test]
fn the_same_layout_loses_none_of_ten_thousand() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    Traffic::furnish(&lab)?;
    let mut traffic = Traffic::start(&lab, "0.001")?;
    while traffic.answered() < 10_000 {
        for host in lab.hosts() {
            for signal in [Signal::SIGTERM, Signal::SIGKILL] {
                lab.restart_daemon(host, signal)?;
                traffic.goes_on()?;
            }
        }
    }
    traffic.end_whole()?;
    lab.end()
}

/// There and back again, twice on each host.
#[test]
fn another_layout_takes_over_and_gives_back() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    Traffic::furnish(&lab)?;
    let mut traffic = Traffic::start(&lab, "0.001")?;
    let (begun, mut exchanges) = (Instant::now(), 0);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        for layout in [OTHER.to_owned(), own()] {
            for host in lab.hosts() {
                becomes(host, &layout);
                lab.restart_daemon(host, signal)?;
                has_taken_over(host, &layout)?;
                exchanges += 1;
                traffic.goes_on()?;
            }
        }
    }
    let took = begun.elapsed();
    let (sent, lost) = traffic.end()?;
    tell(format_args!("{lost} of {sent} echoes were lost in {exchanges} exchanges, in {took:?}"));
    // As long as so many echoes take.
    let silent = took * u32::try_from(lost)? / u32::try_from(sent)?;
    ensure!(silent < Duration::from_millis(100) * exchanges, "{lost} of {sent} were lost");
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    lab.end()
}

/// Killed at each step of an exchange, it is finished by the next start: of the same version, or of the one before. Which of
/// the two comes after the first step is another with each seed of a run (`MODEL_SEED`), and then in turn.
#[test]
fn an_exchange_that_is_killed_is_finished_or_undone() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    Traffic::furnish(&lab)?;
    let host = lab.host(2);
    let mut traffic = Traffic::start(&lab, "0.01")?;
    let (mut places, mut layout) = (BTreeSet::new(), own());
    let seed = std::env::var("MODEL_SEED").unwrap_or_default();
    let first = usize::from(seed.bytes().last().is_some_and(|digit| digit % 2 == 1));
    for step in 0..2_000 {
        let to = if layout == own() { OTHER.to_owned() } else { own() };
        host.stop_daemon(Signal::SIGTERM)?;
        becomes(host, &to);
        fs::write(host.crash_file(), step.to_string())?;
        let started = lab.start_daemon(host);
        eventually("it is killed, or has taken over", DEADLINE, || {
            let place = fs::read_to_string(host.crash_file())?;
            if !place.is_empty() && place.parse::<u32>().is_err() {
                return Ok(());
            }
            has_alone(host, &to)
        })?;
        // Held, so that it passes no step while this is found out.
        let held = fs::File::open(host.crash_file())?;
        held.lock()?;
        let place = fs::read_to_string(host.crash_file())?;
        fs::remove_file(host.crash_file())?;
        drop(held);
        let died = place.parse::<u32>().is_err().then_some(place);
        let Some(place) = died else {
            started?;
            ensure!(places.len() >= 4, "it died at {places:?}");
            let (sent, lost) = traffic.end()?;
            tell(format_args!(
                "{lost} of {sent} echoes were lost in {step} exchanges that were killed"
            ));
            ensure!(lost < 10 * (2 * step + 1), "{lost} of {sent} echoes were lost");
            eventually("all agrees", DEADLINE, || state::check(&lab))?;
            return lab.end();
        };
        let context = || format!("to {to}, died at step {step}, {place}");
        eventually("it is dead", DEADLINE, || {
            ensure!(host.daemon_pid().is_none(), "it lives");
            Ok(())
        })?;
        layout = if (step + first) % 2 == 0 { to.clone() } else { layout };
        becomes(host, &layout);
        lab.start_daemon(host).with_context(context)?;
        has_taken_over(host, &layout).with_context(context)?;
        traffic.goes_on().with_context(context)?;
        places.insert(place);
    }
    anyhow::bail!("it has no end: {places:?}")
}

/// Whether what is pinned is of this layout alone.
pub(crate) fn has_alone(host: &Host, layout: &str) -> Result<()> {
    let mut pinned = BTreeSet::new();
    for entry in fs::read_dir(host.dir("bpf"))? {
        pinned.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    pinned.retain(|name| name.starts_with('v'));
    ensure!(pinned == BTreeSet::from([layout.to_owned()]), "{pinned:?}");
    Ok(())
}

#[test]
fn a_downgrade_while_etcd_is_away_waits_for_it() -> Result<()> {
    let lab = Lab::start(Options { store: Store::Etcd, ..Options::default() })?;
    Traffic::furnish(&lab)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let etcd: &Etcd = lab.etcd().context("the lab has an etcd")?;
    let mut traffic = Traffic::start(&lab, "0.01")?;
    becomes(h2, OTHER);
    lab.restart_daemon(h2, Signal::SIGTERM)?;
    has_taken_over(h2, OTHER)?;
    etcd.stop(Signal::SIGKILL)?;
    becomes(h2, &own());
    lab.restart_daemon(h2, Signal::SIGKILL)?;
    traffic.goes_on()?;
    h2.run(["netctl", "exec", "box2", "ping", "-c", "1", "a"])?.ok()?;
    // What serves is what served before: nobody says that all is held.
    ensure!(h2.dir("bpf").join(OTHER).exists(), "it has taken over without the store");
    lab.restart_daemon(h1, Signal::SIGKILL)?;
    etcd.start()?;
    has_taken_over(h2, &own())?;
    traffic.goes_on()?;
    traffic.end_whole()?;
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    lab.end()
}
