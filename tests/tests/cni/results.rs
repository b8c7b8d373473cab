//! What the plugin answers when a container joins.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Lab, Netns, eventually};

use crate::{
    plugin::{Attachment, call},
    stage::{self, field},
};

on_both_stores! {
    results_are_of_the_version_asked_for on 1;
    a_container_joins_several_networks on 1;
    names_are_free_ones on 2;
}

/// ```text
///   h1: c ─ dev 10.90.0.0/24 and fd90::/64, made by the first ADD
/// ```
fn results_are_of_the_version_asked_for(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    let netns = Netns::new(lab.dir(), "c")?;
    let subnets = json!({"subnet": ["10.90.0.0/24", "fd90::/64"], "dns": {"search": ["a.b"]}});
    let c = Attachment::new(host, "c", netns.path()).with(&subnets);
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let mut c = c.clone().with(&json!({"cniVersion": version}));
        let result = c.add()?;
        let (families, mtu) = match version {
            "0.3.1" | "0.4.0" => (json!(["4", "6"]), Value::Null),
            "1.0.0" => (json!([null, null]), Value::Null),
            _ => (json!([null, null]), json!(1450)),
        };
        let pick = |name: &str, field: &str| -> Value {
            result[name].as_array().into_iter().flatten().map(|it| it[field].clone()).collect()
        };
        ensure!(result["cniVersion"] == version, "{result}");
        ensure!(pick("ips", "version") == families, "{result}");
        ensure!(pick("ips", "gateway") == json!(["10.90.0.1", "fd90::1"]), "{result}");
        ensure!(pick("ips", "interface") == json!([0, 0]), "{result}");
        ensure!(pick("routes", "dst") == json!(["0.0.0.0/0", "::/0"]), "{result}");
        ensure!(result["interfaces"][0]["mtu"] == mtu, "{result}");
        let dns = json!({
            "nameservers": ["10.90.0.1", "fd90::1"], "search": ["a.b"], "options": ["ndots:0"],
        });
        ensure!(result["dns"] == dns, "{result}");
        if version > "0.3.1" {
            c.silent("CHECK")?;
        }
        c.silent("DEL")?;
    }
    // Who asks for the version in one that is not spoken is told those that are.
    for (version, answered) in [("1.0.0", "1.0.0"), ("9.0.0", "1.1.0")] {
        let input = json!({"cniVersion": version}).to_string();
        let said = call(host, &[("CNI_COMMAND", "VERSION")], &input)?.ok()?;
        ensure!(said["cniVersion"] == answered, "{said}");
        ensure!(said["supportedVersions"] == json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]), "{said}");
    }
    // An internal network has no gateway but for names.
    let shut = json!({"network": "shut", "subnet": "10.91.0.0/24", "internal": true});
    let mut shut = Attachment::new(host, "c", netns.path()).with(&shut);
    let result = shut.add()?;
    ensure!(result["routes"] == json!([]) && result["ips"][0]["gateway"].is_null(), "{result}");
    ensure!(result["dns"]["nameservers"] == json!(["10.91.0.1"]), "{result}");
    shut.silent("DEL")
}

/// ```text
///   h1: c ─ eth0 ─ a 10.92.0.0/24 ─ p
///        └─ net1 ─ b 10.93.0.0/24
/// ```
fn a_container_joins_several_networks(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    let (netns, other) = (Netns::new(lab.dir(), "c")?, Netns::new(lab.dir(), "p")?);
    let network = |container: &str, netns: &Netns, name: &str, subnet: &str| {
        let of = json!({"name": name, "subnet": subnet});
        Attachment::new(host, container, netns.path()).with(&of)
    };
    let mut a = network("c", &netns, "a", "10.92.0.0/24");
    // As the second of a chain: what the first gave is passed on.
    let before = json!({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "dummy0", "sandbox": a.netns}],
        "ips": [{"address": "192.0.2.200/32", "interface": 0}],
        "routes": [{"dst": "203.0.113.0/24"}],
        "dns": {"nameservers": ["192.0.2.53"], "domain": "example"},
    });
    let b = network("c", &netns, "b", "10.93.0.0/24");
    let mut b = Attachment { device: "net1".to_owned(), before, ..b };
    a.add()?;
    let result = b.add()?;
    for (pointer, expected) in [
        ("/interfaces/0/name", json!("dummy0")),
        ("/interfaces/1/name", json!("net1")),
        ("/ips/0/address", json!("192.0.2.200/32")),
        ("/ips/1/interface", json!(1)),
        ("/routes/0/dst", json!("203.0.113.0/24")),
        // The way out stays that of the first by name.
        ("/routes/1", Value::Null),
        ("/dns/nameservers", json!(["10.93.0.1", "192.0.2.53"])),
        ("/dns/domain", json!("example")),
    ] {
        let found = result.pointer(pointer).cloned().unwrap_or_default();
        ensure!(found == expected, "{pointer} is {found}: {result}");
    }
    ensure!(stage::names(host, "sandbox")? == ["c"], "not one sandbox");
    let mut p = network("p", &other, "a", "10.92.0.0/24");
    p.add()?;
    host.ok(["exec", "c", "--", "ping", "-c", "1", "-W", "1", "p"])?;
    a.silent("CHECK")?;
    b.silent("CHECK")?;

    // It leaves one network, and is on the other as before; by the container's identifier it is found.
    a.silent("DEL")?;
    let device = field(host, &["sandbox", "inspect", "c"], "/0/interfaces/0/device")?;
    ensure!(device == "net1", "{device}");
    b.silent("CHECK")?;
    a.add()?;
    b.silent("DEL")?;
    a.silent("DEL")?;
    p.silent("DEL")?;
    ensure!(stage::names(host, "sandbox")?.is_empty(), "a sandbox is left");
    // Two interfaces in one network are two services.
    let mut second = Attachment { device: "net1".to_owned(), ..a.clone() };
    a.add()?;
    second.add()?;
    ensure!(stage::names(host, "service")? == ["c", "c-c"], "{:?}", stage::names(host, "service"));
    second.silent("DEL")?;
    a.silent("DEL")
}

/// Containers with the same name, and with names that are none of a service.
fn names_are_free_ones(lab: &Lab) -> Result<()> {
    let long = "0123456789abcdef".repeat(4);
    let mut made = Vec::new();
    for (number, (host, container, arguments, service)) in [
        (1, long.as_str(), "K8S_POD_NAME=web", "web"),
        (2, "other.1", "K8S_POD_NAME=web", "web-other-1"),
        (2, "third", "K8S_POD_NAME=web.0_", "web-0"),
        (1, "fourth", "", "fourth"),
        (1, &long.replace('0', "f"), "", "f123456789ab"),
        (1, "k8s.io-t1", "K8S_POD_NAME=---", "k8s-io-t1"),
    ]
    .into_iter()
    .enumerate()
    {
        let host = lab.host(host);
        let netns = Netns::new(lab.dir(), &format!("c{number}"))?;
        let aliases = json!({"runtimeConfig": {"aliases": ["all", service]}});
        let mut c = Attachment::new(host, container, netns.path()).with(&aliases);
        arguments.clone_into(&mut c.arguments);
        c.add().context(service)?;
        let found =
            field(host, &["service", "inspect", &format!("{service}.dev")], "/0/container")?;
        ensure!(found == container, "{service} is of {found}");
        // Engines show the beginning of an identifier; all of it is found too.
        let sandbox = field(host, &["sandbox", "inspect", container], "/0/name")?;
        ensure!(sandbox.len() <= 12, "{sandbox}");
        for words in
            [["sandbox", "inspect", container], ["service", "inspect", &format!("{service}.dev")]]
        {
            let shown = host.ok(words.iter().chain(&["--format", "table"]))?;
            let line = shown.lines().find(|line| line.starts_with("Container:"));
            ensure!(line.is_some_and(|line| line.ends_with(container)), "{shown}");
        }
        made.push((c, netns));
    }
    let soon = std::time::Duration::from_secs(5);
    eventually("the alias that all share leads to each", soon, || {
        let found = lab.host(1).ok(["exec", "fourth", "--", "getent", "ahostsv4", "all"])?;
        let addresses = found.lines().filter(|line| line.contains("STREAM")).count();
        ensure!(addresses == made.len(), "{found}");
        Ok(())
    })?;
    made.iter().try_for_each(|(c, _)| c.silent("DEL"))
}
