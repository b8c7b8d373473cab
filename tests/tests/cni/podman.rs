//! podman, by a network configuration that `netctl cni install` writes.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab, Output, Podman, Signal, eventually};

use crate::stage;

on_both_stores! {
    containers_of_two_hosts_reach_each_other on 2;
}

/// How long another host may take to know what one did.
const SOON: std::time::Duration = std::time::Duration::from_secs(5);

/// Starts podman on a host, with the network `dev` as `netctl cni install` writes it.
fn podman<'a>(host: &'a Host, subnet: &str) -> Result<Podman<'a>> {
    let podman = Podman::start(host)?;
    install(&podman, "dev", subnet)?;
    Ok(podman)
}

fn install(podman: &Podman<'_>, network: &str, subnet: &str) -> Result<()> {
    let (bin, conf) = (podman.plugins(), podman.configurations());
    let words = ["cni", "install", "--network", network, "--subnet", subnet, "--bin-dir"];
    let words = words.iter().map(|word| (*word).to_owned());
    let dirs = [bin.display().to_string(), "--conf-dir".to_owned(), conf.display().to_string()];
    podman.host().ok(words.chain(dirs)).map(drop)
}

fn ping(podman: &Podman<'_>, from: &str, to: &str) -> Result<()> {
    let what = format!("{from} on {} reaches {to}", podman.host().name());
    eventually(&what, SOON, || podman.exec(from, &format!("ping -c 1 -W 1 {to}")).map(drop))
}

/// ```text
///   h1: one ─┐                 ┌─ two :h2
///            ├─ dev 10.80.0.0/24 ─┤
///   external ── h2:8080 ───────┘
/// ```
fn containers_of_two_hosts_reach_each_other(lab: &Lab) -> Result<()> {
    let (one, two) = (podman(lab.host(1), "10.80.0.0/24")?, podman(lab.host(2), "10.80.0.0/24")?);
    one.start_container("one", &["--network", "dev"])?;
    let options = [
        "--network",
        "dev",
        "--ip",
        "10.80.0.77",
        "--mac-address",
        "02:aa:bb:cc:dd:ee",
        "--network-alias",
        "front",
        "--publish",
        "8080:80",
    ];
    two.start_container("two", &options)?;
    for name in ["two", "two.dev", "front", "10.80.0.77"] {
        ping(&one, "one", name)?;
    }
    ping(&two, "two", "one")?;
    let link = two.exec("two", "ip link show dev eth0")?;
    ensure!(link.contains("02:aa:bb:cc:dd:ee"), "{link}");
    Ok(())
}
