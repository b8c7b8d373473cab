//! Containers that leave, in each way that they do.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testbed::{Host, Lab, Netns, Signal, eventually};

use crate::{
    plugin::{Attachment, inhabitant},
    stage,
};

on_both_stores! {
    what_is_not_there_has_left on 1;
    what_is_not_kept_is_collected on 1;
    a_machine_starts_again on 1;
    containers_end_and_nobody_says_so on 1;
}

/// How long it may take until it is noticed that a container has ended.
const NOTICED: Duration = Duration::from_mins(1);

fn nothing_is_left(host: &Host) -> Result<()> {
    for noun in ["sandbox", "service"] {
        let left = stage::names(host, noun)?;
        ensure!(left.is_empty(), "{noun}: {left:?}");
    }
    Ok(())
}

fn what_is_not_there_has_left(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    let netns = Netns::new(lab.dir(), "c")?;
    let mut c = Attachment::new(host, "c", netns.path());
    // It was never there, not even its network.
    c.silent("DEL")?;
    // Twice, the second time without a namespace and without a result.
    c.add()?;
    c.silent("DEL")?;
    c.netns.clear();
    c.configuration["prevResult"] = json!(null);
    c.silent("DEL")?;
    nothing_is_left(host)?;

    // Without a namespace the first time, as containerd calls it.
    c.netns = netns.path().display().to_string();
    c.add()?;
    c.netns.clear();
    c.silent("DEL")?;
    nothing_is_left(host)?;

    // With a namespace that is gone, and one that is another's by now.
    c.netns = netns.path().display().to_string();
    c.add()?;
    drop(netns);
    c.silent("DEL")?;
    nothing_is_left(host)?;
    let netns = Netns::new(lab.dir(), "c")?;
    c.add()?;
    drop(netns);
    let _another = Netns::new(lab.dir(), "c")?;
    c.silent("DEL")?;
    nothing_is_left(host)?;

    // What another configuration made stays, and what people connected goes with the container.
    host.ok(["network", "create", "by-hand"])?;
    c.add()?;
    host.ok(["network", "connect", "by-hand", "c"])?;
    let other = c.clone().with(&json!({"name": "other"}));
    other.silent("DEL")?;
    c.silent("CHECK")?;
    let elsewhere = Attachment { device: "eth7".to_owned(), ..c.clone() };
    elsewhere.silent("DEL")?;
    c.silent("CHECK")?;
    c.silent("DEL")?;
    nothing_is_left(host)
}

fn what_is_not_kept_is_collected(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    let netns: Vec<Netns> =
        ["a", "b", "c"].iter().map(|name| Netns::new(lab.dir(), name)).collect::<Result<_>>()?;
    let of = |container: &str, number: usize, device: &str| {
        let device = device.to_owned();
        Attachment { device, ..Attachment::new(host, container, netns[number].path()) }
    };
    let mut all = [of("a", 0, "eth0"), of("a", 0, "eth1"), of("b", 1, "eth0")];
    for attachment in &mut all {
        attachment.add()?;
    }
    let another = json!({"name": "another", "network": "dev"});
    let mut another = of("c", 2, "eth0").with(&another);
    another.add()?;
    host.ok(["sandbox", "create", "mine"])?;

    let keep = |kept: &[(&str, &str)]| {
        let kept: Vec<_> =
            kept.iter().map(|(id, name)| json!({"containerID": id, "ifname": name})).collect();
        of("", 0, "").with(&json!({"cni.dev/valid-attachments": kept})).silent("GC")
    };
    keep(&[("a", "eth0"), ("a", "eth1"), ("b", "eth0"), ("gone", "eth0")])?;
    all.iter().try_for_each(|attachment| attachment.silent("CHECK"))?;
    keep(&[("a", "eth0"), ("b", "eth1")])?;
    all[0].silent("CHECK")?;
    ensure!(stage::names(host, "sandbox")? == ["a", "c", "mine"], "not the right ones");
    let links = netns[0].run(["ip", "-brief", "link"])?.ok()?;
    ensure!(links.contains("eth0") && !links.contains("eth1"), "{links}");
    keep(&[])?;
    another.silent("CHECK")?;
    another.silent("DEL")?;
    host.ok(["sandbox", "rm", "mine"])?;
    nothing_is_left(host)
}

fn a_machine_starts_again(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    host.ok(["network", "create", "dev"])?;
    let before = stage::names(host, "network")?;

    // Namespaces are gone, and so is what was below /run; the state directory is there.
    let netns = Netns::new(lab.dir(), "c")?;
    let mut c = Attachment::new(host, "c", netns.path());
    c.add()?;
    host.stop_daemon(Signal::SIGKILL)?;
    drop(netns);
    fs::remove_dir_all(host.dir("run"))?;
    lab.start_daemon(host)?;
    c.silent("DEL")?;
    eventually("what is gone is taken down", NOTICED, || nothing_is_left(host))?;

    // The same, and the runtime starts the container again without a word, in a new namespace.
    let netns = Netns::new(lab.dir(), "c")?;
    c.add()?;
    host.stop_daemon(Signal::SIGKILL)?;
    drop(netns);
    fs::remove_dir_all(host.dir("run"))?;
    lab.start_daemon(host)?;
    let netns = Netns::new(lab.dir(), "c")?;
    c.add()?;
    c.silent("CHECK")?;
    ensure!(stage::names(host, "service")? == ["c"], "the old one is in the way");

    // The state directory is gone too: nobody knows the container any more, and so its service goes.
    host.stop_daemon(Signal::SIGKILL)?;
    drop(netns);
    for name in ["run", "state", "netns"] {
        fs::remove_dir_all(host.dir(name)).with_context(|| name.to_owned())?;
    }
    eventually("the daemon may have the host's name", Duration::from_mins(1), || {
        lab.start_daemon(host)
    })?;
    c.silent("DEL")?;
    eventually("what nobody knows is gone", NOTICED, || nothing_is_left(host))?;
    ensure!(stage::names(host, "network")? == before, "a network is gone");
    Ok(())
}

fn containers_end_and_nobody_says_so(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    // One whose namespace the runtime removes, and one that netctl alone holds, by a process of it.
    let named = Netns::new(lab.dir(), "named")?;
    let mut one = Attachment::new(host, "one", named.path());
    one.add()?;
    let held = Netns::new(lab.dir(), "held")?;
    let (mut process, path) = inhabitant(&held, "held")?;
    let mut two = Attachment::new(host, "two", path.as_ref());
    two.add()?;
    // One that has not begun yet is not taken for one that has ended.
    let waiting = Netns::new(lab.dir(), "waiting")?;
    let mut three = Attachment::new(host, "three", waiting.path());
    three.add()?;
    drop(named);
    process.stop(Signal::SIGKILL, Duration::from_secs(5))?;
    eventually("those that ended are taken down", NOTICED, || {
        ensure!(stage::names(host, "sandbox")? == ["three"], "they are not");
        Ok(())
    })?;
    ensure!(stage::names(host, "service")? == ["three"], "a service is left");
    three.silent("CHECK")?;
    three.silent("DEL")
}
