//! etcd away: at the start of a daemon, and under way.
//!
//! ```text
//!   h1: box1 (a.dev)      h2: box2 (b.dev)      etcd at 192.0.2.253
//! ```

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Etcd, Host, Lab, Options, Signal, Store, eventually};

use crate::state;

/// How long an operation may take to fail.
const AT_ONCE: Duration = Duration::from_secs(4);

/// Each operation that needs the store.
const OPERATIONS: [&str; 16] = [
    "network create new",
    "network ls",
    "network inspect dev",
    "network rm dev",
    "service publish new.dev",
    "service unpublish a.dev",
    "service unpublish -f a.dev",
    "service attach box1 b.dev",
    "service attach -f box1 b.dev",
    "service detach box1 a.dev",
    "service ls",
    "service inspect a.dev",
    "sandbox rm box1",
    "run --publish-service new.dev true",
    "run --publish-service new.fresh true",
    "host ls",
];

fn lab() -> Result<Lab> {
    let lab = Lab::start(Options { store: Store::Etcd, ..Options::default() })?;
    lab.host(1).ok(["network", "create", "dev"])?;
    lab.host(1).ok(["run", "--name", "box1", "--publish-service", "a.dev", "true"])?;
    lab.host(2).ok(["run", "--name", "box2", "--publish-service", "b.dev", "true"])?;
    eventually("all agrees", Duration::from_secs(5), || state::check(&lab))?;
    Ok(lab)
}

fn etcd(lab: &Lab) -> Result<&Etcd> {
    lab.etcd().context("the lab has an etcd")
}

fn reaches(host: &Host, sandbox: &str, name: &str) -> Result<()> {
    host.run(["netctl", "exec", sandbox, "ping", "-c", "1", "-W", "1", name])?.ok().map(drop)
}

/// Each operation fails at once in one sentence; what was there works.
fn assert_away(lab: &Lab, reason: &str) -> Result<()> {
    let host = lab.host(1);
    let before = state::files_and_links(host)?;
    for words in OPERATIONS {
        let begin = Instant::now();
        let output = host.netctl(words.split(' '))?;
        let took = begin.elapsed();
        let sentence =
            format!("error: the store at etcd {} cannot be reached: {reason}", Etcd::url());
        ensure!(
            output.code() == 1
                && output.stderr.starts_with(&sentence)
                && output.stderr.lines().count() == 1,
            "{words}: {output:?}"
        );
        ensure!(took < AT_ONCE, "{words} took {took:?}");
    }
    let status: Value = serde_json::from_str(&host.ok(["status", "--format", "json"])?)?;
    let said = status["store_error"].as_str().unwrap_or_default();
    ensure!(said.contains("cannot be reached"), "{status}");
    ensure!(host.ok(["sandbox", "ls"])?.contains("box1"), "the sandbox is not listed");
    ensure!(!host.ok(["fdb"])?.is_empty(), "the map is not shown");
    ensure!(before == state::files_and_links(host)?, "something changed on the host");
    Ok(())
}

fn assert_back(lab: &Lab) -> Result<()> {
    eventually("it is as if nothing had been", Duration::from_secs(15), || {
        let status: Value = serde_json::from_str(&lab.host(1).ok(["status", "--format", "json"])?)?;
        ensure!(status["store_error"].is_null(), "{status}");
        lab.host(2)
            .ok(["host", "ls", "-q"])?
            .contains("h1")
            .then_some(())
            .context("h1 is missing")?;
        state::check(lab)
    })?;
    lab.host(2).ok([
        "run",
        "--rm",
        "--publish-service",
        "later.dev",
        "--",
        "ping",
        "-c",
        "1",
        "a",
    ])?;
    eventually("all agrees", Duration::from_secs(5), || state::check(lab))
}

#[test]
fn etcd_goes_and_comes_back() -> Result<()> {
    let lab = lab()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let mut ping = h1.spawn(
        "ping",
        ["netctl", "exec", "box1", "ping", "-i", "0.05", "-W", "1", "-c", "5000", "b"],
    )?;
    etcd(&lab)?.stop(Signal::SIGTERM)?;
    assert_away(&lab, "")?;
    reaches(h1, "box1", "b")?;
    reaches(h2, "box2", "a")?;
    // A sandbox needs the store only for its services.
    h1.ok(["run", "--rm", "true"])?;
    etcd(&lab)?.start()?;
    assert_back(&lab)?;
    // Once more, and so long that the hosts' leases end.
    etcd(&lab)?.stop(Signal::SIGKILL)?;
    reaches(h1, "box1", "b")?;
    etcd(&lab)?.start()?;
    assert_back(&lab)?;
    ping.signal(Signal::SIGINT)?;
    ping.wait(Duration::from_secs(5))?;
    ensure!(ping.log().contains(" 0% packet loss"), "packets were lost: {}", ping.log());
    lab.end()
}

#[test]
fn a_daemon_starts_without_etcd() -> Result<()> {
    let lab = lab()?;
    let h1 = lab.host(1);
    etcd(&lab)?.stop(Signal::SIGTERM)?;
    lab.restart_daemon(h1, Signal::SIGKILL)?;
    ensure!(h1.log().contains("cannot be reached"), "the daemon does not say so: {}", h1.log());
    assert_away(&lab, "")?;
    reaches(h1, "box1", "b")?;
    etcd(&lab)?.start()?;
    assert_back(&lab)?;
    reaches(h1, "box1", "b")?;
    lab.end()
}

/// A network that swallows packets, where etcd is not closed but silent.
#[test]
fn an_etcd_that_is_silent_is_away_too() -> Result<()> {
    let lab = lab()?;
    let h1 = lab.host(1);
    etcd(&lab)?.netns().ip(["link set eth0 down"])?;
    for words in ["network create new", "run --publish-service new.dev true", "sandbox rm box1"] {
        let begin = Instant::now();
        let output = h1.netctl(words.split(' '))?;
        ensure!(
            output.code() == 1 && output.stderr.contains("cannot be reached: "),
            "{words}: {output:?}"
        );
        ensure!(begin.elapsed() < AT_ONCE, "{words} took {:?}", begin.elapsed());
    }
    reaches(h1, "box1", "b")?;
    lab.restart_daemon(h1, Signal::SIGTERM)?;
    for words in ["sandbox rm box1", "network create new"] {
        let begin = Instant::now();
        let output = h1.netctl(words.split(' '))?;
        ensure!(output.code() == 1, "{words}: {output:?}");
        ensure!(begin.elapsed() < AT_ONCE, "{words} took {:?}", begin.elapsed());
    }
    etcd(&lab)?.netns().ip(["link set eth0 up"])?;
    assert_back(&lab)?;
    lab.end()
}
