//! Plugins hear of the cluster's hosts.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab, Options, Signal, eventually};

use crate::{Plugin, ok};

/// How long a host may be away until the others take it for gone, and some more.
const AWAY: Duration = Duration::from_secs(40);

/// What a plugin has heard: the hosts that are there, and what was said of each.
#[derive(Default)]
struct Heard {
    calls: Vec<(String, Value)>,
}

impl Heard {
    fn hear(&mut self, plugin: &Plugin) -> Result<&[(String, Value)]> {
        let calls = plugin.calls()?.into_iter();
        self.calls.extend(calls.filter(|(method, _)| method.starts_with("Discover")));
        Ok(&self.calls)
    }

    /// `METHOD ADDRESS SELF` of each call so far, in order.
    fn lines(&mut self, plugin: &Plugin) -> Result<Vec<String>> {
        let line = |(method, request): &(String, Value)| {
            let data = &request["DiscoveryData"];
            let own = data["Self"] == true;
            let address = data["Address"].as_str().unwrap_or_default();
            let bind = data["BindAddress"].as_str().unwrap_or_default();
            ensure!(request["DiscoveryType"] == 1, "{request}");
            ensure!(bind == if own { address } else { "" }, "{request}");
            Ok(format!("{method} {address} {own}"))
        };
        self.hear(plugin)?.iter().map(line).collect()
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
    let both = [format!("DiscoverNew {own} true"), format!("DiscoverNew {other} false")];
    let mut expected = both.to_vec();
    let mut hears = |plugin: &Plugin, expected: &[String], limit| {
        eventually("the plugin hears of the hosts", limit, || {
            let lines = heard.lines(plugin)?;
            ensure!(lines == expected, "{lines:#?}");
            Ok(())
        })
    };
    hears(&plugin, &expected, Duration::from_secs(10))?;

    h2.stop_daemon(Signal::SIGKILL)?;
    expected.push(format!("DiscoverDelete {other} false"));
    hears(&plugin, &expected, AWAY)?;
    lab.start_daemon(h2)?;
    expected.push(format!("DiscoverNew {other} false"));
    hears(&plugin, &expected, AWAY)?;

    let socket = h1.dir("plugin").join("cable.sock").display().to_string();
    plugin.kill()?;
    plugin.run(h1, "cable", &socket)?;
    expected.extend(both.clone());
    hears(&plugin, &expected, Duration::from_secs(10))?;
    h1.stop_daemon(Signal::SIGKILL)?;
    lab.start_daemon(h1)?;
    expected.extend(both);
    hears(&plugin, &expected, AWAY)?;

    let told: BTreeSet<String> = local.calls()?.into_iter().map(|(method, _)| method).collect();
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
    eventually("the plugin hears of the host", Duration::from_mins(1), || {
        let calls = plugin.calls()?;
        ensure!(calls.iter().any(|(method, _)| method == "DiscoverNew"), "{calls:?}");
        Ok(())
    })?;
    lab.end()
}
