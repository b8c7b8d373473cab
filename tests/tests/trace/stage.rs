//! The lab, the question, and the ping that tells the truth.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use testbed::{Families, Host, Lab, Options, Store, eventually};

/// Within which a change is followed.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What `netctl trace` says.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) hops: Vec<Hop>,
    pub(crate) arrives: bool,
    pub(crate) back: Vec<Hop>,
    pub(crate) returns: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Hop {
    pub(crate) at: String,
    pub(crate) verdict: String,
    pub(crate) reason: Option<String>,
    pub(crate) what: String,
    pub(crate) mend: Option<String>,
}

/// Two hosts: `a` and `c` of network dev on the first, `b` on the second.
pub(crate) fn lab(store: Store) -> Result<Lab> {
    let lab = Lab::start(Options { store, families: Families::Both, ..Options::default() })?;
    let create = "network create --subnet 10.77.0.0/24 --subnet fd77::/64 dev";
    lab.host(1).ok(create.split(' '))?;
    for (host, service) in [(1, "a.dev"), (1, "c.dev"), (2, "b.dev")] {
        join(lab.host(host), service, &[])?;
    }
    Ok(lab)
}

/// A sandbox `box-NAME` with the service `NAME.NETWORK`.
pub(crate) fn join(host: &Host, service: &str, options: &[&str]) -> Result<()> {
    let sandbox = format!("box-{}", service.split('.').next().unwrap_or_default());
    let words = ["run", "--name", &sandbox, "--publish-service", service];
    host.ok(words.iter().chain(options).chain(&["true"])).map(drop)
}

/// Has a scenario played, and its lab end.
pub(crate) fn played(lab: Lab, scenario: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    scenario(&lab).map_err(|error| lab.explain(error))?;
    lab.end()
}

/// What is said of a packet; the exit code has to say the same.
pub(crate) fn trace(host: &Host, question: &str) -> Result<Report> {
    let words = ["--format", "json", "trace"].into_iter().chain(question.split(' '));
    let output = host.netctl(words)?;
    let report: Report = serde_json::from_str(&output.stdout)
        .with_context(|| format!("{question}: {}{}", output.stdout, output.stderr))?;
    let well = report.arrives && report.returns;
    ensure!(output.code() == i32::from(!well), "{question}: {output:?}");
    for (hops, passes) in [(&report.hops, report.arrives), (&report.back, report.returns)] {
        let stops = hops.iter().filter(|hop| hop.verdict == "stop").count();
        ensure!(stops == usize::from(!passes), "{question}: {report:#?}");
    }
    Ok(report)
}

/// Whether a ping from `box-NAME` arrives: by IPv4, as a name is followed, unless it says otherwise.
pub(crate) fn pings(host: &Host, name: &str, ping: &str) -> Result<bool> {
    let family = if ping.contains("-6 ") { "" } else { "-4 " };
    let line = format!("exec box-{name} -- ping -n -c 2 -i 0.2 -W 1 {family}{ping}");
    Ok(host.netctl(line.split(' '))?.success())
}

/// It would arrive, by hops that each say this, and a ping does.
pub(crate) fn arrives(
    host: &Host,
    question: &str,
    ping: &str,
    hops: &[(&str, &str)],
) -> Result<()> {
    let report = trace(host, question)?;
    ensure!(report.arrives && report.returns, "{question}: {report:#?}");
    meets(&report.hops, hops).with_context(|| format!("{question}: {report:#?}"))?;
    let from = question.split([' ', '.']).next().unwrap_or_default();
    eventually(&format!("a ping of {ping} arrives"), SOON, || {
        ensure!(pings(host, from, ping)?, "it does not, and the trace says {report:#?}");
        Ok(())
    })
}

/// There is a hop at each of these places that says this.
pub(crate) fn meets(all: &[Hop], hops: &[(&str, &str)]) -> Result<()> {
    for (at, said) in hops {
        let hop = all.iter().find(|hop| hop.at.starts_with(at));
        let hop = hop.with_context(|| format!("no {at}"))?;
        let reason = hop.reason.as_deref().unwrap_or_default();
        ensure!(hop.what.contains(said) || reason == *said, "{hop:?}");
    }
    Ok(())
}

/// It would stop there and for this reason, and a ping does not arrive; what is said of it.
pub(crate) fn stops(
    host: &Host,
    question: &str,
    ping: &str,
    at: &str,
    reason: &str,
) -> Result<Hop> {
    let mut report = trace(host, question)?;
    let said = format!("{question}: {report:#?}");
    let last = report.hops.pop().with_context(|| said.clone())?;
    ensure!(last.verdict == "stop" && last.at.starts_with(at), "{said}");
    ensure!(last.reason.as_deref() == Some(reason), "{said}");
    let from = question.split([' ', '.']).next().unwrap_or_default();
    ensure!(!pings(host, from, ping)?, "a ping arrives: {said}");
    Ok(last)
}
