//! What an engine could not say, and does not say again: netctl reads it from the engine's own list.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{EngineOptions, Signal, eventually};

use crate::stage::{Stage, address, create, play, reaches, run};

/// An engine waits 15 s for a plugin that is away, for each of several calls.
const PATIENCE: Duration = Duration::from_mins(3);
/// Two looks at the engine's list, and what is young is left alone.
const NOTICED: Duration = Duration::from_secs(90);

fn services(stage: &Stage) -> Result<Vec<String>> {
    let text = stage.host(2).ok(["service", "ls", "--format", "json"])?;
    let services: Vec<Value> = serde_json::from_str(&text)?;
    Ok(services.iter().map(|service| service["owner"]["host"].to_string()).collect())
}

fn keys(stage: &Stage, prefix: &str) -> Result<String> {
    let etcd = stage.lab.etcd().context("no etcd")?;
    let prefix = format!("/netctl/v1/docker/{prefix}");
    etcd.ctl(["get", "--prefix", "--keys-only", prefix.as_str()])
}

/// ```text
///   h1: one ─┐                     one and the network go while no daemon is on h1
///   h2: two ─┴─ network dev        two and the network stay
/// ```
#[test]
fn what_an_engine_removed_unheard_is_removed() -> Result<()> {
    play(2, &EngineOptions::default(), |stage| {
        stage.network("--subnet 10.5.0.0/24 dev")?;
        let (one, two) = (stage.engine(1), stage.engine(2));
        run(one, "one", "--network dev")?;
        run(two, "two", "--network dev")?;
        let place = address(one, "one", "dev")?;
        reaches(two, "two", &place)?;
        stage.host(1).stop_daemon(Signal::SIGKILL)?;
        one.docker_within(PATIENCE, ["rm", "-f", "one"])?.ok()?;
        one.docker_within(PATIENCE, ["network", "rm", "dev"])?.ok()?;
        ensure!(services(stage)? == ["\"h1\"", "\"h2\""], "{:?}", services(stage)?);
        stage.lab.start_daemon(stage.host(1))?;
        eventually("it is noticed", NOTICED, || {
            let left = services(stage)?;
            ensure!(left == ["\"h2\""], "{left:?}");
            for prefix in ["networks/host/h1/", "endpoints/h1/", "pools/host/h1/"] {
                let left = keys(stage, prefix)?;
                ensure!(left.trim().is_empty(), "{left}");
            }
            Ok(())
        })?;
        // What the other engine has was looked at as often.
        ensure!(!keys(stage, "networks/host/h2/")?.trim().is_empty());
        create(one, "--subnet 10.5.0.0/24 again")?;
        run(one, "one", &format!("--network again --ip {place}"))?;
        reaches(two, "two", &place)
    })
}
