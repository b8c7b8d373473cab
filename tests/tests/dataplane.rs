//! The data plane's loader: what it adopts, what it refuses, what it leaves.
//!
//! ```text
//!   the host's namespace: underlay (veth) ── peer      vx (flow-based vxlan)      port0, port1 (veth)
//! ```

#[path = "dataplane/host.rs"]
mod host;
#[path = "dataplane/pins.rs"]
mod pins;
#[path = "dataplane/removal.rs"]
mod removal;
#[path = "dataplane/restart.rs"]
mod restart;
#[path = "dataplane/upgrade.rs"]
mod upgrade;

use std::{fs, net::IpAddr};

use anyhow::{Context as _, ensure};
use aya::maps::{HashMap, MapData};
use netctl::{
    dataplane::{self, Config, Dataplane, Desired, Error, FdbTarget, Sweep},
    model::Vteps,
};

use crate::host::{Host, address, expect, mac, places, remote, running, stopped, vni};

#[test]
fn what_is_applied_is_held_and_what_is_held_is_adopted() {
    let host = Host::new();
    let desired = host.desired();
    host.within(async || {
        let dataplane = Dataplane::start(host.config()).await?;
        let applied = dataplane.apply(desired.clone(), Sweep::Remove).await?;
        // One network, two ports, five stations, eight neighbours, four members of its list, two hosts, both members.
        ensure!((applied.added, applied.replaced, applied.removed) == (24, 0, 0), "{applied:?}");
        ensure!(applied.attached.iter().eq(desired.ports.keys()), "{applied:?}");
        expect(&dataplane, &desired).await?;
        let again = dataplane.apply(desired.clone(), Sweep::Remove).await?;
        ensure!(again == dataplane::Applied::default(), "{again:?}");
        let counters = dataplane.counters().await?;
        ensure!(counters.iter().any(|row| row.outcome.as_str() == "unknown-port"), "{counters:?}");
        let busy = Dataplane::start(host.config()).await.map(drop);
        ensure!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
        let busy = dataplane::remove(&host.bpf).await;
        ensure!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
        Ok(dataplane.shutdown().await?)
    });

    let before = host.numbers();
    assert_eq!(before.links.len(), 4);
    assert_eq!(before.maps.len(), 14);
    let after = host.within(async || {
        let dataplane = Dataplane::start(host.config()).await?;
        expect(&dataplane, &desired).await?;
        let nothing = dataplane.apply(desired.clone(), Sweep::Remove).await?;
        ensure!(nothing == dataplane::Applied::default(), "{nothing:?}");
        for ifname in ["underlay", "vx", "port0", "port1"] {
            ensure!(running(ifname)? == 1, "{ifname} runs {} programs", running(ifname)?);
        }
        let numbers = host.numbers();
        dataplane.shutdown().await?;
        Ok(numbers)
    });
    assert_eq!((&before.maps, &before.links), (&after.maps, &after.links));
    assert!(before.programs.iter().all(|(path, id)| after.programs[path] != *id), "{after:?}");
}

#[test]
fn a_map_that_an_earlier_binary_did_not_have_is_made_beside_those_that_it_had() {
    let host = Host::new();
    let desired = host.desired();
    let apply = async || {
        let dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(desired.clone(), Sweep::Remove).await?;
        let traffic = dataplane.traffic().await?;
        ensure!(traffic == dataplane::Traffic::default(), "{traffic:?}");
        dataplane.shutdown().await?;
        Ok(())
    };
    host.within(apply);
    let before = host.numbers();
    let new = host.pins().join("maps").join(netctl_common::event::LOOKS_UNTIL);
    fs::remove_file(&new).expect("the pin");
    host.within(apply);
    let after = host.numbers();
    assert_eq!(before.links, after.links);
    assert_eq!(before.maps.len(), after.maps.len());
    for (path, id) in &after.maps {
        assert_eq!(*path == new, before.maps[path] != *id, "{}", path.display());
    }
}

#[test]
fn a_port_that_was_found_to_run_is_looked_at_again_with_all() {
    let host = Host::new();
    let desired = host.desired();
    let port0 = host.index("port0");
    let mut fewer = desired.clone();
    fewer.ports.remove(&port0);
    host.within(async || {
        let dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(fewer.clone(), Sweep::Remove).await?;
        let one = dataplane.apply_new(desired.clone(), Sweep::Remove).await?;
        ensure!((one.added, &*one.attached) == (1, &[port0][..]), "{one:?}");
        ensure!(running("port0")? == 1);
        // Somebody takes its pin away: it runs on, and is pinned again.
        let before = host.numbers();
        fs::remove_file(host.link(&format!("port-{port0}")))?;
        fs::remove_file(host.pins().join("maps/FDB"))?;
        let nothing = dataplane.apply_new(desired.clone(), Sweep::Remove).await?;
        ensure!(nothing == dataplane::Applied::default(), "{nothing:?}");
        ensure!(running("port0")? == 1);
        ensure!(host.numbers() == before, "other links or maps are pinned than before");
        // Somebody puts another device in its place.
        let other = format!("link add port0 index {port0} type veth peer name inside0");
        host.netns.ip(["link del port0".to_owned(), other])?;
        ensure!(running("port0")? == 0);
        let nothing = dataplane.apply_new(desired.clone(), Sweep::Remove).await?;
        ensure!(nothing == dataplane::Applied::default(), "{nothing:?}");
        let again = dataplane.apply(desired.clone(), Sweep::Remove).await?;
        ensure!((again.added, &*again.attached) == (0, &[port0][..]), "{again:?}");
        ensure!(running("port0")? == 1);
        dataplane.apply_new(fewer.clone(), Sweep::Remove).await?;
        stopped("port0").await?;
        ensure!(running("port1")? == 1);
        expect(&dataplane, &fewer).await?;
        Ok(dataplane.shutdown().await?)
    });
}

#[test]
fn changes_are_made_by_difference() {
    let host = Host::new();
    let mut desired = host.desired();
    host.within(async || {
        let dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(desired.clone(), Sweep::Remove).await?;

        // A station moves from one host to a third, and its old host is no longer needed.
        let before = places(&dataplane).await?;
        desired.fdb.insert((vni(), mac(4)), remote(9));
        desired.tunnels.remove(&address(2));
        desired.tunnels.insert(address(9), 1450);
        let list = desired.flood.entry(vni()).or_default();
        ensure!(list.remove(&remote(2)) && list.insert(remote(9)));
        let moved = dataplane.apply(desired.clone(), Sweep::Remove).await?;
        // The host, its membership, its place; the station and how long the list is; what the old host had.
        ensure!((moved.added, moved.replaced, moved.removed) == (3, 2, 3), "{moved:?}");
        let after = places(&dataplane).await?;
        let stays = |(target, _): &(&FdbTarget, &u32)| **target != remote(2);
        ensure!(
            before.iter().filter(stays).all(|(target, place)| after.get(target) == Some(place)),
            "{before:?} became {after:?}"
        );
        expect(&dataplane, &desired).await?;

        // Before the list is complete, nothing goes.
        let nothing = dataplane.apply(Desired::default(), Sweep::Keep).await?;
        ensure!(nothing == dataplane::Applied::default(), "{nothing:?}");
        expect(&dataplane, &desired).await?;

        let port0 = host.index("port0");
        desired.ports.remove(&port0);
        desired.fdb.remove(&(vni(), mac(2)));
        desired.flood.entry(vni()).or_default().remove(&FdbTarget::Container { ifindex: port0 });
        let left = dataplane.apply(desired.clone(), Sweep::Remove).await?;
        ensure!((left.added, left.replaced, left.removed) == (0, 0, 3), "{left:?}");
        stopped("port0").await?;
        ensure!(running("port1")? == 1);
        expect(&dataplane, &desired).await?;

        let none = dataplane.apply(Desired::default(), Sweep::Remove).await?;
        ensure!(none.removed == 21, "{none:?}");
        stopped("port1").await?;
        ensure!(running("underlay")? == 1);

        let mut over_ipv6 = host.desired();
        over_ipv6.tunnels.insert("2001:db8::1".parse()?, 1430);
        let refused = dataplane.apply(over_ipv6, Sweep::Remove).await;
        ensure!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
        expect(&dataplane, &Desired::default()).await?;
        Ok(dataplane.shutdown().await?)
    });
}

/// A host that gains an address of IPv6 keeps what it had; one that loses its address of IPv4 forgets who it reached by
/// it, and nothing names them any more.
#[test]
fn addresses_of_the_host_itself_come_and_go() {
    let host = Host::new();
    let (v4, v6) = ([192, 0, 2, 1].into(), "2001:db8::1".parse().expect("an address"));
    let with = |v4, v6| Config { vteps: Vteps::new(v4, v6).expect("some"), ..host.config() };
    let mut desired = host.desired();
    let far: IpAddr = "2001:db8::3".parse().expect("an address");
    host.within(async || {
        let dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(desired.clone(), Sweep::Remove).await?;
        dataplane.shutdown().await?;

        let dataplane = Dataplane::start(with(Some(v4), Some(v6))).await?;
        expect(&dataplane, &desired).await?;
        desired.tunnels.insert(far, 1430);
        desired.fdb.insert((vni(), mac(5)), FdbTarget::Remote { vtep: far });
        desired.flood.entry(vni()).or_default().insert(FdbTarget::Remote { vtep: far });
        dataplane.apply(desired.clone(), Sweep::Remove).await?;
        expect(&dataplane, &desired).await?;
        dataplane.shutdown().await?;

        let dataplane = Dataplane::start(with(None, Some(v6))).await?;
        let over_ipv4 =
            |target: &FdbTarget| matches!(target, FdbTarget::Remote { vtep } if vtep.is_ipv4());
        desired.tunnels.retain(|vtep, _| vtep.is_ipv6());
        desired.fdb.retain(|_, target| !over_ipv4(target));
        for list in desired.flood.values_mut() {
            list.retain(|target| !over_ipv4(target));
        }
        expect(&dataplane, &desired).await?;
        // What is left to do is to count the places of the list anew.
        let applied = dataplane.apply(desired.clone(), Sweep::Remove).await?;
        ensure!((applied.added, applied.removed) == (0, 0) && applied.replaced <= 1, "{applied:?}");
        Ok(dataplane.shutdown().await?)
    });
}

#[test]
fn without_root_one_sentence_says_so() {
    let host = Host::new();
    let refused = host.process("start", &["setpriv", "--reuid=65534", "--clear-groups"]);
    let expected = "netctl needs root, or the capabilities that this process lacks: \
                    CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF";
    assert!(refused.stdout.contains(expected), "{refused:?}");
    assert!(!host.bpf.exists());
}

#[test]
fn maps_of_another_layout_are_refused() {
    let host = Host::new();
    host.within(async || Ok(Dataplane::start(host.config()).await?.shutdown().await?));
    let pin = host.pins().join("maps/FDB");
    fs::remove_file(&pin).expect("the pin of FDB");
    let other = HashMap::<MapData, u64, u64>::create(16, 0).expect("a map");
    other.pin(&pin).expect("a pin");
    let before = host.numbers();
    let error = host.within(async || {
        let result = Dataplane::start(host.config()).await;
        result.map(drop).err().context("it started on a map of another layout")
    });
    let expected = format!(
        "pinned map {} has another layout than this netctl's (Hash, 8-byte keys, 8-byte values, 16 entries, \
         expected Hash, 12-byte keys, 8-byte values, 131072 entries); remove it to start with empty maps",
        pin.display()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(host.numbers(), before);
}

#[test]
fn without_its_devices_it_leaves_nothing() {
    let host = Host::new();
    let start = |config: Config| {
        host.within(async || Dataplane::start(config).await.map(drop).err().context("it started"))
    };
    let error = start(Config { underlay: "eth7".to_owned(), ..host.config() });
    let expected = "network interface eth7 does not exist: choose one of those that `ip link` lists with \
                    --bind-interface";
    assert_eq!(error.to_string(), expected);
    assert!(!host.bpf.exists());
    let error = start(Config { vxlan_device: "vx7".to_owned(), ..host.config() });
    assert!(error.to_string().starts_with("network interface vx7 does not exist: "), "{error}");
    assert!(!host.bpf.exists());
    // What cannot be a bpf file system.
    let file = host.run.dir().join("file");
    fs::write(&file, "").expect("a file");
    let error = start(Config { bpf_dir: file.clone(), ..host.config() });
    let expected = format!("cannot create {}: File exists", file.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn a_link_whose_device_is_gone_is_replaced() {
    let host = Host::new();
    let mut desired = host.desired();
    let port0 = host.index("port0");
    let before = host.within(async || {
        let dataplane = Dataplane::start(host.config()).await?;
        dataplane.apply(desired.clone(), Sweep::Remove).await?;
        let before = host.numbers();
        // Another device takes the index while the daemon runs.
        let add = format!("link add port0 index {port0} type veth peer name inside0");
        host.netns.ip(["link del port0".to_owned(), add])?;
        let applied = dataplane.apply(desired.clone(), Sweep::Remove).await?;
        ensure!(applied.attached == [port0], "{applied:?}");
        ensure!(running("port0")? == 1);
        dataplane.shutdown().await?;
        Ok(before)
    });
    let between = host.numbers();
    let pin = host.link(&format!("port-{port0}"));
    assert_ne!(before.links[&pin], between.links[&pin]);

    // And while none runs, under another name.
    let add = format!("link add other index {port0} type veth peer name inside0");
    host.netns.ip(["link del port0".to_owned(), add]).expect("another device");
    host.within(async || {
        let dataplane = Dataplane::start(host.config()).await?;
        ensure!(!pin.exists(), "the link of a device that is gone is still pinned");
        let applied = dataplane.apply(desired.clone(), Sweep::Remove).await?;
        ensure!(
            applied.failed.iter().map(|(index, _)| *index).eq([port0])
                && applied.attached.is_empty(),
            "{applied:?}"
        );
        ensure!(running("other")? == 0);
        if let Some(port) = desired.ports.get_mut(&port0) {
            port.ifname = "other".to_owned();
        }
        let applied = dataplane.apply(desired.clone(), Sweep::Remove).await?;
        ensure!(applied.attached == [port0], "{applied:?}");
        ensure!(running("other")? == 1);
        Ok(dataplane.shutdown().await?)
    });
}

#[test]
fn another_underlay_takes_over_from_the_one_before() {
    let host = Host::new();
    host.netns.ip(["link add spare type veth peer name peer2"]).expect("another underlay");
    host.within(async || {
        Dataplane::start(host.config()).await?.shutdown().await?;
        let moved = Config { underlay: "spare".to_owned(), ..host.config() };
        let dataplane = Dataplane::start(moved).await?;
        stopped("underlay").await?;
        ensure!(running("spare")? == 1);
        // Somebody with other pins must not run the same program on a device a second time.
        let second = Config {
            underlay: "spare".to_owned(),
            bpf_dir: host.run.dir().join("bpf2"),
            ..host.config()
        };
        let refused = Dataplane::start(second).await.map(drop);
        ensure!(matches!(refused, Err(Error::Foreign { .. })), "{refused:?}");
        ensure!(!host.run.dir().join("bpf2").exists());
        Ok(dataplane.shutdown().await?)
    });
}
