//! What is removed is gone: nothing of it is left in the store, in the kernel, on disk, or in the daemon's memory.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Options, Store, eventually};

use crate::state;

fn removed_is_gone(store: Store) -> Result<()> {
    let lab = Lab::start(Options { store, ..Options::default() })?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    // The directories that the first sandbox needs stay.
    h1.ok(["run", "--rm", "true"])?;
    h2.ok(["run", "--rm", "true"])?;
    let before = (state::dump(&lab)?, state::machine(h1)?, state::machine(h2)?);
    for host in [h1, h2] {
        let name = host.name();
        for words in [
            format!(
                "run --name box --publish-service {name}.dev --publish-service {name}.ops.null true"
            ),
            format!("service publish {name}x.dev"),
            format!("service attach box {name}x.dev"),
            format!("run --name other --publish-service {name}y.dev true"),
        ] {
            host.ok(words.split(' '))?;
        }
    }
    eventually("all agrees", Duration::from_secs(5), || state::check(&lab))?;
    for host in [h1, h2] {
        let name = host.name();
        host.ok(["sandbox", "rm", "box"])?;
        host.ok(["service", "unpublish", &format!("{name}x.dev")])?;
        host.ok(["service", "unpublish", "--force", &format!("{name}y.dev")])?;
        host.ok(["sandbox", "rm", "other"])?;
    }
    h2.ok(["network", "rm", "dev", "ops"])?;
    // A network of driver null is each host's own.
    h1.ok(["network", "rm", "ops"])?;
    eventually("nothing is left", Duration::from_secs(5), || {
        let after = (state::dump(&lab)?, state::machine(h1)?, state::machine(h2)?);
        ensure!(before == after, "before: {before:#?}\nafter: {after:#?}");
        Ok(())
    })?;
    lab.end()
}

#[test]
fn removed_is_gone_with_a_file() -> Result<()> {
    removed_is_gone(Store::File)
}

#[test]
fn removed_is_gone_with_etcd() -> Result<()> {
    removed_is_gone(Store::Etcd)
}

/// Open descriptors, and resident memory in KiB.
fn usage(host: &Host) -> Result<(usize, u64)> {
    let proc = format!("/proc/{}", host.daemon_pid().context("the daemon runs")?);
    let status = fs::read_to_string(format!("{proc}/status"))?;
    let rss = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
        .with_context(|| format!("no VmRSS in {status}"))?;
    Ok((fs::read_dir(format!("{proc}/fd"))?.count(), rss))
}

#[test]
fn endpoints_that_come_and_go_cost_nothing_for_long() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    let cycle = |count: u32| -> Result<()> {
        for number in 0..count {
            let service = format!("s{number}.net{}", number % 2);
            host.ok(["run", "--rm", "--publish-service", &service, "true"])?;
        }
        Ok(())
    };
    cycle(10)?;
    let before = (state::machine(host)?, state::dump(&lab)?);
    let (files, memory) = usage(host)?;
    cycle(100)?;
    eventually("all is as before", Duration::from_secs(5), || {
        let after = (state::machine(host)?, state::dump(&lab)?);
        ensure!(before == after, "{before:#?}\n{after:#?}");
        let (files_now, memory_now) = usage(host)?;
        ensure!(files_now <= files + 4, "{files} descriptors became {files_now}");
        ensure!(memory_now < memory + 8192, "{memory} KiB became {memory_now} KiB");
        Ok(())
    })?;
    lab.end()
}

#[test]
fn an_address_given_again_is_its_new_holders() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["network", "create", "--subnet", "10.84.0.0/24", "dev"])?;
    h1.ok(["run", "--name", "box", "--publish-service", "a.dev", "true"])?;
    h2.ok(["run", "--name", "box", "--publish-service", "b.dev", "true"])?;
    // Each asks the host's name server, at the same address as the one before.
    for host in [h1, h2, h1, h1, h2] {
        let words =
            ["run", "--rm", "--publish-service", "c.dev", "--", "ping", "-c", "1", "-W", "1", "b"];
        host.ok(words)?;
    }
    lab.end()
}
