//! What one host does, all hosts see at once; what one host has, no other can take without being told to.

use anyhow::{Result, ensure};
use testbed::{Host, Lab};

use crate::{
    container::{Container, all_pairs},
    stage::{names, refused},
};

on_both_stores! {
    seen_on_all_hosts_at_once on 3;
    attached_services_are_protected on 3;
}

/// ```text
///   h1, h2, h3: each makes and removes what the others list, without a pause
/// ```
fn seen_on_all_hosts_at_once(lab: &Lab) -> Result<()> {
    let (second, third) = (lab.host(2), lab.host(3));
    for maker in lab.hosts() {
        let name = format!("net-{}", maker.name());
        maker.ok(["network", "create", &name])?;
        listed_by_all(lab, "network", &[&name])?;
        refused(third, &["network", "create", &name], &[&name, "already"])?;

        let service = format!("svc-{}.{name}", maker.name());
        maker.ok(["service", "publish", &service])?;
        listed_by_all(lab, "service", &[&format!("svc-{}", maker.name())])?;
        refused(second, &["service", "publish", &service], &["already"])?;

        second.ok(["service", "unpublish", &service])?;
        listed_by_all(lab, "service", &[])?;
        second.ok(["network", "rm", &name])?;
        listed_by_all(lab, "network", &[])?;
        refused(lab.host(1), &["network", "inspect", &name], &["there is no network", &name])?;
    }
    Ok(())
}

fn listed_by_all(lab: &Lab, noun: &str, expected: &[&str]) -> Result<()> {
    for host in lab.hosts() {
        let listed = names(host, noun)?;
        ensure!(
            listed == expected,
            "{} lists the {noun}s {listed:?}, not {expected:?}",
            host.name()
        );
    }
    Ok(())
}

/// ```text
///   h1, h2, h3: a sandbox each, and service svc of network dev, which goes from one to the next
/// ```
fn attached_services_are_protected(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "dev"])?;
    lab.host(1).ok(["service", "publish", "svc.dev"])?;
    let witnesses: Vec<Container<'_>> = lab
        .hosts()
        .iter()
        .map(|host| Container::new(host, &format!("on-{}", host.name()), "dev", &[]))
        .collect::<Result<_>>()?;
    for host in lab.hosts() {
        host.ok(["sandbox", "create", "box"])?;
    }
    for owner in lab.hosts() {
        owner.ok(["service", "attach", "box", "svc.dev"])?;
        let table = owner.ok(["service", "ls"])?;
        for other in lab.hosts() {
            protected(other, owner)?;
            ensure!(other.ok(["service", "ls"])? == table, "a refusal changed something");
        }
        owner.ok(["service", "detach", "box", "svc.dev"])?;
    }
    lab.host(3).ok(["service", "unpublish", "svc.dev"])?;
    all_pairs(&witnesses.iter().collect::<Vec<_>>())?;
    for witness in &witnesses {
        witness.detach()?;
        lab.host(2).ok(["service", "unpublish", &witness.reference()])?;
    }
    lab.host(2).ok(["network", "rm", "dev"])?;
    listed_by_all(lab, "network", &[])
}

/// What a host must not do to the service that `owner` has.
fn protected(host: &Host, owner: &Host) -> Result<()> {
    let attach = ["service", "attach", "box", "svc.dev"];
    if host.name() == owner.name() {
        refused(host, &attach, &["svc.dev", "already"])?;
    } else {
        refused(host, &attach, &["svc.dev", "attached", owner.name()])?;
        refused(host, &["service", "detach", "box", "svc.dev"], &["svc.dev", "not attached"])?;
    }
    refused(host, &["service", "unpublish", "svc.dev"], &["svc.dev", "attached", owner.name()])?;
    refused(host, &["network", "rm", "dev"], &["dev", "svc"])
}
