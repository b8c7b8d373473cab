//! What the page shows of real hosts, services and packets, and how people get about in it.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab, Signal, Store, frames::ethernet};

use crate::{
    browser::Browser,
    stage::{URL, join, lab, wire},
};

/// Three hosts, two networks, ten services.
fn town() -> Result<Lab> {
    let lab = lab(3, Store::Etcd)?;
    lab.host(1).ok(["network", "create", "--internal", "--subnet", "10.92.0.0/24", "data"])?;
    for (host, services) in [
        (1, &["web1.dev", "api1.dev", "db1.data", "cache.data"][..]),
        (2, &["web2.dev", "api2.dev", "db2.data"]),
        (3, &["web3.dev", "batch.dev", "db3.data"]),
    ] {
        services.iter().try_for_each(|service| join(lab.host(host), service))?;
    }
    Ok(lab)
}

fn played(lab: Lab, scenario: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    scenario(&lab).map_err(|error| lab.explain(error))?;
    lab.end()
}

fn address(host: &Host, service: &str) -> Result<String> {
    let text = host.ok(["service", "inspect", service])?;
    let view: Value = serde_json::from_str(&text)?;
    let address = view.pointer("/0/addresses/0").and_then(Value::as_str).context("no address")?;
    Ok(address.split('/').next().unwrap_or_default().to_owned())
}

#[test]
fn hosts_services_traffic_and_drops_are_shown() -> Result<()> {
    played(town()?, |lab| {
        let host = lab.host(1);
        let mut browser = Browser::open(lab, host, URL)?;
        browser.shows("#state", "live, netctl ")?;
        browser.shows("#figure-hosts", "3")?;
        browser.shows("#figure-services", "10")?;
        ensure!(browser.text("h1")? == "netctl h1");
        let rows = browser.rows("services")?;
        ensure!(rows.len() == 10, "{rows:#?}");
        for (service, network, on) in
            [("web1", "dev", "h1"), ("db2", "data", "h2"), ("batch", "dev", "h3")]
        {
            let row = rows.iter().find(|row| row[0] == service).context("no row")?;
            ensure!(row[1] == network && row[2] == on, "{row:?}");
            ensure!(row[3] == address(host, &format!("{service}.{network}"))?, "{row:?}");
        }
        let hosts = browser.rows("hosts")?;
        let states: Vec<&str> = hosts.iter().map(|row| row[1].as_str()).collect();
        ensure!(states == ["this host", "alive", "alive"], "{hosts:?}");
        browser.until("document.querySelectorAll('#map .box.host').length === 3")?;
        browser.until("document.querySelectorAll('#map .chip').length === 10")?;
        browser.until("document.querySelectorAll('#map .rail').length >= 2")?;
        // Quiet: what the kernel's own neighbour discovery sends has settled, and nothing moves.
        browser.until("document.querySelectorAll('#map .flow.on').length === 0")?;
        browser.pictures("quiet")?;

        let target = address(host, "web2.dev")?;
        let line = format!("netctl exec box-web1 -- ping -n -q -s 1000 -i 0.01 -w 60 {target}");
        let mut ping = host.spawn("ping", line.split(' '))?;
        browser.until("document.querySelectorAll('#map .lines .flow.on').length === 1")?;
        browser.until("document.querySelectorAll('#map .chip.busy').length === 1")?;
        let busy = browser.text("#map .chip.busy")?;
        ensure!(busy.contains("web1") && busy.contains("b/s"), "{busy}");
        let rows = browser.rows("services")?;
        let rates = |name: &str| {
            rows.iter().find(|row| row[0] == name).map(|row| (row[4].clone(), row[5].clone()))
        };
        let (receives, sends) = rates("web1").context("no row")?;
        ensure!(receives.ends_with("kb/s") && sends.ends_with("kb/s"), "{receives} {sends}");
        ensure!(rates("api1") == Some(("0 b/s".to_owned(), "0 b/s".to_owned())), "{rows:?}");
        browser.until("document.querySelectorAll('#map .between.on').length === 1")?;
        let way = browser.text("#map .between.on")?;
        ensure!(way.starts_with("gets ") && way.contains("kb/s, sends "), "{way}");
        let pairs = browser.rows("pairs")?;
        let carried: Vec<_> = pairs.iter().map(|row| [&*row[0], &*row[1], &*row[2]]).collect();
        for (from, to) in [("web1 on h1", "web2 on h2"), ("web2 on h2", "web1 on h1")] {
            ensure!(carried.contains(&[from, to, "dev"]), "{pairs:?}");
        }
        ensure!(pairs[0][3].ends_with(" kb/s"), "{pairs:?}");
        // What others carry is not known here.
        ensure!(rates("web2") == Some((String::new(), String::new())), "{rows:?}");
        // More to another host, beside.
        let target = address(host, "db3.data")?;
        let line = format!("netctl exec box-cache -- ping -n -q -s 1400 -i 0.005 -w 60 {target}");
        let mut more = host.spawn("more", line.split(' '))?;
        browser.until("document.querySelectorAll('#map .between.on').length === 2")?;
        browser.until("document.querySelectorAll('#pairs tbody tr').length === 4")?;
        browser.pictures("traffic")?;
        more.stop(Signal::SIGINT, Duration::from_secs(10))?;
        browser.until("document.querySelectorAll('#map .between.on').length === 1")?;

        browser.until("!document.querySelector('#map .box.own').classList.contains('dropping')")?;
        let wire = wire(lab, host, "api1")?;
        let forged = ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9], 0x0800, &[0x45; 50]);
        thread::scope(|scope| {
            let forger = scope.spawn(|| {
                for _ in 0..600 {
                    wire.send(&forged)?;
                    thread::sleep(Duration::from_millis(20));
                }
                anyhow::Ok(())
            });
            browser
                .until("document.querySelector('#map .box.own').classList.contains('dropping')")?;
            browser.shows("#map .box.own .strip", "source-mac")?;
            browser.until("document.getElementById('dropped').classList.contains('bad')")?;
            let drops = browser.rows("drops")?;
            let row = drops.first().context("no row")?;
            ensure!(row[1] == "source-mac" && row[2] == "from-container", "{row:?}");
            ensure!(row[3] == "The source MAC is not the endpoint's own.", "{row:?}");
            browser.until("document.querySelectorAll('#map .chip.lost').length === 1")?;
            let lost = browser.text("#map .chip.lost")?;
            ensure!(lost.contains("api1") && lost.contains('−'), "{lost}");
            let losses = browser.rows("losses")?;
            let row = losses.first().context("no row")?;
            ensure!(row[1] == "api1.dev" && row[2] == "source-mac", "{row:?}");
            let rows = browser.rows("services")?;
            let row = rows.iter().find(|row| row[0] == "api1").context("no row")?;
            ensure!(row[7].ends_with("/s") && row[7] != "0/s", "{row:?}");
            browser.pictures("drops")?;
            forger.join().expect("no panic")
        })?;
        ping.stop(Signal::SIGINT, Duration::from_secs(10))?;
        browser.close(URL)
    })
}

#[test]
fn people_get_about_by_keys_filter_and_order() -> Result<()> {
    played(town()?, |lab| {
        let mut browser = Browser::open(lab, lab.host(1), URL)?;
        browser.until("document.querySelectorAll('#map .chip').length === 10")?;
        // From the top: the networks, the filter, and one stop for all of the map.
        for id in ["dev", "data"] {
            browser.press("Tab")?;
            // They stand in the order of their names.
            let text = browser.ask("document.activeElement.dataset.name")?;
            let expected = if id == "dev" { "data" } else { "dev" };
            ensure!(text == expected, "{text}");
        }
        browser.press("Tab")?;
        ensure!(browser.ask("document.activeElement.id")? == "filter");
        browser.press("Tab")?;
        let focused = "document.activeElement.getAttribute('aria-label')";
        ensure!(browser.ask(focused)? == "host h1, 4 services");
        browser.press("ArrowRight")?;
        let label = browser.ask(focused)?;
        ensure!(
            label.as_str().is_some_and(|label| label.starts_with("service cache of data")),
            "{label}"
        );
        browser.press("ArrowDown")?;
        ensure!(browser.ask(focused)? == "host h2, 3 services");
        browser.press("Enter")?;
        browser.shows("#details", "192.0.2.2")?;
        browser.press("Escape")?;
        browser.until("document.getElementById('details').hidden")?;
        browser.press("ArrowLeft")?;
        browser.press("Enter")?;
        browser.shows("#details h2", "web1.dev")?;
        browser.shows("#details", "packets, ")?;

        browser.ask(
            "{ const field = document.getElementById('filter'); field.value = 'DATA h2'; \
             field.dispatchEvent(new Event('input')); 1 }",
        )?;
        let rows = browser.rows("services")?;
        ensure!(rows.len() == 1 && rows[0][0] == "db2", "{rows:?}");
        ensure!(browser.text("#services-count")? == "1 of 10");
        browser.until("document.querySelectorAll('#map .chip.aside').length === 9")?;
        browser.ask(
            "{ const field = document.getElementById('filter'); field.value = ''; \
             field.dispatchEvent(new Event('input')); 1 }",
        )?;
        browser.ask("document.querySelector('#networks button').click()")?;
        let rows = browser.rows("services")?;
        ensure!(rows.len() == 4 && rows.iter().all(|row| row[1] == "data"), "{rows:?}");
        browser.ask("document.querySelector('#networks button').click()")?;

        let order = |browser: &mut Browser| -> Result<Vec<String>> {
            Ok(browser.rows("services")?.into_iter().map(|row| row[0].clone()).collect())
        };
        let names = order(&mut browser)?;
        ensure!(names.is_sorted() && names.len() == 10, "{names:?}");
        let sorted = "document.querySelector('#services th').getAttribute('aria-sort')";
        ensure!(browser.ask(sorted)? == "ascending");
        browser.ask("document.querySelector('#services th button').click()")?;
        ensure!(browser.ask(sorted)? == "descending");
        let falling = order(&mut browser)?;
        ensure!(falling.iter().rev().eq(&names), "{falling:?}");
        browser.close(URL)
    })
}
