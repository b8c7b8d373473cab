//! Daemons that die between two steps of a call, each pair of steps in turn. An engine calls again while nobody answers, or
//! gives up and takes back what it did before: either way all is well, and in the end nothing is left.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testbed::{Host, Lab, Store, eventually};

use crate::{
    container::key,
    docker::{Docker, Pool, create},
    lab, left,
};

/// How many steps a call may have: far more than any has.
const LIMIT: usize = 500;
/// How many steps lie between those at which it dies for an engine that gives up.
const SELDOM: usize = 4;
const CIDR: &str = "10.77.0.0/24";

/// What an engine does one after another, each as far as the calls before it were made.
const CALLS: [&str; 5] = ["CreateNetwork", "CreateEndpoint", "Join", "Leave", "DeleteEndpoint"];

/// One life of a network with one endpoint.
struct Life {
    docker: Docker,
    network: String,
    endpoint: String,
    pool: Pool,
    address: String,
}

impl Life {
    /// Begins one, up to but without `call`.
    fn until(host: &Host, call: &str) -> Result<Self> {
        let docker = Docker::of(host);
        let pool = docker.pool(CIDR, &json!({}))?;
        let (network, endpoint) = (docker.id(), docker.id());
        let mut life = Self { docker, network, endpoint, pool, address: String::new() };
        // A network is removed with what is in it.
        let end = if call == "DeleteNetwork" { "Leave" } else { call };
        for before in CALLS.iter().take_while(|before| **before != end) {
            if *before == "CreateEndpoint" {
                life.address = life.docker.address(&life.pool, "")?;
            }
            life.docker.ask(&format!("NetworkDriver.{before}"), &life.request(before))?;
        }
        if call == "CreateEndpoint" {
            life.address = life.docker.address(&life.pool, "")?;
        }
        Ok(life)
    }

    fn request(&self, call: &str) -> Value {
        if call == "CreateNetwork" {
            return create(&self.network, &[&self.pool], &json!({}));
        }
        json!({
            "NetworkID": self.network, "EndpointID": self.endpoint, "SandboxKey": key("c1"),
            "Interface": {"Address": self.address, "AddressIPv6": "", "MacAddress": ""},
            "Options": {},
        })
    }

    /// What an engine does when a call fails, and when its user then removes all of it. Nothing is said twice.
    fn end(&self, call: &str) -> Result<()> {
        let joined = ["Leave", "DeleteNetwork"].contains(&call);
        for (last, needed) in [("Leave", joined), ("DeleteEndpoint", call != "DeleteEndpoint")] {
            if needed && call != last {
                self.docker.ask(&format!("NetworkDriver.{last}"), &self.request(last))?;
            }
        }
        if !self.address.is_empty() {
            let address = self.address.split('/').next().unwrap_or_default();
            let of = json!({"PoolID": self.pool.id, "Address": address});
            self.docker.ask("IpamDriver.ReleaseAddress", &of)?;
        }
        self.docker.remove(&self.network, &[&self.pool])
    }
}

/// Makes the call again and again, and has the daemon die one `stride` of steps later each time, until it gets through.
/// Returns how often it died.
fn dies_at_each(
    lab: &Lab,
    before: &left::Left,
    stride: usize,
    (call, again): (&str, bool),
) -> Result<usize> {
    let host = lab.host(1);
    for (deaths, step) in (0..LIMIT).step_by(stride).enumerate() {
        let life = Life::until(host, call)?;
        let method = format!("NetworkDriver.{call}");
        let ask = || life.docker.ask(&method, &life.request(call));
        let (answered, died) = lab.dying_at(host, step, ask)?;
        let context = || format!("{call}, died at step {step}, {died:?}, called again: {again}");
        if died.is_none() {
            check(host, &life, call, &answered?).with_context(context)?;
        } else if again {
            let answer = ask().with_context(context)?;
            check(host, &life, call, &answer).with_context(context)?;
        }
        life.end(call).with_context(context)?;
        eventually("nothing is left", Duration::from_secs(10), || {
            let now = left::of(lab)?;
            ensure!(now == *before, "{now:#?}");
            Ok(())
        })
        .with_context(context)?;
        if died.is_none() {
            return Ok(deaths);
        }
    }
    bail!("{call} has no end")
}

/// Whether a call that was made again did what it says.
fn check(host: &Host, life: &Life, call: &str, answer: &Value) -> Result<()> {
    let link =
        |device: &str| -> Result<bool> { Ok(host.run(["ip", "link", "show", device])?.success()) };
    let port = format!("nc{}", &life.endpoint[..12]);
    match call {
        "CreateEndpoint" => ensure!(answer["Interface"]["MacAddress"].is_string(), "{answer}"),
        "Join" => {
            let device = answer["InterfaceName"]["SrcName"].as_str().context("SrcName")?;
            ensure!(link(device)? && link(&port)?, "{device} is not there");
        }
        "Leave" => ensure!(!link(&port)?, "{port} is there"),
        _ => {}
    }
    Ok(())
}

fn at_each_step(store: Store, stride: usize, table: &[(&str, usize)]) -> Result<()> {
    let lab = lab(1, store)?;
    let before = left::of(&lab)?;
    for &(call, least) in table {
        // What an engine does not say again of a whole network only its own list tells.
        let whole = ["CreateNetwork", "DeleteNetwork"].contains(&call);
        for again in [true, false] {
            if !again && whole {
                continue;
            }
            // Where it is not made again, the calls that follow are other calls, which have their own turn.
            let stride = if again { stride } else { stride.max(SELDOM) };
            let deaths = dies_at_each(&lab, &before, stride, (call, again))?;
            ensure!(deaths * stride >= least, "{call} has {deaths} steps: not all are counted");
        }
    }
    lab.end()
}

const NETWORKS: &[(&str, usize)] = &[("CreateNetwork", 2), ("DeleteNetwork", 10)];
const ENDPOINTS: &[(&str, usize)] = &[("CreateEndpoint", 2), ("DeleteEndpoint", 2)];
const JOINED: &[(&str, usize)] = &[("Join", 15)];
const LEFT: &[(&str, usize)] = &[("Leave", 8)];

#[test]
fn a_daemon_may_die_at_any_step_of_a_network_with_a_file() -> Result<()> {
    at_each_step(Store::File, 1, NETWORKS)
}

#[test]
fn a_daemon_may_die_at_any_step_of_an_endpoint_with_a_file() -> Result<()> {
    at_each_step(Store::File, 1, ENDPOINTS)
}

#[test]
fn a_daemon_may_die_at_any_step_of_joining_with_a_file() -> Result<()> {
    at_each_step(Store::File, 1, JOINED)
}

#[test]
fn a_daemon_may_die_at_any_step_of_leaving_with_a_file() -> Result<()> {
    at_each_step(Store::File, 1, LEFT)
}

#[test]
fn a_daemon_may_die_at_any_step_with_etcd() -> Result<()> {
    [NETWORKS, ENDPOINTS, JOINED, LEFT]
        .into_iter()
        .try_for_each(|table| at_each_step(Store::Etcd, 7, table))
}
