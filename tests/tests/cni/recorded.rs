//! What runtimes were seen to call: podman 4.3.1, containerd 1.6.20 by its CRI and by `ctr`, and libcni 1.1.2.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab, Netns, Process};

use crate::{plugin, stage};

on_both_stores! {
    each_recorded_call_is_answered_as_the_specification_says on 1;
}

/// The calls, one a line: the environment, standard input, and what another plugin answered, which is not looked at.
const CALLS: &str = include_str!("recorded.jsonl");

/// Namespaces in place of those that were there when the calls were recorded.
struct Namespaces<'a> {
    lab: &'a Lab,
    /// By path, each with the path that stands for it; of a process, it is that of one.
    made: BTreeMap<String, (Netns, Option<Process>, String)>,
}

impl Namespaces<'_> {
    fn path(&mut self, recorded: &str) -> Result<String> {
        if let Some((.., path)) = self.made.get(recorded) {
            return Ok(path.clone());
        }
        let name = format!("container{}", self.made.len());
        let netns = Netns::new(self.lab.dir(), &name)?;
        let (process, path) = if recorded.starts_with("/proc/") {
            let (process, path) = plugin::inhabitant(&netns, &name)?;
            (Some(process), path)
        } else {
            (None, netns.path().display().to_string())
        };
        self.made.insert(recorded.to_owned(), (netns, process, path.clone()));
        Ok(path)
    }

    fn netns(&self, recorded: &str) -> Result<&Netns> {
        let (netns, ..) = self.made.get(recorded).context("a namespace that was never named")?;
        Ok(netns)
    }
}

fn each_recorded_call_is_answered_as_the_specification_says(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    host.ok(["network", "create", "--subnet", "10.70.0.0/24", "dknet"])?;
    let mut namespaces = Namespaces { lab, made: BTreeMap::new() };
    let mut results: BTreeMap<String, Value> = BTreeMap::new();
    let mut count = 0;
    for line in CALLS.lines() {
        let call: Value = serde_json::from_str(line)?;
        replay(host, &call, &mut namespaces, &mut results).with_context(|| line.to_owned())?;
        count += 1;
    }
    ensure!(count == 28, "{count} calls were replayed");
    for noun in ["sandbox", "service"] {
        ensure!(stage::names(host, noun)?.is_empty(), "a {noun} is left");
    }
    Ok(())
}

fn replay(
    host: &Host,
    call: &Value,
    namespaces: &mut Namespaces<'_>,
    results: &mut BTreeMap<String, Value>,
) -> Result<()> {
    let variable = |name: &str| call["env"][name].as_str().unwrap_or_default();
    let (verb, container) = (variable("CNI_COMMAND"), variable("CNI_CONTAINERID"));
    let recorded = variable("CNI_NETNS");
    let netns = if recorded.contains('/') { namespaces.path(recorded)? } else { recorded.into() };
    let variables = call["env"].as_object().context("no environment")?;
    let mut environment: Vec<(&str, &str)> = variables
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .filter(|(name, _)| *name != "CNI_NETNS")
        .collect();
    environment.push(("CNI_NETNS", &netns));
    let mut input = call["stdin"].clone();
    input["socket"] = host.socket().display().to_string().into();
    if !input["prevResult"].is_null() {
        input["prevResult"] = results.get(container).context("no ADD before")?.clone();
    }
    let said = plugin::call(host, &environment, &input.to_string())?.ok()?;
    match verb {
        "VERSION" => {
            ensure!(said["cniVersion"] == input["cniVersion"], "{said}");
            let spoken = said["supportedVersions"].as_array().context("no list")?;
            ensure!(spoken.contains(&input["cniVersion"]), "{said}");
        }
        "ADD" => {
            let device = variable("CNI_IFNAME");
            check_result(&said, &input, namespaces.netns(recorded)?, &netns, device)?;
            check_wish(&said, &input, variable("CNI_ARGS"))?;
            results.insert(container.to_owned(), said);
        }
        _ => ensure!(said.is_null(), "{verb} says {said}"),
    }
    if verb == "DEL" && recorded.contains('/') {
        let links = namespaces.netns(recorded)?.run(["ip", "-brief", "link"])?.ok()?;
        ensure!(links.lines().count() == 1, "interfaces are left: {links}");
    }
    Ok(())
}

/// What section 5 of the specification asks of a result, and that what it says is so.
fn check_result(
    said: &Value,
    input: &Value,
    netns: &Netns,
    path: &str,
    device: &str,
) -> Result<()> {
    ensure!(said["cniVersion"] == input["cniVersion"], "{said}");
    let interfaces = said["interfaces"].as_array().context("no interfaces")?;
    let ours = |interface: &Value| interface["name"] == device && interface["sandbox"] == path;
    let number = interfaces.iter().position(ours).context("the interface is not named")?;
    let link = netns.run(["ip", "-brief", "link", "show", "dev", device])?.ok()?;
    let mac = interfaces[number]["mac"].as_str().context("no MAC")?;
    ensure!(link.contains(mac) && link.contains("UP"), "{said}: {link}");
    let address = netns.run(["ip", "-brief", "address", "show", "dev", device])?.ok()?;
    let routes = netns.run(["ip", "route"])?.ok()?;
    let ips = said["ips"].as_array().filter(|ips| !ips.is_empty()).context("no addresses")?;
    for ip in ips {
        ensure!(ip["interface"] == number, "{ip}");
        // Since 1.0.0 the family is in the address alone.
        ensure!(ip["version"].is_null(), "{ip}");
        ensure!(address.contains(ip["address"].as_str().context("no address")?), "{address}");
        let gateway = ip["gateway"].as_str().context("no gateway")?;
        ensure!(routes.contains(&format!("default via {gateway}")), "{ip}: {routes}");
    }
    ensure!(said["routes"][0]["dst"] == "0.0.0.0/0", "{said}");
    ensure!(said["dns"]["nameservers"][0] == "10.70.0.1", "{said}");
    Ok(())
}

/// What the runtime asked for.
fn check_wish(said: &Value, input: &Value, arguments: &str) -> Result<()> {
    if arguments.contains("IP=") {
        ensure!(said["ips"][0]["address"] == "10.70.0.77/24", "{said}");
        ensure!(said["interfaces"][0]["mac"] == "02:aa:bb:cc:dd:ee", "{said}");
    }
    ensure!(input["type"] == "dkcni", "another's configuration: {input}");
    Ok(())
}
