//! Containers of an overlay network of netctl, with its daemon on each host.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::{Host, Lab, Netns, Options, Wiring};

use super::{Ends, Ground, Parts};

pub(super) fn containers(ground: &Ground<'_>) -> Result<Ends> {
    let options = Options {
        wiring: Wiring::Direct,
        binary: Some(ground.binary.to_owned()),
        ..Options::default()
    };
    let lab = Lab::start(options)?;
    let ends = joined(&lab).map_err(|error| lab.explain(error))?;
    let [near, far] = ends;
    Ok(Ends { near, far, address: "10.1.0.12".to_owned(), parts: Parts::Lab(Box::new(lab)) })
}

fn joined(lab: &Lab) -> Result<[Netns; 2]> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["network", "create", "-d", "overlay", "--subnet", "10.1.0.0/24", "bench"])?;
    Ok([container(lab, h1, "near", "10.1.0.11")?, container(lab, h2, "far", "10.1.0.12")?])
}

/// A sandbox that has joined the network of the benchmarks, as a namespace.
pub(in crate::bench) fn container(
    lab: &Lab,
    host: &Host,
    name: &str,
    address: &str,
) -> Result<Netns> {
    container_of(lab, host, "bench", name, address)
}

/// A sandbox that has joined a network, as a namespace.
pub(crate) fn container_of(
    lab: &Lab,
    host: &Host,
    network: &str,
    name: &str,
    address: &str,
) -> Result<Netns> {
    let service = format!("{name}.{network}");
    host.ok(["sandbox", "create", name])?;
    host.ok(["service", "publish", "--ip", address, &service])?;
    host.ok(["service", "attach", name, &service])?;
    sandbox(lab, host, name)
}

/// A sandbox as a namespace.
pub(in crate::bench) fn sandbox(lab: &Lab, host: &Host, name: &str) -> Result<Netns> {
    let text = host.ok(["--format", "json", "sandbox", "inspect", name])?;
    let view: Value = serde_json::from_str(&text)?;
    let path = view.pointer("/0/netns").and_then(Value::as_str);
    let path = path.with_context(|| format!("sandbox {name} has no namespace: {text}"))?;
    Ok(Netns::open(lab.dir(), Path::new(path)))
}
