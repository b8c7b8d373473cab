//! What a plugin is told: which calls, in which order, with which fields.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{Plugin, container, lab, ok};

/// The fields of a value, of those within it too, without what they hold; names that people choose are left out.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let free = ["AuxAddresses", "com.docker.network.generic"].contains(&name.as_str());
                (name.clone(), if free { json!("…") } else { shape(value) })
            })
            .collect(),
        Value::Array(values) => values.iter().map(shape).collect(),
        Value::String(_) => json!("text"),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain.clone(),
    }
}

#[test]
fn calls_are_those_of_docker_in_its_order() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let plugin = Plugin::start(host, "cable")?;
    ok(
        host,
        "network create -d cable --subnet 10.77.0.0/24 --aux-address r1=10.77.0.9 -o tenant=blue far",
    )?;
    let id = ok(host, "network inspect far")?;
    container(host, "a")?;
    // The sandbox's way out is another network, and this one again.
    ok(host, "network create -d bridge near")?;
    ok(host, "service publish b.near")?;
    ok(host, "service attach --gw-priority 9 box-a b.near")?;
    ok(host, "service detach box-a b.near")?;
    ok(host, "sandbox rm box-a")?;
    ok(host, "service unpublish a.far")?;
    ok(host, "network rm far")?;
    let calls = plugin.calls()?;
    let of = json!({"NetworkID": "text", "EndpointID": "text"});
    let with = |further: Value| {
        let mut all = of.as_object().cloned().unwrap_or_default();
        all.extend(further.as_object().cloned().unwrap_or_default());
        Value::Object(all)
    };
    let ports = json!({
        "com.docker.network.endpoint.exposedports": [],
        "com.docker.network.portmap": [],
    });
    let interface = json!({"Address": "text", "AddressIPv6": "text", "MacAddress": "text"});
    let pool = json!({
        "AddressSpace": "text", "AuxAddresses": "…", "Gateway": "text", "Pool": "text",
    });
    let expected = [
        ("GetCapabilities", Value::Null),
        (
            "CreateNetwork",
            json!({
                "NetworkID": "text",
                "Options": {
                    "com.docker.network.enable_ipv6": false,
                    "com.docker.network.generic": "…",
                },
                "IPv4Data": [pool],
                "IPv6Data": [],
            }),
        ),
        ("CreateEndpoint", with(json!({"Interface": interface, "Options": ports}))),
        ("Join", with(json!({"SandboxKey": "text", "Options": ports}))),
        ("ProgramExternalConnectivity", with(json!({"Options": ports}))),
        ("RevokeExternalConnectivity", of.clone()),
        ("ProgramExternalConnectivity", with(json!({"Options": ports}))),
        ("RevokeExternalConnectivity", of.clone()),
        ("Leave", of.clone()),
        ("DeleteEndpoint", of.clone()),
        ("DeleteNetwork", json!({"NetworkID": "text"})),
    ];
    let told: Vec<(&str, Value)> =
        calls.iter().map(|(method, request)| (method.as_str(), shape(request))).collect();
    ensure!(told == expected, "{told:#?}");
    let (_, created) = calls.get(1).context("no second call")?;
    let network = created["NetworkID"].as_str().context("an identifier")?;
    ensure!(id.contains(network), "{network} is not in {id}");
    ensure!(created["Options"]["com.docker.network.generic"] == json!({"tenant": "blue"}));
    let data = &created["IPv4Data"][0];
    ensure!(data["Gateway"] == "10.77.0.1/24" && data["Pool"] == "10.77.0.0/24", "{data}");
    ensure!(data["AuxAddresses"] == json!({"r1": "10.77.0.9/24"}), "{data}");
    let (_, endpoint) = calls.get(2).context("no third call")?;
    ensure!(endpoint["Interface"]["Address"] == "10.77.0.2/24", "{endpoint}");
    ensure!(endpoint["Interface"]["MacAddress"] == "", "{endpoint}");
    lab.end()
}
