//! Somebody takes away what is pinned, or the place for it.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use netctl::dataplane::{Config, Dataplane, Desired, Sweep, Touched};
use testbed::DEADLINE;

use crate::host::{Host, running, stopped};

const DEVICES: [&str; 4] = ["underlay", "vx", "port0", "port1"];

#[test]
fn a_port_without_its_pin_is_not_taken_for_anothers() {
    let host = Host::new();
    let desired = host.desired();
    let port0 = host.index("port0");
    host.within(async || {
        let dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(desired.clone(), Sweep::Remove).await?;
        fs::remove_file(host.link(&format!("port-{port0}")))?;
        let touched = Touched { ports: [port0].into(), ..Touched::default() };
        let mut part = Desired::default();
        part.extend_with(&desired, &touched);
        let nothing = dataplane.apply_part(part, touched).await?;
        ensure!(nothing.failed.is_empty() && nothing.attached.is_empty(), "{nothing:?}");
        ensure!(running("port0")? == 1);
        Ok(dataplane.shutdown().await?)
    });
    assert!(host.link(&format!("port-{port0}")).exists(), "it is pinned at the latest at the end");
}

#[test]
fn what_cannot_be_pinned_again_is_attached_when_it_can() {
    let host = Host::new();
    let desired = host.desired();
    let links = host.pins().join("links");
    let elsewhere = links.display().to_string();
    host.within(async || {
        let dataplane = Dataplane::start(Config { filter: true, ..host.config() }).await?;
        dataplane.apply(desired.clone(), Sweep::Remove).await?;
        ensure!(dataplane.unfiltered().await?.is_none());
        let before = host.numbers().links.into_keys();
        fs::remove_dir_all(&links)?;
        fs::create_dir(&links)?;
        // Nothing of bpf(2) can be pinned there.
        testbed::output_of("mount", ["-t", "tmpfs", "none", &elsewhere])?.ok()?;
        dataplane.apply_new(desired.clone(), Sweep::Remove).await?;
        for device in DEVICES {
            stopped(device).await?;
        }
        testbed::output_of("umount", [&elsewhere])?.ok()?;
        dataplane.apply_new(desired.clone(), Sweep::Remove).await?;
        for device in DEVICES {
            ensure!(running(device)? == 1, "{device} runs {} programs", running(device)?);
        }
        filtered(&dataplane, &desired).await?;
        ensure!(before.eq(host.numbers().links.into_keys()), "other pins than before");
        Ok(dataplane.shutdown().await?)
    });
}

#[test]
fn the_filter_that_went_with_its_pin_is_had_again() {
    let host = Host::new();
    let desired = host.desired();
    let pin = host.link(&format!("filter-{}", host.index("underlay")));
    host.within(async || {
        let dataplane = Dataplane::start(Config { filter: true, ..host.config() }).await?;
        for _ in 0..20 {
            fs::remove_file(&pin)?;
            dataplane.apply_new(desired.clone(), Sweep::Remove).await?;
            filtered(&dataplane, &desired).await?;
            ensure!(pin.exists(), "it runs, and has no pin");
        }
        Ok(dataplane.shutdown().await?)
    });
}

/// Waits until the underlay has its filter: the link that went holds the device for a moment.
async fn filtered(dataplane: &Dataplane, desired: &Desired) -> Result<()> {
    let end = Instant::now() + DEADLINE;
    while let Some(why) = dataplane.unfiltered().await? {
        ensure!(Instant::now() < end, "{why}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        dataplane.apply_new(desired.clone(), Sweep::Remove).await?;
    }
    Ok(())
}
