//! What a plugin chooses for a network of the cluster: once, for all hosts.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Lab, Options, eventually};

use crate::{Plugin, Resting, container, lab, ok, refused};

const GENERIC: &str = "com.docker.network.generic";

fn call(plugin: &Plugin, wanted: &str) -> Result<Vec<Value>> {
    let calls = plugin.calls()?.into_iter();
    Ok(calls.filter(|(method, _)| method == wanted).map(|(_, request)| request).collect())
}

/// ```text
///   h1: its plugin chooses     h2: its plugin is told what that one chose
/// ```
#[test]
fn what_one_plugin_chooses_all_hosts_are_told() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let [near, far] = [h1, h2].map(|host| Plugin::start(host, "cable"));
    let (near, far) = (near?, far?);
    near.be_global()?;
    far.be_global()?;
    ok(h1, "network create -d cable --subnet 10.77.0.0/24 -o tenant=blue far")?;
    ensure!(near.allocations()? == 1, "its plugin has chosen nothing");
    let calls = near.calls()?;
    let of = |method: &str| calls.iter().find(|(called, _)| called == method).cloned();
    let (_, asked) = of("AllocateNetwork").context("its plugin was not asked")?;
    ensure!(
        asked["Options"] == json!({"tenant": "blue"}) && asked["IPv6Data"].is_null(),
        "{asked}"
    );
    ensure!(asked["IPv4Data"][0]["Pool"] == "10.77.0.0/24", "{asked}");
    let number = asked["NetworkID"].as_str().and_then(|id| id.get(..8)).context("an identifier")?;
    let chosen = json!({"tenant": "blue", "test.number": number});
    let (_, created) = of("CreateNetwork").context("its plugin has made nothing")?;
    ensure!(created["Options"][GENERIC] == chosen, "{created}");
    container(h2, "a")?;
    let created = call(&far, "CreateNetwork")?;
    ensure!(created.len() == 1 && created[0]["Options"][GENERIC] == chosen, "{created:?}");
    ensure!(far.allocations()? == 0, "it was asked twice");
    ok(h2, "sandbox rm box-a")?;
    ok(h2, "service unpublish a.far")?;
    // Whoever removes it, the plugin that chose is told.
    ok(h2, "network rm far")?;
    eventually("it is free", Duration::from_mins(1), || {
        ensure!(near.allocations()? == 0 && near.state()?.is_empty(), "{:?}", near.state()?);
        ensure!(far.state()?.is_empty(), "{:?}", far.state()?);
        Ok(())
    })?;
    ensure!(call(&far, "FreeNetwork")?.is_empty(), "one that chose nothing was told to free it");
    lab.end()
}

#[test]
fn a_network_for_which_nothing_is_chosen_is_not_there() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let plugin = Plugin::start(host, "cable")?;
    plugin.be_global()?;
    let resting = Resting::of(&lab)?;
    for (method, kind, sentence) in [
        (
            "AllocateNetwork",
            "err",
            "plugin cable refuses NetworkDriver.AllocateNetwork: out of cables",
        ),
        (
            "AllocateNetwork",
            "garbage",
            "plugin cable answered NetworkDriver.AllocateNetwork with what cannot be used: expected value at line 1 \
             column 1",
        ),
        ("CreateNetwork", "err", "plugin cable refuses NetworkDriver.CreateNetwork: out of cables"),
        (
            "CreateNetwork",
            "garbage",
            "plugin cable answered NetworkDriver.CreateNetwork with what cannot be used: expected value at line 1 \
             column 1",
        ),
    ] {
        let context = || format!("{method} {kind}");
        plugin.behave(&format!("NetworkDriver.{method}"), kind)?;
        refused(host, "network create -d cable far", sentence).with_context(context)?;
        resting.check(&lab, &plugin).with_context(context)?;
    }
    // Drivers that are older than the call have nothing to choose.
    plugin.behave("NetworkDriver.AllocateNetwork", "notfound")?;
    ok(host, "network create -d cable -o tenant=blue far")?;
    let created = call(&plugin, "CreateNetwork")?;
    let last = created.last().context("it is made")?;
    ensure!(last["Options"][GENERIC] == json!({"tenant": "blue"}), "{last}");
    ok(host, "network rm far")?;
    ensure!(call(&plugin, "FreeNetwork")?.is_empty(), "there is nothing to free");
    resting.check(&lab, &plugin)?;
    lab.end()
}
