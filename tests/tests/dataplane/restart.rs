//! What outlives a process, and what the next one makes of it.

use std::{os::unix::process::ExitStatusExt as _, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use netctl::dataplane::{Config, Dataplane, Desired, FdbTarget, Sweep};
use testbed::Netns;

use crate::host::{Host, ROLE, address, expect, mac, places, remote, running, stopped, vni};

#[test]
fn what_an_earlier_process_attached_goes_by_the_first_look_that_may_remove() {
    let host = Host::new();
    let desired = host.desired();
    host.within(async || {
        let dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(desired.clone(), Sweep::Remove).await?;
        dataplane.shutdown().await?;
        // The next has looked at everything before it knew what is desired; then one of the ports is so no more.
        let dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(Desired::default(), Sweep::Keep).await?;
        let port0 = host.index("port0");
        let mut fewer = desired.clone();
        fewer.ports.remove(&port0);
        dataplane.apply_new(fewer, Sweep::Remove).await?;
        ensure!(!host.link(&format!("port-{port0}")).exists(), "its link is left");
        stopped("port0").await?;
        ensure!(running("port1")? == 1);
        Ok(dataplane.shutdown().await?)
    });
}

#[test]
fn places_of_members_outlive_the_process() {
    let host = Host::new();
    let mut desired = host.desired();
    host.within(async || {
        let dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(desired.clone(), Sweep::Remove).await?;
        let before = places(&dataplane).await?;
        dataplane.shutdown().await?;
        // The first of the list is gone when the next process looks, and another has come.
        let (gone, _) = before.iter().min_by_key(|(_, place)| **place).context("no members")?;
        let list = desired.flood.entry(vni()).or_default();
        ensure!(list.remove(gone) && list.insert(FdbTarget::Container { ifindex: 77 }));
        let dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(desired.clone(), Sweep::Remove).await?;
        expect(&dataplane, &desired).await?;
        let after = places(&dataplane).await?;
        let stays = |(target, _): &(&FdbTarget, &u32)| target != &gone;
        ensure!(
            before.iter().filter(stays).all(|(target, place)| after.get(target) == Some(place)),
            "{before:?} became {after:?}"
        );
        Ok(dataplane.shutdown().await?)
    });
}

#[test]
fn a_killed_process_leaves_what_the_next_adopts() {
    let host = Host::new();
    let killed = host.process("die", &[]);
    assert_eq!(killed.status.signal(), Some(9), "{killed:?}");
    let before = host.numbers();
    assert_eq!(before.links.len(), 2, "{before:?}");
    host.within(async || {
        let dataplane = Dataplane::start(host.config()).await?;
        ensure!(running("underlay")? == 1 && running("vx")? == 1);
        let rows = dataplane.fdb().await?;
        ensure!(rows.len() == 1 && rows[0].target == remote(2), "{rows:?}");
        Ok(dataplane.shutdown().await?)
    });
    let after = host.numbers();
    assert_eq!((before.maps, before.links), (after.maps, after.links));
}

/// Not a test of its own: what [`Host::process`] starts.
#[test]
fn role() {
    let Ok(told) = std::env::var(ROLE) else { return };
    let (role, bpf) = told.split_once(' ').expect("a role and a directory");
    let config = Config {
        bpf_dir: bpf.into(),
        underlay: "underlay".to_owned(),
        vteps: address(1).into(),
        vxlan_port: 4789,
        vxlan_device: "vx".to_owned(),
        filter: false,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let started = Dataplane::start(config).await;
        match (role, started) {
            ("die", Ok(dataplane)) => {
                let fdb = [((vni(), mac(4)), remote(2))].into();
                let tunnels = [(address(2), 1450)].into();
                let desired = Desired { fdb, tunnels, ..Desired::default() };
                dataplane.apply(desired, Sweep::Keep).await.expect("a station");
                let own = i32::try_from(std::process::id()).expect("a process id");
                Command::new("kill").args(["-KILL", &own.to_string()]).status().expect("the end");
            }
            (_, Ok(_)) => println!("it started"),
            (_, Err(error)) => println!("{error}"),
        }
    });
}

/// Two containers of one host ping each other a hundred times a second while the data plane is restarted.
#[test]
fn a_restart_loses_no_packet() {
    let host = Host::new();
    let mut desired = host.desired();
    let containers =
        [("port0", "inside0", 2), ("port1", "inside1", 3)].map(|(port, inside, last)| {
            let container = Netns::new(host.run.dir(), inside).expect("a namespace");
            let path = container.path().display().to_string();
            host.netns
                .ip([format!("link set {inside} netns {path}")])
                .expect("the container's end");
            container
                .ip([
                    format!("link set {inside} address {}", mac(last)),
                    format!("addr add 10.0.0.{last}/24 dev {inside}"),
                    format!("link set {inside} up"),
                ])
                .expect("the container's address");
            host.netns.ip([format!("link set {port} up")]).expect("the host's end");
            container
        });
    desired.fdb.retain(|_, target| {
        matches!(target, FdbTarget::Container { .. } | FdbTarget::Bridging { .. })
    });
    for port in desired.ports.values_mut() {
        port.entry.isolated = false;
    }
    let lost = host.within(async || {
        let mut dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(desired.clone(), Sweep::Remove).await?;
        let mut ping = containers[0].command(["ping", "-q", "-i", "0.01", "-c", "200", "10.0.0.3"]);
        let ping = std::thread::spawn(move || {
            let output = ping.output()?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&output.stdout).into_owned())
        });
        for _ in 0..4 {
            dataplane.shutdown().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
            dataplane = Dataplane::start(host.config()).await?;
            dataplane.apply(desired.clone(), Sweep::Remove).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        dataplane.shutdown().await?;
        let said = ping.join().ok().context("ping could not be awaited")??;
        Ok(said)
    });
    assert!(lost.contains("200 packets transmitted, 200 received"), "{lost}");
}
