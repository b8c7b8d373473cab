//! Networks and services by name, by full id and by short id.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab};

use crate::stage::{field, json, names, refused};

on_both_stores! {
    created_listed_inspected_removed on 1;
    ambiguous_short_ids_are_refused on 1;
}

/// ```text
///   h1: networks test and multihost, service svc without a sandbox
/// ```
fn created_listed_inspected_removed(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    let id = host.ok(["network", "create", "-d", "overlay", "--subnet", "10.3.0.0/24", "test"])?;
    let id = id.trim();
    ensure!(id.len() > 12, "not a full id: {id}");
    let table = host.ok(["network", "ls"])?;
    let row: Vec<&str> = table.lines().nth(1).context("no row")?.split_whitespace().collect();
    ensure!(row[..4] == [&id[..12], "test", "overlay", "10.3.0.0/24"], "{table}");
    ensure!(host.ok(["network", "ls", "-q"])?.trim() == &id[..12]);
    ensure!(host.ok(["network", "ls", "-q", "--no-trunc"])?.trim() == id);
    for reference in ["test", id, &id[..12], &id[..3]] {
        ensure!(field(host, &["network", "inspect", reference], "/0/id")? == id, "{reference}");
    }
    ensure!(field(host, &["network", "inspect", "test"], "/0/subnets/0/gateway")? == "10.3.0.1");

    // By its full id, by its short id, by its name.
    for (network, cut) in [("full", usize::MAX), ("short", 12), ("named", 0)] {
        let id = host.ok(["network", "create", network])?;
        let id = id.trim();
        let reference = if cut == 0 { network } else { &id[..cut.min(id.len())] };
        host.ok(["network", "rm", reference])?;
        ensure!(names(host, "network")? == ["test"], "{network} is still there");
        refused(host, &["network", "inspect", reference], &["there is no network", reference])?;
    }
    services(host)
}

fn services(host: &Host) -> Result<()> {
    let network = host.ok(["network", "create", "multihost"])?;
    let network = &network.trim()[..12];
    for (service, cut) in [("full", usize::MAX), ("short", 12), ("named", 0)] {
        let id = host.ok(["service", "publish", &format!("{service}.multihost")])?;
        let id = id.trim();
        let table = host.ok(["service", "ls"])?;
        let row: Vec<&str> = table.lines().nth(1).context("no row")?.split_whitespace().collect();
        ensure!(row[..3] == [&id[..12], service, "multihost"], "{table}");
        let name = if cut == 0 { service } else { &id[..cut.min(id.len())] };
        for network in ["multihost", network] {
            let reference = format!("{name}.{network}");
            ensure!(field(host, &["service", "inspect", &reference], "/0/id")? == id);
        }
        let inspected = json(host, &["network", "inspect", "multihost"])?;
        ensure!(inspected.pointer("/0/services/0/name").is_some_and(|n| n == service));
        host.ok(["service", "unpublish", &format!("{name}.multihost")])?;
        ensure!(names(host, "service")?.is_empty(), "{service} is still there");
        let reference = format!("{name}.multihost");
        refused(host, &["service", "unpublish", &reference], &["there is no service", name])?;
    }
    host.ok(["sandbox", "create", "box"])?;
    host.ok(["service", "publish", "svc.multihost"])?;
    host.ok(["service", "attach", "box", "svc.multihost"])?;
    let sandbox = field(host, &["sandbox", "inspect", "box"], "/0/id")?;
    let table = host.ok(["service", "ls"])?;
    ensure!(table.contains(&sandbox[..12]) && table.contains("h1"), "{table}");
    Ok(())
}

/// ```text
///   h1: networks n0, n1, … of driver bridge, until the ids of two begin alike; services likewise
/// ```
///
/// Of 4096 beginnings of three digits two are the same after some 80 networks, and surely after 600.
fn ambiguous_short_ids_are_refused(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    let create = |name: &str| host.ok(["network", "create", "-d", "bridge", name]);
    let (one, two) = alike("n", create)?;
    let short = &one[..3];
    refused(host, &["network", "inspect", short], &[short, "ambiguous"])?;
    refused(host, &["network", "rm", short], &[short, "ambiguous"])?;
    let longer =
        (4..one.len()).find(|&length| one[..length] != two[..length]).context("they differ")?;
    ensure!(field(host, &["network", "inspect", &one[..longer]], "/0/id")? == one);

    host.ok(["network", "create", "-d", "null", "services"])?;
    let publish = |name: &str| host.ok(["service", "publish", &format!("{name}.services")]);
    let (one, two) = alike("s", publish)?;
    let short = format!("{}.services", &one[..3]);
    refused(host, &["service", "unpublish", &short], &[&one[..3], "ambiguous"])?;
    for id in [one, two] {
        host.ok(["service", "unpublish", &format!("{id}.services")])?;
    }
    Ok(())
}

/// Makes objects until the ids of two begin with the same three digits.
fn alike(prefix: &str, make: impl Fn(&str) -> Result<String>) -> Result<(String, String)> {
    let mut made = BTreeMap::new();
    for number in 0..600 {
        let id = make(&format!("{prefix}{number}"))?.trim().to_owned();
        if let Some(other) = made.insert(id[..3].to_owned(), id.clone()) {
            return Ok((id, other));
        }
    }
    anyhow::bail!("600 ids begin with different digits")
}
