//! What the data plane leaves when it is told to go.

use std::{fs, thread, time::Duration};

use anyhow::ensure;
use netctl::dataplane::{self, Dataplane, Sweep};

use crate::host::{Host, stopped};

#[test]
fn removal_leaves_nothing() {
    let host = Host::new();
    host.within(async || {
        dataplane::remove(&host.bpf).await?;
        let dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(host.desired(), Sweep::Remove).await?;
        dataplane.shutdown().await?;
        // What was there a moment ago is in nobody's way.
        dataplane::remove(&host.bpf).await?;
        Dataplane::start(host.config()).await?.shutdown().await?;
        dataplane::remove(&host.bpf).await?;
        for ifname in ["underlay", "vx", "port0", "port1"] {
            stopped(ifname).await?;
        }
        Ok(())
    });
    assert!(!host.bpf.exists());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    assert!(!mounts.contains(&host.bpf.display().to_string()));
}

/// As a process that another thread is just starting has, until it runs its program.
#[test]
fn a_file_that_is_open_for_a_moment_is_waited_for() {
    let host = Host::new();
    host.within(async || {
        Dataplane::start(host.config()).await?.shutdown().await?;
        let open = fs::File::open(&host.bpf)?;
        let closing = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(open);
        });
        dataplane::remove(&host.bpf).await?;
        ensure!(closing.join().is_ok());
        Ok(())
    });
    assert!(!host.bpf.exists());
}
