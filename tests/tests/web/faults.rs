//! The page while something is away: it says so, and goes on showing what was known.

use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::{Lab, Signal, Store, eventually};

use crate::{
    browser::Browser,
    stage::{URL, join, lab},
};

/// Two hosts with a service each, and a browser on the first.
fn pair(scenario: impl FnOnce(&Lab, &mut Browser) -> Result<()>) -> Result<()> {
    let lab = lab(2, Store::Etcd)?;
    let played = || {
        join(lab.host(1), "a.dev")?;
        join(lab.host(2), "b.dev")?;
        let mut browser = Browser::open(&lab, lab.host(1), URL)?;
        browser.until("document.querySelectorAll('#map .chip').length === 2")?;
        scenario(&lab, &mut browser)?;
        browser.close(URL)
    };
    played().map_err(|error| lab.explain(error))?;
    lab.end()
}

#[test]
fn a_daemon_that_is_gone_was_last_heard() -> Result<()> {
    pair(|lab, browser| {
        lab.host(1).stop_daemon(Signal::SIGKILL)?;
        browser.until(
            "/^last heard [0-9]+ s ago$/.test(document.getElementById('state').innerText)",
        )?;
        browser.shows("#notices .bad", "The daemon of h1 was last heard ")?;
        ensure!(browser.rows("services")?.len() == 2, "what was known is shown");
        browser.pictures("gone")?;
        lab.start_daemon(lab.host(1))?;
        browser.shows("#state", "live, ")?;
        browser.until("document.getElementById('notices').childElementCount === 0")
    })
}

#[test]
fn a_store_that_is_away_is_named() -> Result<()> {
    pair(|lab, browser| {
        let etcd = lab.etcd().expect("the lab has one");
        etcd.stop(Signal::SIGKILL)?;
        browser
            .shows("#notices .warn", "The store (etcd http://192.0.2.253:2379) has not answered")?;
        let rows = browser.rows("services")?;
        ensure!(rows.len() == 2 && rows[1][2] == "h2", "{rows:?}");
        browser.pictures("store-away")?;
        etcd.start()?;
        browser.until("document.getElementById('notices').childElementCount === 0")
    })
}

#[test]
fn a_dead_host_is_shown_as_unreachable() -> Result<()> {
    pair(|lab, browser| {
        lab.host(2).stop_daemon(Signal::SIGKILL)?;
        eventually("its lease has ended", Duration::from_secs(40), || {
            let hosts = lab.host(1).ok(["host", "ls"])?;
            ensure!(!hosts.contains("h2"), "{hosts}");
            Ok(())
        })?;
        browser.until("document.querySelectorAll('#map .box.dead').length === 1")?;
        browser.shows("#map .box.dead", "unreachable")?;
        browser.shows("#figure-hosts", "1 of 2")?;
        let hosts = browser.rows("hosts")?;
        ensure!(hosts[1][..2] == ["h2", "unreachable"], "{hosts:?}");
        let rows = browser.rows("services")?;
        ensure!(rows[1][2] == "h2 (unreachable)", "{rows:?}");
        browser.pictures("dead-host")?;
        lab.start_daemon(lab.host(2))?;
        browser.until("document.querySelectorAll('#map .box.dead').length === 0")
    })
}
