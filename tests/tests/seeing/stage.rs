//! The lab, and commands that go on for as long as they are let.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab, Netns, Options, Process, Signal, Store, Wire, eventually};

/// How long one part may take to know what another did.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Hosts with the network `dev`, and on each of them a service in a sandbox: `a` in `box-a` on the first, `b` in `box-b` on
/// the second.
pub(crate) fn played(hosts: u8, scenario: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    let lab = Lab::start(Options { hosts, store: Store::File, ..Options::default() })?;
    let played = (|| {
        lab.host(1).ok(["network", "create", "--subnet", "10.92.0.0/24", "dev"])?;
        for (number, name) in (1..=hosts).zip(["a", "b"]) {
            join(lab.host(number.into()), name)?;
        }
        if hosts > 1 {
            let ping = "ping -n -c 1 -W 1 b";
            eventually("a reaches b", SOON, || within(lab.host(1), "a", ping))?;
        }
        scenario(&lab)
    })();
    played.map_err(|error: anyhow::Error| lab.explain(error))?;
    lab.end()
}

/// A sandbox `box-NAME` with the service `NAME` of `dev`.
pub(crate) fn join(host: &Host, name: &str) -> Result<()> {
    let (sandbox, service) = (format!("box-{name}"), format!("{name}.dev"));
    host.ok(["run", "--name", &sandbox, "--publish-service", &service, "true"]).map(drop)
}

/// Runs a command in a service's sandbox, which must succeed, and gives its stdout.
pub(crate) fn within(host: &Host, name: &str, line: &str) -> Result<String> {
    let sandbox = format!("box-{name}");
    host.ok(["exec", sandbox.as_str(), "--"].into_iter().chain(line.split(' ')))
}

/// What sends frames as a service's sandbox would.
pub(crate) fn wire(lab: &Lab, host: &Host, name: &str) -> Result<Wire> {
    let text = host.ok(["sandbox", "inspect", &format!("box-{name}")])?;
    let view: Value = serde_json::from_str(&text)?;
    let path = view.pointer("/0/netns").and_then(Value::as_str).context("no namespace")?;
    Wire::new(&Netns::open(lab.dir(), path.as_ref()), "eth0")
}

/// The link-layer address of a service's interface.
pub(crate) fn mac(host: &Host, name: &str) -> Result<[u8; 6]> {
    let link = within(host, name, "ip -brief link show dev eth0")?;
    let text = link.split_whitespace().nth(2).context("no address")?;
    let mac: netctl_common::MacAddr = text.parse()?;
    Ok(mac.0)
}

/// A `netctl` that goes on for as long as it is let.
pub(crate) struct Running(Process);

impl Running {
    /// Starts it; `log` names its output, and `said` is what it says once it sees packets.
    pub(crate) fn start(host: &Host, log: &str, line: &str, said: &str) -> Result<Self> {
        let mut process = host.spawn(log, ["netctl"].into_iter().chain(line.split(' ')))?;
        eventually(&format!("`netctl {line}` has begun"), SOON, || {
            ensure!(process.log().contains(said) && process.alive(), "{}", process.log());
            Ok(())
        })?;
        Ok(Self(process))
    }

    /// `netctl monitor` with these further words.
    pub(crate) fn monitor(host: &Host, log: &str, words: &str) -> Result<Self> {
        Self::start(host, log, format!("monitor {words}").trim(), "REASON OR WAY")
    }

    /// All that it has said.
    pub(crate) fn said(&self) -> String {
        self.0.log()
    }

    /// Waits until it says a line with all these words, and gives that.
    pub(crate) fn says(&self, words: &[&str]) -> Result<String> {
        eventually(&format!("it says {words:?}"), SOON, || {
            let said = self.said();
            let found = said.lines().find(|line| words.iter().all(|word| line.contains(word)));
            found.map(ToOwned::to_owned).with_context(|| said.clone())
        })
    }

    /// Ends it by a signal, and gives all that it has said.
    pub(crate) fn end(mut self, signal: Signal) -> Result<String> {
        self.0.stop(signal, SOON)?;
        Ok(self.said())
    }

    /// Waits for its end by itself, and gives all that it has said.
    pub(crate) fn ends(mut self) -> Result<String> {
        self.0.wait(SOON)?;
        Ok(self.said())
    }
}
