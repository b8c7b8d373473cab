//! What a host says of itself in numbers, over real daemons and packets: each number is held against what was sent, or
//! against what the system's own tools say.

mod carried;
mod dashboard;
mod exposition;
#[path = "../support/http.rs"]
mod http;
mod listener;
mod scrape;
mod state;
mod top;

use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::{Host, Lab, Netns, Options, Store};

/// How long one part may take to know what another did.
const SOON: Duration = Duration::from_secs(10);

/// Hosts with the network `dev`.
fn lab(hosts: u8, store: Store, arguments: &[&str]) -> Result<Lab> {
    let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
    let lab = Lab::start(Options { hosts, store, arguments, ..Options::default() })?;
    lab.host(1).ok(["network", "create", "--subnet", "10.91.0.0/24", "dev"])?;
    Ok(lab)
}

/// A sandbox `box-NAME` with the service `NAME` of `dev`.
fn join(host: &Host, name: &str) -> Result<()> {
    let (sandbox, service) = (format!("box-{name}"), format!("{name}.dev"));
    host.ok(["run", "--name", &sandbox, "--publish-service", &service, "true"]).map(drop)
}

/// The opposite.
fn leave(host: &Host, name: &str) -> Result<()> {
    host.ok(["sandbox", "rm", &format!("box-{name}")]).map(drop)
}

/// Runs a command in a service's sandbox, which must succeed, and gives its stdout.
fn within(host: &Host, name: &str, line: &str) -> Result<String> {
    let sandbox = format!("box-{name}");
    host.ok(["exec", sandbox.as_str(), "--"].into_iter().chain(line.split(' ')))
}

/// The namespace of a service's sandbox.
fn netns(lab: &Lab, host: &Host, name: &str) -> Result<Netns> {
    let text = host.ok(["sandbox", "inspect", &format!("box-{name}")])?;
    let view: serde_json::Value = serde_json::from_str(&text)?;
    let path = view.pointer("/0/netns").and_then(|path| path.as_str()).context("no namespace")?;
    Ok(Netns::open(lab.dir(), path.as_ref()))
}

/// The link-layer address of a service's interface, as the kernel inside shows it.
fn mac(host: &Host, name: &str) -> Result<String> {
    let link = within(host, name, "ip -brief link show dev eth0")?;
    Ok(link.split_whitespace().nth(2).context("no address")?.to_owned())
}

/// The address of a service's interface, without a prefix length.
fn address(host: &Host, name: &str) -> Result<String> {
    let line = within(host, name, "ip -brief -4 address show dev eth0")?;
    let address = line.split_whitespace().nth(2).context("no address")?;
    Ok(address.split('/').next().unwrap_or_default().to_owned())
}
