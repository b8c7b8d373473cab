//! The lab, and what is done with each fault.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use testbed::{Host, Lab, Options, Output, Store, eventually};

/// Within which a fault is seen, or is seen to be gone.
const SOON: Duration = Duration::from_secs(15);

/// What `netctl doctor` says of one fault.
#[derive(Debug, Deserialize)]
pub(crate) struct Finding {
    pub(crate) id: String,
    pub(crate) object: String,
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) on: String,
    pub(crate) mend: String,
}

#[derive(Debug, Deserialize)]
struct Report {
    host: String,
    families: Vec<Family>,
}

#[derive(Debug, Deserialize)]
struct Family {
    findings: Vec<Finding>,
}

/// Two hosts with a service each.
pub(crate) fn lab(store: Store) -> Result<Lab> {
    let lab = Lab::start(Options { store, ..Options::default() })?;
    lab.host(1).ok(["network", "create", "--subnet", "10.77.0.0/24", "dev"])?;
    for (host, name, service) in [(1, "box1", "a.dev"), (2, "box2", "b.dev")] {
        lab.host(host).ok(["run", "--name", name, "--publish-service", service, "true"])?;
    }
    lab.hosts().iter().try_for_each(content)?;
    Ok(lab)
}

/// All that is found on a host, by a command that ends as its output says.
pub(crate) fn findings(host: &Host) -> Result<Vec<Finding>> {
    read(host, &host.netctl(["--format", "json", "doctor"])?)
}

/// Reads what the command has printed.
pub(crate) fn read(host: &Host, output: &Output) -> Result<Vec<Finding>> {
    let report: Report = serde_json::from_str(&output.stdout)
        .with_context(|| format!("{}{}", output.stdout, output.stderr))?;
    ensure!(report.host == host.name(), "it says that this is {}", report.host);
    let found: Vec<Finding> = report.families.into_iter().flat_map(|each| each.findings).collect();
    ensure!(output.code() == i32::from(!found.is_empty()), "exit {} for {found:#?}", output.code());
    Ok(found)
}

/// Waits until the fault is found; what it says of it.
pub(crate) fn found(host: &Host, id: &str, object: &str) -> Result<Finding> {
    eventually(&format!("{id} of {object} is found on {}", host.name()), SOON, || {
        let all = findings(host)?;
        let said = format!("{all:#?}");
        let found = all.into_iter().find(|found| found.id == id && found.object == object);
        let found = found.context(said)?;
        ensure!(!found.what.is_empty() && !found.why.is_empty() && !found.mend.is_empty());
        Ok(found)
    })
}

/// Waits until nothing is found any more.
pub(crate) fn content(host: &Host) -> Result<()> {
    eventually(&format!("nothing is wrong with {}", host.name()), SOON, || {
        let all = findings(host)?;
        ensure!(all.is_empty(), "{all:#?}");
        Ok(())
    })
}

/// Plants a fault, has it found, does what is said to mend it, and sees that nothing is wrong any more.
pub(crate) fn mends(
    host: &Host,
    plant: impl FnOnce() -> Result<()>,
    id: &str,
    object: &str,
    mend: &str,
) -> Result<()> {
    plant().with_context(|| format!("planting {id}"))?;
    let found = found(host, id, object)?;
    ensure!(found.mend.starts_with(mend), "{id} is to be mended by {:?}", found.mend);
    ensure!(found.on == host.name(), "{id} is to be mended on {}", found.on);
    host.run(["sh", "-c", &found.mend])?.ok().with_context(|| format!("mending {id}"))?;
    content(host).with_context(|| format!("after {id} was mended"))
}

/// Plants a fault, has it found, takes it back, and sees that nothing is wrong any more. What mends it is for people to
/// do, or for what runs the daemon.
pub(crate) fn names(
    host: &Host,
    plant: impl FnOnce() -> Result<()>,
    id: &str,
    object: &str,
    mend: &str,
    undo: impl FnOnce(&Finding) -> Result<()>,
) -> Result<()> {
    plant().with_context(|| format!("planting {id}"))?;
    let found = found(host, id, object)?;
    ensure!(found.mend.starts_with(mend), "{id} is to be mended by {:?}", found.mend);
    undo(&found).with_context(|| format!("undoing {id}"))?;
    content(host).with_context(|| format!("after {id} was undone"))
}

/// Runs a line of shell on a host, which must succeed.
pub(crate) fn shell(host: &Host, line: &str) -> Result<String> {
    host.run(["sh", "-c", line])?.ok()
}
