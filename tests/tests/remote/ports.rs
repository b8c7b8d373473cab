//! Ports of services on a plugin's network: netctl chooses those of the host, and the plugin leads them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::Host;

use crate::{Plugin, Resting, exec, lab, ok, refused};

const EXPOSED: &str = "com.docker.network.endpoint.exposedports";
const PUBLISHED: &str = "com.docker.network.portmap";

/// The calls that carry ports, with their options.
fn told(plugin: &Plugin) -> Result<Vec<(String, Value)>> {
    let mut calls = plugin.calls()?;
    let with_ports = ["CreateEndpoint", "Join", "ProgramExternalConnectivity"];
    calls.retain(|(method, _)| with_ports.contains(&method.as_str()));
    Ok(calls.into_iter().map(|(method, request)| (method, request["Options"].clone())).collect())
}

fn binding(port: u16, host_ip: &str, host_port: u16) -> Value {
    json!({
        "Proto": 6, "IP": "", "Port": port,
        "HostIP": host_ip, "HostPort": host_port, "HostPortEnd": host_port,
    })
}

fn rules(host: &Host) -> Result<String> {
    host.run(["nft", "list", "ruleset"])?.ok()
}

#[test]
fn a_plugin_is_told_of_ports_and_leads_them_itself() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let resting = Resting::of(&lab)?;
    let plugin = Plugin::start(host, "cable")?;
    ok(host, "network create -d cable --subnet 10.77.0.0/24 far")?;
    ok(host, "sandbox create box-a")?;
    ok(
        host,
        "service publish --expose 9999 --expose 53/udp -p 18080:80 -p 127.0.0.1:19000:9000 a.far",
    )?;
    ok(host, "service attach box-a a.far")?;
    let udp = json!({"Proto": 17, "Port": 53});
    let tcp = |port: u16| json!({"Proto": 6, "Port": port});
    let expected = json!({
        EXPOSED: [tcp(9999), udp, tcp(80), tcp(9000)],
        PUBLISHED: [binding(80, "", 18080), binding(9000, "127.0.0.1", 19000)],
    });
    let calls = told(&plugin)?;
    let methods: Vec<&str> = calls.iter().map(|(method, _)| method.as_str()).collect();
    ensure!(methods == ["CreateEndpoint", "Join", "ProgramExternalConnectivity"], "{methods:?}");
    for (method, options) in &calls {
        ensure!(*options == expected, "{method}: {options:#}");
    }
    exec(host, "box-a", "ip addr show dev eth0")?;
    let rules = rules(host)?;
    ensure!(!rules.contains("18080"), "netctl leads the port too: {rules}");
    ok(host, "sandbox rm box-a")?;
    ok(host, "service unpublish a.far")?;
    ok(host, "network rm far")?;
    resting.check(&lab, &plugin)?;
    lab.end()
}

/// Of those that people leave open each service has another, whichever way it is attached.
#[test]
fn no_two_services_of_a_host_have_one_port() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let resting = Resting::of(&lab)?;
    let plugin = Plugin::start(host, "cable")?;
    ok(host, "network create -d cable --subnet 10.77.0.0/24 far")?;
    ok(host, "network create -d bridge near")?;
    for (name, network) in [("a", "far"), ("b", "far"), ("c", "near")] {
        ok(host, &format!("sandbox create box-{name}"))?;
        ok(host, &format!("service publish -p 18000-18002:80 {name}.{network}"))?;
        ok(host, &format!("service attach box-{name} {name}.{network}"))?;
    }
    let mut chosen = BTreeSet::new();
    for (method, options) in told(&plugin)? {
        let port = options[PUBLISHED][0]["HostPort"].as_u64().context("a port")?;
        ensure!(options[PUBLISHED][0]["HostPortEnd"] == port, "{method}: {options}");
        chosen.insert(port);
    }
    ensure!(chosen == BTreeSet::from([18000, 18001]), "{chosen:?}");
    let shown = ok(host, "service inspect b.far")?;
    ensure!(shown.contains("18001"), "{shown}");
    ok(host, "service publish -p 18001:80 d.far")?;
    ok(host, "sandbox create box-d")?;
    let taken = "port 18001/tcp of host h1 is published by service b.far already: publish another, or detach that \
                 service first";
    refused(host, "service attach box-d d.far", taken)?;
    ensure!(told(&plugin)?.is_empty(), "the plugin was told of a port that another has");
    // What a plugin refuses is free again.
    ok(host, "service detach box-b b.far")?;
    plugin.behave("NetworkDriver.Join", "err")?;
    let refusal = "plugin cable refuses NetworkDriver.Join: out of cables";
    refused(host, "service attach box-b b.far", refusal)?;
    plugin.be_good()?;
    ok(host, "service attach box-d d.far")?;
    for name in ["a", "b", "c", "d"] {
        ok(host, &format!("sandbox rm box-{name}"))?;
        let network = if name == "c" { "near" } else { "far" };
        ok(host, &format!("service unpublish {name}.{network}"))?;
    }
    ok(host, "network rm far")?;
    ok(host, "network rm near")?;
    resting.check(&lab, &plugin)?;
    lab.end()
}

#[test]
fn what_a_plugin_says_of_an_endpoint_is_shown() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let mut plugin = Plugin::start(host, "cable")?;
    ok(host, "network create -d cable --subnet 10.77.0.0/24 far")?;
    ok(host, "sandbox create box")?;
    ok(host, "service publish a.far")?;
    let inspect = || -> Result<Value> {
        let text = ok(host, "service inspect a.far")?;
        let shown: Value = serde_json::from_str(&text)?;
        Ok(shown[0]["plugin_info"].clone())
    };
    ensure!(inspect()?.is_null(), "it is attached nowhere");
    ok(host, "service attach box a.far")?;
    let info = inspect()?;
    ensure!(info == json!({"test.info": "x"}), "{info}");
    for kind in ["err", "notfound", "garbage", "stall"] {
        plugin.behave("NetworkDriver.EndpointOperInfo", kind)?;
        let info = inspect().context(kind)?;
        ensure!(info.is_null(), "{kind}: {info}");
    }
    plugin.kill()?;
    ensure!(inspect()?.is_null(), "it is dead");
    lab.end()
}
