//! A host that starts while the store is away, and has lost what was in its kernel.
//!
//! ```text
//!   h1: box1 (a.dev), blue (c.dev, a namespace that others make)     h2: box2 (b.dev)     etcd, away
//! ```

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use testbed::{DEADLINE, Etcd, Host, Lab, Netns, Options, Signal, Store, eventually};

use crate::{pins, state};

/// What a machine that was started again does not have any more, but for namespaces.
const LOST: &str = "\
    nft delete table inet netctl
    for device in $(ip -o link | sed -n 's/^[0-9]*: \\(n[chp][-0-9a-f]*\\|netctl-[a-z0-9]*\\)[@:].*/\\1/p'); do
        ip link del $device 2>/dev/null || true
    done";

fn lab() -> Result<(Lab, Netns)> {
    let lab = Lab::start(Options { store: Store::Etcd, ..Options::default() })?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["network", "create", "--subnet", "10.1.0.0/24", "dev"])?;
    h1.ok(["run", "--name", "box1", "--publish-service", "a.dev", "true"])?;
    h2.ok(["run", "--name", "box2", "--publish-service", "b.dev", "true"])?;
    let blue = Netns::new(lab.dir(), "blue")?;
    h1.ok(["sandbox", "create", "--netns", &blue.path().display().to_string(), "blue"])?;
    h1.ok(["service", "publish", "c.dev"])?;
    h1.ok(["service", "attach", "blue", "c.dev"])?;
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    for host in lab.hosts() {
        eventually("what is known is on disk", DEADLINE, || {
            let text = fs::read_to_string(kept(host)?)?;
            ensure!(text.matches("\"sandbox\"").count() == 3, "{text}");
            Ok(())
        })?;
    }
    Ok((lab, blue))
}

/// The file of the one network that a host knows.
fn kept(host: &Host) -> Result<PathBuf> {
    for entry in fs::read_dir(host.dir("state").join("synced"))? {
        let path = entry?.path();
        // One that is being written is called otherwise.
        if path.extension().is_some_and(|ending| ending == "json") {
            return Ok(path);
        }
    }
    bail!("nothing is kept")
}

fn etcd(lab: &Lab) -> Result<&Etcd> {
    lab.etcd().context("the lab has an etcd")
}

/// The daemon is killed, and the kernel forgets what it had from it.
fn forgets(host: &Host) -> Result<()> {
    host.stop_daemon(Signal::SIGKILL)?;
    pins::unpin(host)?;
    host.run(["umount", &host.dir("bpf").display().to_string()])?.ok()?;
    host.run(["sh", "-e", "-c", LOST])?.ok()?;
    fs::remove_dir_all(host.dir("run"))?;
    let left = state::links(host)?;
    ensure!(left == ["lo", "eth0"].map(String::from).into(), "{left:?}");
    Ok(())
}

/// Another namespace lies where one was, as after a restart of the machine.
fn made_anew(netns: &Netns) -> Result<()> {
    let path = netns.path().display().to_string();
    testbed::output_of("umount", [&path])?.ok()?;
    testbed::output_of("unshare", [&format!("--net={path}"), "true"])?.ok().map(drop)
}

fn reaches(host: &Host, sandbox: &str, whom: &str) -> Result<()> {
    eventually(&format!("{sandbox} reaches {whom}"), DEADLINE, || {
        host.run(["netctl", "exec", sandbox, "ping", "-c", "1", "-W", "1", whom])?.ok().map(drop)
    })
}

#[test]
fn hosts_that_lost_all_serve_their_containers_without_the_store() -> Result<()> {
    let (lab, blue) = lab()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    etcd(&lab)?.stop(Signal::SIGKILL)?;
    lab.hosts().iter().try_for_each(forgets)?;
    made_anew(&blue)?;
    lab.hosts().iter().try_for_each(|host| lab.start_daemon(host))?;
    ensure!(h1.log().contains("serving what was known, without the store"), "{}", h1.log());
    for whom in ["b", "10.1.0.3", "c", &lab.external().address()] {
        reaches(h1, "box1", whom)?;
    }
    reaches(h1, "blue", "b")?;
    for whom in ["a", "c", "10.1.0.4"] {
        reaches(h2, "box2", whom)?;
    }
    etcd(&lab)?.start()?;
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    reaches(h2, "box2", "c")?;
    drop(blue);
    lab.end()
}

#[test]
fn what_changed_meanwhile_is_as_the_store_says_when_it_is_back() -> Result<()> {
    let (lab, _blue) = lab()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    forgets(h1)?;
    // The address of b is another's by now, c is somebody else's, and there is one more.
    let old = h2.ok(["service", "inspect", "b.dev"])?;
    h2.ok(["sandbox", "rm", "box2"])?;
    h2.ok(["run", "--name", "box3", "--ip", "10.1.0.3", "--publish-service", "d.dev", "true"])?;
    h2.ok(["sandbox", "create", "box4"])?;
    h2.ok(["service", "attach", "--force", "box4", "c.dev"])?;
    etcd(&lab)?.stop(Signal::SIGKILL)?;
    lab.start_daemon(h1)?;
    eventually("it serves what it knew", DEADLINE, || {
        let neigh = h1.ok(["neigh"])?;
        let mac = old.split("\"mac\": \"").nth(1).and_then(|rest| rest.split('"').next());
        ensure!(neigh.contains(mac.context("no MAC")?), "{neigh}");
        Ok(())
    })?;
    etcd(&lab)?.start()?;
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    reaches(h1, "box1", "d")?;
    reaches(h1, "box1", "c")?;
    reaches(h2, "box4", "a")?;
    lab.end()
}

#[test]
fn what_is_damaged_is_set_aside() -> Result<()> {
    let (lab, _blue) = lab()?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["network", "create", "--subnet", "10.2.0.0/24", "second"])?;
    h1.ok(["run", "--name", "box5", "--publish-service", "e.second", "true"])?;
    h2.ok(["run", "--name", "box6", "--publish-service", "f.second", "true"])?;
    let dir = h1.dir("state").join("synced");
    let of_dev = eventually("both are on disk", DEADLINE, || {
        let mut of_dev = None;
        let mut both = 0;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            both += u32::from(text.contains("\"host\":\"h2\",\"sandbox\""));
            of_dev = of_dev.or(text.contains("\"name\":\"dev\"").then_some(path));
        }
        ensure!(both == 2, "{both}");
        of_dev.context("dev is not")
    })?;
    etcd(&lab)?.stop(Signal::SIGKILL)?;
    forgets(h1)?;
    let text = fs::read_to_string(&of_dev)?;
    fs::write(&of_dev, &text[..text.len() / 2])?;
    // What another version wrote is none that this one knows.
    fs::write(dir.join("future.json"), text.replacen("\"schema\":1", "\"schema\":99", 1))?;
    lab.start_daemon(h1)?;
    reaches(h1, "box5", "f")?;
    let log = h1.log();
    ensure!(
        log.matches("what the store last said of a network cannot be read: set aside").count() == 2,
        "{log}"
    );
    ensure!(log.contains("its version is 99, and this netctl knows 1"), "{log}");
    ensure!(of_dev.with_extension("damaged").exists() && !of_dev.exists(), "it is not set aside");
    etcd(&lab)?.start()?;
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    reaches(h1, "box1", "b")?;
    lab.end()
}

#[test]
fn nothing_is_written_where_nothing_changes() -> Result<()> {
    let (lab, _blue) = lab()?;
    let h1 = lab.host(1);
    let kept = kept(h1)?;
    let written = || anyhow::Ok(fs::metadata(&kept)?.modified()?);
    let before = written()?;
    // Changes of others, and of what is not kept.
    lab.host(2).ok(["network", "create", "other"])?;
    lab.host(2).ok(["run", "--rm", "--publish-service", "x.other", "true"])?;
    lab.host(2).ok(["host", "ls"])?;
    eventually("h1 has heard of it", DEADLINE, || {
        h1.ok(["network", "ls"])?.contains("other").then_some(()).context("not yet")
    })?;
    ensure!(written()? == before, "it was written again");
    lab.host(2).ok(["service", "publish", "y.dev"])?;
    eventually("it is written", DEADLINE, || {
        ensure!(fs::read_to_string(&kept)?.contains("\"name\":\"y\""), "not yet");
        Ok(())
    })?;
    lab.end()
}
