//! containerd, by `ctr run --cni`: its directories of plugins and of network configurations are fixed, and it says that
//! a container has ended only where it waits for that.

use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::{Containerd, Host, Lab, eventually};

use crate::stage;

on_both_stores! {
    containers_of_containerd_join_and_leave on 2;
}

fn containerd(host: &Host) -> Result<Containerd<'_>> {
    let containerd = Containerd::start(host)?;
    let (bin, conf) = (containerd.plugins(), containerd.configurations());
    let (bin, conf) = (bin.display().to_string(), conf.display().to_string());
    let words = ["cni", "install", "--network", "dev", "--bin-dir", &bin, "--conf-dir", &conf];
    host.ok(words)?;
    Ok(containerd)
}

/// ```text
///   h1: stay ─ dev ─ once :h2
/// ```
fn containers_of_containerd_join_and_leave(lab: &Lab) -> Result<()> {
    let (one, two) = (containerd(lab.host(1))?, containerd(lab.host(2))?);
    one.run_container("stay", &["--detach"], &["sleep", "86400"])?;
    ensure!(stage::names(lab.host(1), "service")? == ["default-stay"]);
    let address =
        stage::field(lab.host(1), &["service", "inspect", "default-stay.dev"], "/0/addresses/0")?;
    let address = address.split('/').next().unwrap_or_default();
    // One that ends while `ctr` waits leaves by itself.
    eventually("the other host reaches it", Duration::from_secs(10), || {
        let said =
            two.run_container("once", &["--rm"], &["ping", "-c", "1", "-W", "1", address])?;
        ensure!(said.contains(" 0% packet loss"), "{said}");
        Ok(())
    })?;
    ensure!(stage::names(lab.host(2), "sandbox")?.is_empty(), "a sandbox is left");
    // Of one that is killed, `ctr` says nothing.
    one.ok(["task", "kill", "--signal", "KILL", "stay"])?;
    eventually("it is noticed", Duration::from_mins(1), || {
        ensure!(stage::names(lab.host(1), "service")?.is_empty(), "a service is left");
        Ok(())
    })
}
