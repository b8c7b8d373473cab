//! The labs, and who asks without a browser.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::{Host, Lab, Netns, Options, Store, Wire};

use crate::http::{Answer, answer, connect};

/// Where each host has its page.
pub(crate) const URL: &str = "http://127.0.0.1:9470/";

/// Hosts with a page each, and the network `dev`.
pub(crate) fn lab(hosts: u8, store: Store) -> Result<Lab> {
    let arguments = vec!["--web-listen".to_owned()];
    let lab = Lab::start(Options { hosts, store, arguments, ..Options::default() })?;
    lab.host(1).ok(["network", "create", "--subnet", "10.91.0.0/24", "dev"])?;
    Ok(lab)
}

/// A sandbox `box-NAME` with the service `NAME.NETWORK`.
pub(crate) fn join(host: &Host, service: &str) -> Result<()> {
    let sandbox = format!("box-{}", service.split('.').next().unwrap_or_default());
    host.ok(["run", "--name", &sandbox, "--publish-service", service, "true"]).map(drop)
}

/// The end of a service's interface in its sandbox.
pub(crate) fn wire(lab: &Lab, host: &Host, service: &str) -> Result<Wire> {
    let text = host.ok(["sandbox", "inspect", &format!("box-{service}")])?;
    let view: Value = serde_json::from_str(&text)?;
    let path = view.pointer("/0/netns").and_then(Value::as_str).context("no namespace")?;
    Wire::new(&Netns::open(lab.dir(), path.as_ref()), "eth0")
}

/// What is answered to `METHOD PATH` with this `Host`.
pub(crate) fn ask(from: &Host, to: SocketAddr, line: &str, named: Option<&str>) -> Result<Answer> {
    let named = named.map(|name| format!("host: {name}\r\n")).unwrap_or_default();
    let request =
        format!("{line} HTTP/1.1\r\n{named}connection: close\r\ncontent-length: 0\r\n\r\n");
    answer(connect(from, to)?, &request)
}
