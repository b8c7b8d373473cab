//! What somebody else wrote to the store, or took out of it: a daemon that starts frees what nobody holds and puts back
//! what somebody does, and nothing else.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use netctl::store::{EtcdOptions, OpenOptions, Txn, open};
use serde_json::Value;
use testbed::{Lab, Options, Signal, Store, eventually};

use crate::state;

/// Does to the store what no daemon would.
fn meddle(lab: &Lab, txn: Txn) -> Result<()> {
    let url = lab.store_of(lab.host(1));
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let options = OpenOptions { file: "unused".into(), etcd: EtcdOptions::default() };
            open(&url.parse()?, &options).await?.commit(txn).await?;
            Ok(())
        })
    };
    // etcd is on the underlay.
    lab.external().netns().within(work)
}

fn audit(lab: &Lab) -> Result<Value> {
    let status: Value = serde_json::from_str(&lab.host(1).ok(["status", "--format", "json"])?)?;
    Ok(status["audit"].clone())
}

fn id_of(lab: &Lab, words: &[&str]) -> Result<String> {
    let found: Value = serde_json::from_str(&lab.host(1).ok(words)?)?;
    Ok(found[0]["id"].as_str().context("no id")?.to_owned())
}

/// A network with an endpoint that is attached and one that is not, and a local network.
fn furnished(store: Store) -> Result<(Lab, String, String)> {
    let lab = Lab::start(Options { store, ..Options::default() })?;
    for words in [
        "network create --subnet 10.80.0.0/24 -o vni=4242 dev",
        "network create -d bridge --subnet 10.81.0.0/24 own",
        "network create -d null none",
        "sandbox create box",
        "service publish web.dev",
        "service publish idle.dev",
        "service attach box web.dev",
    ] {
        lab.host(1).ok(words.split(' '))?;
    }
    let network = id_of(&lab, &["network", "inspect", "dev"])?;
    let endpoint = id_of(&lab, &["service", "inspect", "web.dev"])?;
    Ok((lab, network, endpoint))
}

fn what_nobody_holds_is_freed(store: Store) -> Result<()> {
    let (lab, dev, web) = furnished(store)?;
    let (gone, nobody) = ("ab".repeat(32), "cd".repeat(32));
    let before = state::dump(&lab)?;
    let orphans = [
        (format!("ipam/addresses/{dev}/10.80.0.77"), nobody.clone()),
        // Its endpoint is there, and has another.
        (format!("ipam/addresses/{dev}/10.80.0.78"), web),
        (format!("ipam/addresses/{gone}/10.82.0.1"), "gateway".to_owned()),
        (format!("ipam/macs/{dev}/02:00:00:00:00:77"), nobody.clone()),
        (format!("ipam/pools/10.82.0.0/24/{gone}"), "ghost".to_owned()),
        (format!("ipam/hints/{gone}/last/10.82.0.0/24"), "10.82.0.9".to_owned()),
        ("vnis/5000".to_owned(), "ghost".to_owned()),
        ("names/networks/ghost".to_owned(), gone.clone()),
        ("names/local/ghost/h1".to_owned(), gone),
        (format!("names/endpoints/{dev}/ghost"), nobody.clone()),
        (format!("attachments/h2/{nobody}"), format!("\"{dev}\"")),
        ("sole/null/h9".to_owned(), "ghost".to_owned()),
    ];
    let unclear = [
        (format!("ipam/addresses/{dev}/10.80.0.79"), "somebody".to_owned()),
        ("names/networks/odd".to_owned(), "7".to_owned()),
    ];
    let all = orphans.iter().chain(&unclear);
    meddle(&lab, all.fold(Txn::new(), |txn, (key, value)| txn.put(key, value.as_str())))?;
    lab.restart_daemon(lab.host(1), Signal::SIGTERM)?;
    eventually("it was looked", Duration::from_secs(20), || {
        ensure!(audit(&lab)?["freed"] == orphans.len(), "{}", audit(&lab)?);
        Ok(())
    })?;
    ensure!(audit(&lab)?["unclear"] == unclear.len(), "{}", audit(&lab)?);
    ensure!(audit(&lab)?["put_back"] == 0, "{}", audit(&lab)?);
    let said = lab.host(1).ok(["status"])?;
    let line = "12 freed, 2 unclear, see the daemon's log, looked ";
    ensure!(said.lines().any(|l| l.starts_with("Audit:") && l.contains(line)), "{said}");
    let mut expected = before;
    expected.extend(unclear.iter().cloned());
    let after = state::dump(&lab)?;
    ensure!(after == expected, "{after:#?}\n{expected:#?}");
    let log = lab.host(1).log();
    for (key, _) in &orphans {
        ensure!(log.contains(key), "{key} is not named: {log}");
    }
    for (key, value) in &unclear {
        let sentence = format!("{key} is {value:?}, which cannot be read");
        ensure!(log.replace('\\', "").contains(&sentence), "{sentence}: {log}");
    }
    // All is as it was: the address is free, and so are the names.
    meddle(&lab, unclear.iter().fold(Txn::new(), |txn, (key, _)| txn.delete(key)))?;
    for words in [
        "service publish --ip 10.80.0.77 --mac 02:00:00:00:00:77 ghost.dev",
        "network create --subnet 10.82.0.0/24 -o vni=5000 ghost",
    ] {
        lab.host(2).ok(words.split(' '))?;
    }
    state::check(&lab)?;
    lab.end()
}

#[test]
fn what_nobody_holds_is_freed_in_a_file() -> Result<()> {
    what_nobody_holds_is_freed(Store::File)
}

#[test]
fn what_nobody_holds_is_freed_in_etcd() -> Result<()> {
    what_nobody_holds_is_freed(Store::Etcd)
}

fn what_is_held_is_put_back(store: Store) -> Result<()> {
    let (lab, dev, _) = furnished(store)?;
    let before = state::dump(&lab)?;
    // All but attachments, whose absence says that an endpoint is not here, and what one driver alone knows of.
    let lost: Vec<&String> = before
        .keys()
        .filter(|key| ["ipam/", "vnis/", "names/"].iter().any(|prefix| key.starts_with(prefix)))
        .collect();
    ensure!(lost.len() > 12, "{lost:#?}");
    // One is not lost, but another's who is not there.
    let other = format!("names/endpoints/{dev}/idle");
    let txn =
        lost.iter().filter(|key| ***key != other).fold(Txn::new(), |txn, key| txn.delete(*key));
    meddle(&lab, txn.put(other, "cd".repeat(32)))?;
    lab.restart_daemon(lab.host(1), Signal::SIGTERM)?;
    eventually("it was looked", Duration::from_secs(20), || {
        ensure!(audit(&lab)?["put_back"] == lost.len(), "{} of {}", audit(&lab)?, lost.len());
        Ok(())
    })?;
    ensure!(audit(&lab)?["freed"] == 0, "{}", audit(&lab)?);
    let after = state::dump(&lab)?;
    ensure!(after == before, "{after:#?}\n{before:#?}");
    eventually("all agrees", Duration::from_secs(5), || state::check(&lab))?;
    lab.end()
}

#[test]
fn what_is_held_is_put_back_in_a_file() -> Result<()> {
    what_is_held_is_put_back(Store::File)
}

#[test]
fn what_is_held_is_put_back_in_etcd() -> Result<()> {
    what_is_held_is_put_back(Store::Etcd)
}

fn operations_are_not_disturbed(store: Store) -> Result<()> {
    let (lab, dev, _) = furnished(store)?;
    let before = state::dump(&lab)?;
    let host = lab.host(2);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|client| {
                scope.spawn(move || -> Result<()> {
                    for round in 0..12 {
                        let service = format!("s{client}-{round}.dev");
                        host.ok(["service", "publish", &service])?;
                        host.ok(["service", "inspect", &service])?;
                        host.ok(["service", "unpublish", &service])?;
                    }
                    Ok(())
                })
            })
            .collect();
        // Each start looks; and each finds something.
        for round in 0..3 {
            let key = format!("ipam/addresses/{dev}/10.80.0.{}", 200 + round);
            meddle(&lab, Txn::new().put(&*key, "cd".repeat(32)))?;
            lab.restart_daemon(lab.host(1), Signal::SIGTERM)?;
            eventually("it was freed", Duration::from_secs(20), || {
                ensure!(
                    audit(&lab)?["freed"] == 1 && audit(&lab)?["put_back"] == 0,
                    "{}",
                    audit(&lab)?
                );
                Ok(())
            })?;
        }
        clients.into_iter().try_for_each(|client| client.join().expect("no panic"))
    })?;
    ensure!(state::dump(&lab)? == before, "{:#?}", state::dump(&lab)?);
    eventually("all agrees", Duration::from_secs(5), || state::check(&lab))?;
    lab.end()
}

#[test]
fn operations_are_not_disturbed_in_a_file() -> Result<()> {
    operations_are_not_disturbed(Store::File)
}

#[test]
fn operations_are_not_disturbed_in_etcd() -> Result<()> {
    operations_are_not_disturbed(Store::Etcd)
}

/// Its lease would go on for ever, and nobody would know of the host.
#[test]
fn a_hosts_key_that_others_removed_is_put_again() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    let listed = || lab.host(1).ok(["host", "ls", "-q"]);
    eventually("h2 is listed", Duration::from_secs(10), || {
        listed()?.contains("h2").then_some(()).context("h2 is missing")
    })?;
    meddle(&lab, Txn::new().delete("hosts/h2"))?;
    eventually("h2 is listed again", Duration::from_secs(20), || {
        listed()?.contains("h2").then_some(()).context("h2 is missing")
    })?;
    lab.end()
}
