//! Plugins hear of the cluster's hosts.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use testbed::{DEADLINE, Host, Lab, Options, Signal, eventually};

use crate::{Plugin, ok};

/// What a plugin was told of hosts by one daemon since it was started: those that are there by that, by address, each with
/// whether it is the plugin's own. A host that is slow may be missed for a while, and is told of anew then.
#[derive(Debug, Default)]
struct Heard {
    hosts: BTreeMap<String, bool>,
    calls: Vec<String>,
}

impl Heard {
    /// Takes in what it was told since the last look: of its own host first, of no host twice, and of the end of none that
    /// is not there.
    fn hear(&mut self, plugin: &Plugin) -> Result<()> {
        for (method, request) in plugin.calls()? {
            if !method.starts_with("Discover") {
                continue;
            }
            let data = &request["DiscoveryData"];
            let own = data["Self"] == true;
            let address = data["Address"].as_str().context("no address")?;
            let bind = data["BindAddress"].as_str().unwrap_or_default();
            ensure!(request["DiscoveryType"] == 1, "{request}");
            ensure!(bind == if own { address } else { "" }, "{request}");
            let fits = match method.as_str() {
                "DiscoverNew" => {
                    let first = self.calls.is_empty();
                    self.hosts.insert(address.to_owned(), own).is_none() && first == own
                }
                "DiscoverDelete" => !own && self.hosts.remove(address).is_some(),
                _ => bail!("{method} is no call"),
            };
            ensure!(fits, "{method} {address} {own} after {:#?}", self.calls);
            self.calls.push(format!("{method} {address} {own}"));
        }
        Ok(())
    }

    /// Waits until it knows of these hosts and no others: its own, and another if there is one.
    fn until(&mut self, plugin: &Plugin, own: &str, other: Option<&str>) -> Result<()> {
        let others = other.map(|address| (address.to_owned(), false));
        let expected: BTreeMap<_, _> = [(own.to_owned(), true)].into_iter().chain(others).collect();
        eventually("the plugin knows of the hosts", DEADLINE, || {
            // What does not fit never will.
            if let Err(wrong) = self.hear(plugin) {
                return Ok(Err(wrong));
            }
            ensure!(self.hosts == expected, "{self:#?}");
            Ok(Ok(()))
        })?
    }
}

fn address(host: &Host) -> Result<String> {
    let text = ok(host, "host ls --format json")?;
    let hosts: Value = serde_json::from_str(&text)?;
    let own = hosts.as_array().into_iter().flatten().find(|host| host["this"] == true);
    let vtep = own.map(|host| host["vteps"].clone()).unwrap_or_default();
    let first = if vtep.is_array() { vtep[0].clone() } else { vtep };
    Ok(first.as_str().unwrap_or_default().to_owned())
}

/// ```text
///   h1: plugin cable, of the cluster     h2: goes, and comes back
/// ```
#[test]
fn plugins_of_the_cluster_hear_of_its_hosts() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let (own, other) = (address(h1)?, address(h2)?);
    ensure!(!own.is_empty() && !other.is_empty() && own != other, "{own} {other}");
    let mut plugin = Plugin::start(h1, "cable")?;
    plugin.be_global()?;
    let local = Plugin::start(h1, "string")?;
    let mut heard = Heard::default();
    ok(h1, "network create -d string near")?;
    ok(h1, "network create -d cable --subnet 10.77.0.0/24 far")?;
    heard.until(&plugin, &own, Some(&other))?;

    h2.stop_daemon(Signal::SIGKILL)?;
    heard.until(&plugin, &own, None)?;
    lab.start_daemon(h2)?;
    heard.until(&plugin, &own, Some(&other))?;

    // Another plugin in its place, and another daemon, know of none.
    let socket = h1.dir("plugin").join("cable.sock").display().to_string();
    plugin.kill()?;
    heard.hear(&plugin)?;
    let mut heard = Heard::default();
    plugin.run(h1, "cable", &socket)?;
    heard.until(&plugin, &own, Some(&other))?;
    h1.stop_daemon(Signal::SIGKILL)?;
    heard.hear(&plugin)?;
    let mut heard = Heard::default();
    lab.start_daemon(h1)?;
    heard.until(&plugin, &own, Some(&other))?;

    let told: Vec<String> = local.calls()?.into_iter().map(|(method, _)| method).collect();
    ensure!(!told.iter().any(|method| method.starts_with("Discover")), "{told:?}");
    lab.end()
}

/// One that does not answer is told again, and holds up nobody.
#[test]
fn a_plugin_that_does_not_want_to_hear_holds_up_nothing() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    let plugin = Plugin::start(host, "cable")?;
    plugin.be_global()?;
    plugin.behave("NetworkDriver.DiscoverNew", "stall")?;
    ok(host, "network create -d cable --subnet 10.77.0.0/24 far")?;
    crate::container(host, "a")?;
    plugin.behave("NetworkDriver.DiscoverNew", "err")?;
    crate::container(host, "b")?;
    crate::exec(host, "box-a", "ping -c 1 -W 1 10.77.0.3")?;
    plugin.be_good()?;
    plugin.calls()?;
    eventually("the plugin hears of the host", DEADLINE, || {
        let calls = plugin.calls()?;
        ensure!(calls.iter().any(|(method, _)| method == "DiscoverNew"), "{calls:?}");
        Ok(())
    })?;
    lab.end()
}
