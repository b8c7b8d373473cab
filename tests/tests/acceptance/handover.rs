//! A name or an address that goes from one host to another works there at once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testbed::{Lab, Signal, eventually};

use crate::{
    container::{Container, SOON, all_pairs},
    stage::{json, refused},
};

on_both_stores! {
    a_service_of_a_dead_host on 3;
    a_service_taken_by_force on 3;
    a_taking_by_force_that_is_refused on 1;
    an_address_that_moves on 3;
}

/// ```text
///   h1: svc1, its daemon is killed     h2: takes svc1 over     h3: box-svc3 looks on
/// ```
fn a_service_of_a_dead_host(lab: &Lab) -> Result<()> {
    let [h1, h2, h3] = [1, 2, 3].map(|number| lab.host(number));
    h1.ok(["network", "create", "dev"])?;
    let dead = Container::new(h1, "svc1", "dev", &[])?;
    let witness = Container::new(h3, "svc3", "dev", &[])?;
    all_pairs(&[&dead, &witness])?;
    let address = dead.address()?;
    h1.stop_daemon(Signal::SIGKILL)?;
    witness.ping(&address)?;

    refused(h2, &["service", "unpublish", "svc1.dev"], &["svc1.dev", "attached", "h1"])?;
    h2.ok(["service", "unpublish", "-f", "svc1.dev"])?;
    let heir = Container::new(h2, "svc1", "dev", &[])?;
    ensure!(heir.address()? == address, "it had {address}, now it has {}", heir.address()?);
    all_pairs(&[&heir, &witness])?;

    lab.start_daemon(h1)?;
    lets_go(&dead)?;
    let third = Container::new(h1, "svc2", "dev", &[])?;
    all_pairs(&[&heir, &witness, &third])
}

/// Its sandbox soon has no interface any more, in the kernel and in what the daemon says of it.
fn lets_go(loser: &Container<'_>) -> Result<()> {
    eventually("the former owner lets go", SOON, || {
        let inside = json(loser.host, &["sandbox", "inspect", &loser.name])?;
        let interfaces = inside.pointer("/0/interfaces").and_then(serde_json::Value::as_array);
        ensure!(interfaces.is_some_and(Vec::is_empty), "{inside}");
        let links = loser.ok(&["ip", "-brief", "link"])?;
        ensure!(!links.contains("eth0"), "{links}");
        Ok(())
    })
}

/// ```text
///   h1: svc1 ──► h2: takes svc1 with its addresses     h3: box-svc3 looks on
/// ```
fn a_service_taken_by_force(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "dev"])?;
    let loser = Container::new(lab.host(1), "svc1", "dev", &[])?;
    let witness = Container::new(lab.host(3), "svc3", "dev", &[])?;
    all_pairs(&[&loser, &witness])?;
    let (address, mac) = (loser.address()?, loser.mac()?);

    let taker = lab.host(2);
    taker.ok(["sandbox", "create", "taker"])?;
    taker.ok(["service", "attach", "--force", "taker", "svc1.dev"])?;
    let taker = Container {
        host: taker,
        name: "taker".to_owned(),
        service: "svc1".to_owned(),
        network: "dev".to_owned(),
    };
    ensure!(taker.address()? == address && taker.mac()? == mac, "it has other addresses now");
    lets_go(&loser)?;
    all_pairs(&[&taker, &witness])?;

    // Unpublished by force, it goes where it is.
    lab.host(3).ok(["service", "unpublish", "--force", "svc1.dev"])?;
    lets_go(&taker)?;
    witness.does_not_reach(&address)
}

/// ```text
///   h1: svc1, which other is to take and cannot have; svc2 looks on
/// ```
fn a_taking_by_force_that_is_refused(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    host.ok(["network", "create", "dev"])?;
    let owner = Container::new(host, "svc1", "dev", &[])?;
    let witness = Container::new(host, "svc2", "dev", &[])?;
    host.ok(["sandbox", "create", "other"])?;
    // The kernel refuses it when the interface is there.
    let wrong = "net.ipv4.conf.IFNAME.rp_filter=wrong";
    let words = ["service", "attach", "--force", "--sysctl", wrong, "other", "svc1.dev"];
    refused(host, &words, &["rp_filter", "wrong"])?;
    all_pairs(&[&owner, &witness])?;
    let inside = json(host, &["sandbox", "inspect", "other"])?;
    ensure!(inside[0]["interfaces"] == serde_json::json!([]), "{inside}");
    let links = host.ok(["exec", "other", "ip", "-brief", "link"])?;
    ensure!(!links.contains("eth0"), "{links}");
    Ok(())
}

/// ```text
///   h1: first, then without it     h2: second, with the address that first had
///   h1, h2, h3: a witness each, with the address in its neighbour table
/// ```
fn an_address_that_moves(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "dev"])?;
    let witnesses: Vec<Container<'_>> = lab
        .hosts()
        .iter()
        .map(|host| Container::new(host, &format!("on-{}", host.name()), "dev", &[]))
        .collect::<Result<_>>()?;
    let first = Container::new(lab.host(1), "first", "dev", &[])?;
    let address = first.address()?;
    for witness in &witnesses {
        witness.reaches(&address)?;
        let neighbours = witness.ok(&["ip", "neigh", "show", &address])?;
        ensure!(neighbours.contains("lladdr"), "{neighbours}");
    }
    first.detach()?;
    lab.host(1).ok(["service", "unpublish", "first.dev"])?;
    let second = Container::new(lab.host(2), "second", "dev", &["--ip", &address])?;
    ensure!(second.address()? == address);

    let begin = Instant::now();
    for witness in &witnesses {
        let left = Duration::from_secs(1).saturating_sub(begin.elapsed());
        eventually(&format!("{} reaches {address}", witness.name), left, || {
            witness.ok(&["ping", "-c", "1", "-W", "0.2", &address])
        })?;
    }
    all_pairs(&witnesses.iter().chain([&second]).collect::<Vec<_>>())
}
