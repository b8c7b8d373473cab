//! Names: in several networks, shared, of one sandbox alone, of ports, and of hosts that are gone.

use std::{net::UdpSocket, time::Duration};

use anyhow::{Context as _, Result, ensure};
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RecordType},
};
use testbed::{Lab, Options, Signal, Store, eventually};

use crate::{
    container::{Container, SOON},
    rest,
    stage::{field, refused},
};

on_both_stores! {
    in_three_networks_at_once on 2;
    aliases_of_both_kinds on 2;
}

/// ```text
///   h1: box-hub in red, green and blue      h2: box-one in red, box-two in green, box-three in blue
/// ```
fn in_three_networks_at_once(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    let networks = ["red", "green", "blue"];
    let mut spokes = Vec::new();
    for (network, service) in networks.into_iter().zip(["one", "two", "three"]) {
        h1.ok(["network", "create", network])?;
        spokes.push(Container::new(h2, service, network, &["--alias", "peer"])?);
    }
    let hub = Container::new(h1, "hub", "red", &[])?;
    for network in ["green", "blue"] {
        let service = format!("hub.{network}");
        h1.ok(["service", "publish", &service])?;
        h1.ok(["service", "attach", &hub.name, &service])?;
    }
    for spoke in &spokes {
        for name in [spoke.service.clone(), spoke.reference(), format!("peer.{}", spoke.network)] {
            resolves(&hub, &name, Some(&spoke.address()?))?;
        }
        hub.reaches(&spoke.service)?;
        let own = field(
            h1,
            &["service", "inspect", &format!("hub.{}", spoke.network)],
            "/0/addresses/0",
        )?;
        resolves(spoke, "hub", own.split('/').next())?;
        spoke.reaches("hub")?;
        for other in spokes.iter().filter(|other| other.name != spoke.name) {
            for name in [other.service.clone(), other.reference()] {
                resolves(spoke, &name, None)?;
            }
        }
    }
    // All three networks have it; red was joined first.
    resolves(&hub, "peer", Some(&spokes[0].address()?))?;
    h1.ok(["service", "detach", &hub.name, "hub.red"])?;
    resolves(&hub, "one.red", None)?;
    resolves(&hub, "peer", Some(&spokes[1].address()?))
}

/// ```text
///   h1: box-asker, box-other      h2: box-one and box-two, which share the name `web`
/// ```
fn aliases_of_both_kinds(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["network", "create", "dev"])?;
    let one = Container::new(h2, "one", "dev", &["--alias", "web", "--expose", "80:http"])?;
    let two = Container::new(h1, "two", "dev", &["--alias", "WEB", "--expose", "8080/tcp:http"])?;
    let other = Container::new(h1, "other", "dev", &[])?;
    h1.ok(["sandbox", "create", "box-asker"])?;
    h1.ok(["service", "publish", "asker.dev"])?;
    let attach = ["service", "attach", "--alias", "one:db", "--alias", "late:soon"];
    let twice = ["--alias", "two:DB", "box-asker", "asker.dev"];
    let twice: Vec<&str> = attach.into_iter().chain(twice).collect();
    refused(h1, &twice, &["alias DB stands for several services"])?;
    h1.ok(attach.into_iter().chain(["box-asker", "asker.dev"]))?;
    let asker = Container {
        host: h1,
        name: "box-asker".to_owned(),
        service: "asker".to_owned(),
        network: "dev".to_owned(),
    };

    // Shared, in turn, until one leaves.
    let mut both = [one.address()?, two.address()?];
    both.sort();
    eventually("both are known", SOON, || {
        let mut firsts = std::collections::BTreeSet::new();
        for _ in 0..40 {
            firsts.extend(asker.resolve("web")?);
        }
        ensure!(firsts.iter().eq(&both), "{firsts:?}");
        Ok(())
    })?;
    ports_are_told(lab, &asker)?;
    two.detach()?;
    let table = |name| asker.ok(&["getent", "ahostsv4", name]);
    ensure!(!table("web")?.contains(&two.address()?), "it left: {}", table("web")?);
    resolves(&asker, "web", Some(&one.address()?))?;

    // One sandbox's alone; also of a service that comes later.
    resolves(&asker, "db", Some(&one.address()?))?;
    resolves(&asker, "DB.dev", Some(&one.address()?))?;
    resolves(&other, "db", None)?;
    ensure!(asker.resolve("soon")?.is_none(), "it is not there yet");
    let late = Container::new(h2, "late", "dev", &[])?;
    resolves(&asker, "soon", Some(&late.address()?))?;
    let shown = field(h1, &["sandbox", "inspect", "box-asker"], "/0/interfaces/0/aliases")?;
    ensure!(shown == r#"["one:db","late:soon"]"#, "{shown}");

    // They outlive the daemon, and go with the attachment.
    lab.restart_daemon(h1, Signal::SIGKILL)?;
    resolves(&asker, "db", Some(&one.address()?))?;
    asker.detach()?;
    asker.attach()?;
    resolves(&asker, "db", None)
}

/// `_http._tcp.web`: two services, each with its port and its address.
fn ports_are_told(lab: &Lab, asker: &Container<'_>) -> Result<()> {
    let gateway = field(asker.host, &["network", "inspect", "dev"], "/0/subnets/0/gateway")?;
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii("_http._tcp.web.dev.")?, RecordType::SRV));
    let answer = asker.netns(lab)?.within(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(SOON))?;
        socket.send_to(&query.to_vec()?, (gateway.as_str(), 53))?;
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer)?;
        Ok(Message::from_vec(&buffer[..length])?)
    })?;
    let mut ports: Vec<String> = answer.answers.iter().map(|r| r.data.to_string()).collect();
    ports.sort();
    ensure!(ports == ["0 0 80 one.dev.", "0 0 8080 two.dev."], "{answer}");
    ensure!(answer.answers.iter().all(|record| record.record_type() == RecordType::SRV));
    ensure!(answer.additionals.len() == 2, "{answer}");
    Ok(())
}

/// What a name is to a container, as soon as its host knows.
fn resolves(container: &Container<'_>, name: &str, address: Option<&str>) -> Result<()> {
    let what = format!("{name} is {address:?} to {}", container.name);
    eventually(&what, SOON, || {
        let found = container.resolve(name)?;
        ensure!(found.as_deref() == address, "it is {found:?}");
        Ok(())
    })
}

/// A host whose lease has ended: here its key is taken away, as etcd does it 15 s after the last sign of life.
///
/// ```text
///   h1: box-one      h2: box-two, whose daemon is killed
/// ```
#[test]
fn names_of_a_host_that_is_gone_are_withdrawn() -> Result<()> {
    let lab = Lab::start(Options { hosts: 2, store: Store::Etcd, ..Options::default() })?;
    let played = (|| {
        let (h1, h2) = (lab.host(1), lab.host(2));
        h1.ok(["network", "create", "dev"])?;
        let one = Container::new(h1, "one", "dev", &["--alias", "all"])?;
        let two = Container::new(h2, "two", "dev", &["--alias", "all"])?;
        let (own, gone) = (one.address()?, two.address()?);
        resolves(&one, "two", Some(&gone))?;
        h2.stop_daemon(Signal::SIGKILL)?;
        let etcd = lab.etcd().context("the lab has an etcd")?;
        etcd.ctl(["del", "/netctl/v1/hosts/h2"])?;
        resolves(&one, "two", None)?;
        resolves(&one, "all", Some(&own))?;
        let pointer = one.exec(&["getent", "hosts", &gone])?;
        ensure!(!pointer.success(), "{pointer:?}");
        // A daemon that starts without the store knows it as well, and that its own are alive.
        etcd.stop(Signal::SIGTERM)?;
        lab.restart_daemon(h1, Signal::SIGTERM)?;
        resolves(&one, "one", Some(&own))?;
        ensure!(one.resolve("two")?.is_none(), "it was withdrawn");
        etcd.start()?;
        lab.start_daemon(h2)?;
        let soon = Duration::from_secs(15);
        eventually("the host is back", soon, || resolves(&one, "two", Some(&gone)))?;
        rest::clear(&lab)
    })();
    played.map_err(|error| lab.explain(error))?;
    lab.end()
}
