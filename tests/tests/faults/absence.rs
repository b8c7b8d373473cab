//! Hosts that are missed for longer than a host may be: what they had is given back, and they have it again where they
//! come back and it is free.
//!
//! ```text
//!   h1: box1 (a.dev, d.ops)      h2: box2 (b.dev, published for it; c.ops, which people published)
//! ```

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab, Options, Signal, Store, eventually};

use crate::{pins, state};

/// What a host's key and the shortest time until its reaping take, and more.
const GONE: Duration = Duration::from_secs(100);
const SOON: Duration = Duration::from_secs(15);

fn furnished(store: Store) -> Result<Lab> {
    let arguments = ["--reap-after", "30s"].map(str::to_owned).to_vec();
    let lab = Lab::start(Options { store, arguments, ..Options::default() })?;
    for words in [
        "network create dev",
        "network create ops",
        "service publish c.ops",
        "run --name box1 --publish-service a.dev --publish-service d.ops true",
    ] {
        lab.host(1).ok(words.split(' '))?;
    }
    lab.host(2).ok(["run", "--name", "box2", "--publish-service", "b.dev", "true"])?;
    lab.host(2).ok(["service", "attach", "box2", "c.ops"])?;
    eventually("all agrees", SOON, || state::check(&lab))?;
    reach(lab.host(1), "box1", &["b", "c"])?;
    Ok(lab)
}

fn service(host: &Host, name: &str) -> Result<Value> {
    let found: Value = serde_json::from_str(&host.ok(["service", "inspect", name])?)?;
    found.get(0).cloned().context("no service")
}

fn reach(host: &Host, sandbox: &str, names: &[&str]) -> Result<()> {
    for name in names {
        host.ok(["exec", sandbox, "ping", "-c", "1", "-W", "2", name])?;
    }
    Ok(())
}

/// Waits until what `h2` had is given back.
fn reaped(h1: &Host) -> Result<()> {
    eventually("what h2 had is given back", GONE, || {
        let b = h1.netctl(["service", "inspect", "b.dev"])?;
        ensure!(b.stderr.contains("there is no service b on network dev"), "{b:?}");
        ensure!(service(h1, "c.ops")?["owner"].is_null(), "c.ops is attached");
        Ok(())
    })
}

#[test]
fn what_a_host_had_that_is_gone_is_given_back() -> Result<()> {
    let lab = furnished(Store::File)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let address = service(h1, "b.dev")?["addresses"][0].clone();
    h2.stop_daemon(Signal::SIGKILL)?;
    reaped(h1)?;
    reach(h1, "box1", &["a"])?;

    // Its name and address are another's now; nobody has the other yet.
    let plain = address.as_str().and_then(|text| text.split('/').next()).context("an address")?;
    h1.ok(["service", "publish", "--ip", plain, "b.dev"])?;
    lab.start_daemon(h2)?;
    eventually("it has again what is free", SOON, || {
        let owner = service(h1, "c.ops")?["owner"]["host"].clone();
        ensure!(owner == "h2", "c.ops is attached on {owner}");
        ensure!(service(h1, "b.dev")?["owner"].is_null(), "b.dev is attached");
        state::check(&lab)
    })?;
    eventually("c is reached", SOON, || reach(h1, "box1", &["c"]))?;
    ensure!(h2.log().contains("others have its name or address now"), "{}", h2.log());
    lab.end()
}

#[test]
fn a_host_that_was_cut_off_has_everything_again() -> Result<()> {
    let lab = furnished(Store::Etcd)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let before = service(h1, "b.dev")?;
    h2.netns().ip(["link set eth0 down"])?;
    reaped(h1)?;
    h2.netns().ip(["link set eth0 up"])?;
    eventually("it has everything again", Duration::from_secs(30), || {
        let b = service(h1, "b.dev")?;
        ensure!(b == before, "{b}\nwas\n{before}");
        ensure!(service(h1, "c.ops")?["owner"]["host"] == "h2", "c.ops is not attached");
        state::check(&lab)
    })?;
    // Names lead to a host once it has said that it is alive.
    eventually("they reach each other", SOON, || {
        reach(h1, "box1", &["b", "c"])?;
        reach(h2, "box2", &["a"])
    })?;
    lab.end()
}

/// Takes from a host all that netctl had on it, as who installs a machine anew.
fn wipe(host: &Host) -> Result<()> {
    host.stop_daemon(Signal::SIGKILL)?;
    // Of a pair, one end goes with the other.
    let links = "for link in $(ip -o link | grep -oE '(nc|nh-|np-|netctl-)[^@:]+'); do \
                 ip link del $link 2>/dev/null; done; true";
    host.run(["sh", "-c", links])?.ok()?;
    host.run(["nft", "delete", "table", "inet", "netctl"])?.ok()?;
    for bound in fs::read_dir(host.dir("netns"))? {
        // Some are other names of the same, and so unmounted already.
        drop(host.run(["umount".as_ref(), bound?.path().as_os_str()])?);
    }
    pins::unpin(host)?;
    for dir in ["netns", "run", "state"].map(|name| host.dir(name)) {
        fs::remove_dir_all(dir)?;
    }
    Ok(())
}

#[test]
fn a_host_that_was_installed_anew_has_nothing_of_what_it_was() -> Result<()> {
    let lab = furnished(Store::Etcd)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    wipe(h2)?;
    h2.netns().ip(["address del 192.0.2.2/24 dev eth0", "address add 192.0.2.77/24 dev eth0"])?;
    let known = || -> Result<Option<String>> {
        let hosts: Value = serde_json::from_str(&h1.ok(["host", "ls", "--format", "json"])?)?;
        let hosts = hosts.as_array().context("no hosts")?;
        Ok(hosts.iter().find(|host| host["name"] == "h2").map(|host| host["vteps"].to_string()))
    };
    // Until then the name is another machine's.
    eventually("the old one is missed", Duration::from_secs(40), || {
        let known = known()?;
        ensure!(known.is_none(), "{known:?}");
        Ok(())
    })?;
    lab.start_daemon(h2)?;
    eventually("it has its name, and nothing else", SOON, || {
        let known = known()?.context("h2 is not there")?;
        ensure!(known.contains("192.0.2.77"), "h2 is at {known}");
        let b = h1.netctl(["service", "inspect", "b.dev"])?;
        ensure!(b.stderr.contains("there is no service b on network dev"), "{b:?}");
        ensure!(service(h1, "c.ops")?["owner"].is_null(), "c.ops is attached");
        Ok(())
    })?;
    h2.ok(["run", "--name", "box2", "--publish-service", "b.dev", "true"])?;
    h2.ok(["service", "attach", "box2", "c.ops"])?;
    eventually("they reach each other", SOON, || {
        reach(h1, "box1", &["b", "c"])?;
        reach(h2, "box2", &["a"])
    })?;
    lab.end()
}
