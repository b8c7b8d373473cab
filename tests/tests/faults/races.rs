//! Many at once: of those who want the same, exactly one gets it, and nothing leaks.

use std::{sync::Barrier, thread, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testbed::{Client, Host, Lab, Options, Output, Store, eventually};

use crate::state;

/// How often several publish the same name at once.
const ROUNDS: usize = 1_000;

/// Does the same on several hosts at once, each with its number.
fn all_at_once(
    hosts: &[Host],
    work: impl Fn(usize, &Host) -> Result<Output> + Sync,
) -> Result<Vec<Output>> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = hosts
            .iter()
            .enumerate()
            .map(|(number, host)| scope.spawn(move || work(number, host)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("the thread ended by itself"))
            .collect()
    })
}

/// Of `outputs`, the number of the only one that succeeded; the others said a sentence with `refusal` in it.
fn winner(outputs: &[Output], refusal: &str) -> Result<usize> {
    let won: Vec<usize> =
        outputs.iter().enumerate().filter(|(_, o)| o.success()).map(|(number, _)| number).collect();
    let [winner] = won.as_slice() else { bail!("{won:?} won: {outputs:#?}") };
    let refused = |o: &&Output| o.code() == 1 && o.stderr.contains(refusal);
    ensure!(outputs.iter().filter(refused).count() == outputs.len() - 1, "{outputs:#?}");
    Ok(*winner)
}

/// Each host publishes the same name at the same moment, a thousand times.
fn one_name_is_one_hosts(store: Store) -> Result<()> {
    let lab = Lab::start(Options { hosts: 4, store, ..Options::default() })?;
    lab.host(1).ok(["network", "create", "--subnet", "10.80.0.0/24", "dev"])?;
    let empty = state::dump(&lab)?;
    let connect = |host: &Host| Client::connect(&host.socket());
    let mut clients: Vec<Client> = lab.hosts().iter().map(connect).collect::<Result<_>>()?;
    let mut wins = [0; 4];
    for round in 0..ROUNDS {
        let (name, start) = (format!("n{round}.dev"), Barrier::new(clients.len()));
        let publish = |client: &mut Client| {
            start.wait();
            client.ask("POST", "/v1/services", &json!({ "service": name }))
        };
        let answers: Vec<(u16, Value)> = thread::scope(|scope| {
            let threads: Vec<_> =
                clients.iter_mut().map(|client| scope.spawn(|| publish(client))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect::<Result<_>>()
        })?;
        let won: Vec<usize> = (0..4).filter(|host| answers[*host].0 == 201).collect();
        let lost = |(status, answer): &&(u16, Value)| {
            let said = answer["error"].as_str().unwrap_or_default();
            *status == 409 && said.contains("is published on network dev already")
        };
        let [winner] = won.as_slice() else { bail!("round {round}: {answers:?}") };
        ensure!(answers.iter().filter(lost).count() == 3, "round {round}: {answers:?}");
        wins[*winner] += 1;
        // The address of the one that won is given back by another, and taken again.
        let other = &mut clients[(winner + 1) % 4];
        other.ok("DELETE", &format!("/v1/services/{name}"), &Value::Null)?;
        if round % 250 == 0 || round + 1 == ROUNDS {
            ensure!(state::dump(&lab)? == empty, "something is left: {:#?}", state::dump(&lab)?);
        }
    }
    ensure!(wins.iter().filter(|wins| **wins > 0).count() > 1, "no race: {wins:?}");
    state::check(&lab)?;
    lab.end()
}

#[test]
fn one_name_is_one_hosts_in_a_file() -> Result<()> {
    one_name_is_one_hosts(Store::File)
}

#[test]
fn one_name_is_one_hosts_in_etcd() -> Result<()> {
    one_name_is_one_hosts(Store::Etcd)
}

/// Different names at once: each gets an address of its own, until none is left.
fn addresses_are_given_once(store: Store) -> Result<()> {
    let lab = Lab::start(Options { hosts: 4, store, ..Options::default() })?;
    // Room for 13 endpoints and the gateway.
    lab.host(1).ok(["network", "create", "--subnet", "10.80.0.0/28", "dev"])?;
    let outputs: Vec<Output> = (0..4)
        .map(|round| {
            all_at_once(lab.hosts(), |number, host| {
                host.netctl(["service", "publish", &format!("n{round}-{number}.dev")])
            })
        })
        .collect::<Result<Vec<_>>>()?
        .concat();
    let full = "network dev has no free address left in 10.80.0.0/28";
    ensure!(outputs.iter().filter(|output| output.success()).count() == 13, "{outputs:#?}");
    ensure!(outputs.iter().filter(|output| output.stderr.contains(full)).count() == 3);
    state::check(&lab)?;
    lab.end()
}

#[test]
fn addresses_are_given_once_in_a_file() -> Result<()> {
    addresses_are_given_once(Store::File)
}

#[test]
fn addresses_are_given_once_in_etcd() -> Result<()> {
    addresses_are_given_once(Store::Etcd)
}

fn one_service_is_one_sandboxes(store: Store) -> Result<()> {
    let lab = Lab::start(Options { store, ..Options::default() })?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["network", "create", "dev"])?;
    h1.ok(["service", "publish", "web.dev"])?;
    for host in [h1, h2] {
        host.ok(["sandbox", "create", "box"])?;
    }
    for round in 0..15 {
        let outputs = all_at_once(lab.hosts(), |_, host| {
            host.netctl(["service", "attach", "box", "web.dev"])
        })?;
        let won = winner(&outputs, "service web.dev is attached to sandbox ")
            .with_context(|| format!("round {round}"))?;
        if round % 5 == 0 {
            // The other host may still be taking notice.
            eventually("all agrees", Duration::from_secs(5), || state::check(&lab))?;
        }
        lab.hosts()[won].ok(["service", "detach", "box", "web.dev"])?;
    }
    // By force both may have it, one after the other; at the end one has.
    for _ in 0..6 {
        let outputs = all_at_once(lab.hosts(), |_, host| {
            host.netctl(["service", "attach", "--force", "box", "web.dev"])
        })?;
        let lost = |output: &&Output| {
            output.stderr.contains("was taken away by another") || output.stderr.contains("already")
        };
        let won = outputs.iter().filter(|output| output.success()).count();
        ensure!(won > 0 && won + outputs.iter().filter(lost).count() == 2, "{outputs:#?}");
        eventually("all agrees", Duration::from_secs(5), || state::check(&lab))?;
    }
    lab.end()
}

#[test]
fn one_service_is_one_sandboxes_in_a_file() -> Result<()> {
    one_service_is_one_sandboxes(Store::File)
}

#[test]
fn one_service_is_one_sandboxes_in_etcd() -> Result<()> {
    one_service_is_one_sandboxes(Store::Etcd)
}

#[test]
fn networks_are_made_once_and_their_subnets_never_overlap() -> Result<()> {
    let lab = Lab::start(Options { hosts: 4, ..Options::default() })?;
    for round in 0..10 {
        let same = format!("same{round}");
        let outputs =
            all_at_once(lab.hosts(), |_, host| host.netctl(["network", "create", &same]))?;
        winner(&outputs, "is there already")?;
        let subnet = format!("10.{}.0.0/16", 90 + round);
        let inner = format!("10.{}.{round}.0/24", 90 + round);
        let outputs = all_at_once(lab.hosts(), |number, host| {
            let wanted = if number % 2 == 0 { &subnet } else { &inner };
            host.netctl(["network", "create", "--subnet", wanted, &format!("o{round}-{number}")])
        })?;
        winner(&outputs, "overlaps with")?;
    }
    // The first service of a network, while somebody removes it: the one or the other.
    for round in 0..10 {
        let same = format!("same{round}");
        let outputs = all_at_once(&lab.hosts()[..2], |number, host| match number {
            0 => host.netctl(["network", "rm", &same]),
            _ => host.netctl(["service", "publish", &format!("a.{same}")]),
        })?;
        ensure!(outputs.iter().filter(|output| output.success()).count() == 1, "{outputs:#?}");
        state::check(&lab)?;
    }
    lab.end()
}
