//! Addresses: unique on all engines, given again to who asks again, and free when they were given back.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::Store;

use crate::{
    container::{Start, run},
    docker::{Docker, create},
    lab, stored,
};

fn asked(pool: &str, address: &str) -> Value {
    json!({"PoolID": pool, "Address": address, "Options": null})
}

#[test]
fn what_was_asked_for_is_given_again_unless_an_endpoint_has_it() -> Result<()> {
    let lab = lab(2, Store::File)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let (d1, d2) = (Docker::of(h1), Docker::of(h2));
    let aux = json!({"r1": "10.70.0.130/24"});
    let make = |docker: &Docker| -> Result<_> {
        let pool = docker.pool("10.70.0.0/24", &json!({}))?;
        docker.ask("IpamDriver.RequestAddress", &asked(&pool.id, "10.70.0.130"))?;
        let id = docker.id();
        let mut asked = create(&id, &[&pool], &json!({}));
        asked["IPv4Data"][0]["AuxAddresses"] = aux.clone();
        docker.ask("NetworkDriver.CreateNetwork", &asked)?;
        Ok((id, pool))
    };
    let ((n1, p1), (_, p2)) = (make(&d1)?, make(&d2)?);
    // An engine that is started anew says all of it again.
    for docker in [&d1, &d2] {
        let again = docker.pool("10.70.0.0/24", &json!({}))?;
        ensure!(again.id == p1.id && again.gateway == p1.gateway, "{again:?}");
        let gateway = json!({
            "PoolID": p1.id, "Address": "10.70.0.1",
            "Options": {"RequestAddressType": "com.docker.network.gateway"},
        });
        docker.ask("IpamDriver.RequestAddress", &gateway)?;
        docker.ask("IpamDriver.RequestAddress", &asked(&p1.id, "10.70.0.130"))?;
    }
    let wanted = asked(&p1.id, "10.70.0.77");
    d1.ask("IpamDriver.RequestAddress", &wanted)?;
    d1.ask("IpamDriver.RequestAddress", &wanted)?;
    let taken = "address 10.70.0.77 is taken on network ";
    let said = d2.refused("IpamDriver.RequestAddress", &wanted)?;
    ensure!(said.starts_with(taken), "{said}");
    let pools = [&p1];
    let mut start = Start::new("c1", &n1, &pools);
    (start.wanted, start.mac) = ("10.70.0.77", "02:de:ad:be:ef:01");
    let c1 = run(h1, &d1, &start)?;
    let shown = c1.netns.run(["ip", "link", "show", "eth0"])?.ok()?;
    ensure!(shown.contains("02:de:ad:be:ef:01"), "{shown}");
    for docker in [&d1, &d2] {
        let said = docker.refused("IpamDriver.RequestAddress", &wanted)?;
        ensure!(said.starts_with(taken), "{said}");
    }
    for (address, sentence) in [
        ("10.70.0.1", "address 10.70.0.1 is taken on network "),
        ("10.70.0.0", "address 10.70.0.0 is not a usable address of subnet 10.70.0.0/24"),
        ("10.71.0.9", "address 10.71.0.9 is not a usable address of subnet 10.70.0.0/24"),
    ] {
        let said = d2.refused("IpamDriver.RequestAddress", &asked(&p2.id, address))?;
        ensure!(said.starts_with(sentence), "{said}");
    }
    c1.stop(&d1)?;
    d2.ask("IpamDriver.RequestAddress", &wanted)?;
    d2.ask("IpamDriver.ReleaseAddress", &json!({"PoolID": p2.id, "Address": "10.70.0.77"}))?;
    d1.ask("IpamDriver.RequestAddress", &wanted)?;
    // What another engine has not, it cannot give back.
    d2.ask("IpamDriver.ReleaseAddress", &json!({"PoolID": p2.id, "Address": "10.70.0.77"}))?;
    let said = d2.refused("IpamDriver.RequestAddress", &wanted)?;
    ensure!(said.starts_with(taken), "{said}");
    lab.end()
}

#[test]
fn two_engines_never_have_the_same_address() -> Result<()> {
    let lab = lab(2, Store::Etcd)?;
    let (d1, d2) = (Docker::of(lab.host(1)), Docker::of(lab.host(2)));
    let (_, p1) = d1.network("10.72.0.0/26")?;
    let (_, p2) = d2.network("10.72.0.0/26")?;
    let all = |docker: &Docker, pool: &str| -> Result<Vec<String>> {
        (0..25)
            .map(|_| {
                let given = docker.ask("IpamDriver.RequestAddress", &asked(pool, ""))?;
                Ok(given["Address"].to_string())
            })
            .collect()
    };
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(|| all(&Docker::of(lab.host(2)), &p2.id));
        (all(&d1, &p1.id), other.join().expect("it does not panic"))
    });
    let mut given = one?;
    given.extend(two?);
    given.sort();
    given.dedup();
    ensure!(given.len() == 50, "{given:?}");
    // Eleven are left of 64 less the ends, the gateway and those.
    for _ in 0..11 {
        d1.ask("IpamDriver.RequestAddress", &asked(&p1.id, ""))?;
    }
    let said = d2.refused("IpamDriver.RequestAddress", &asked(&p2.id, ""))?;
    ensure!(said.contains(" has no free address left in 10.72.0.0/26"), "{said}");
    lab.end()
}

#[test]
fn an_engine_has_addresses_from_its_own_range() -> Result<()> {
    let lab = lab(2, Store::File)?;
    let (d1, d2) = (Docker::of(lab.host(1)), Docker::of(lab.host(2)));
    let mut had = Vec::new();
    for (docker, range) in [(&d1, "10.73.0.64/26"), (&d2, "10.73.0.128/26")] {
        let pool = json!({
            "AddressSpace": "netctl-local", "Pool": "10.73.0.0/24", "SubPool": range,
            "Options": {}, "V6": false,
        });
        let given = docker.ask("IpamDriver.RequestPool", &pool)?;
        let pool = crate::docker::Pool {
            id: given["PoolID"].as_str().unwrap_or_default().to_owned(),
            cidr: "10.73.0.0/24".to_owned(),
            gateway: "10.73.0.1/24".to_owned(),
        };
        let id = docker.id();
        docker.ask("NetworkDriver.CreateNetwork", &create(&id, &[&pool], &json!({})))?;
        had.push((docker, id, docker.address(&pool, "")?, pool));
    }
    ensure!(
        had[0].2 == "10.73.0.64/24" && had[1].2 == "10.73.0.128/24",
        "{} {}",
        had[0].2,
        had[1].2
    );
    for (docker, id, _, pool) in &had {
        docker.remove(id, &[pool])?;
    }
    let keys = stored::dump(&lab)?;
    ensure!(keys.is_empty(), "{keys:#?}");
    lab.end()
}

#[test]
fn a_pool_without_a_network_gives_no_addresses() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let docker = Docker::of(lab.host(1));
    let pool = docker.pool("10.74.0.0/24", &json!({}))?;
    let said = docker.refused("IpamDriver.RequestAddress", &asked(&pool.id, ""))?;
    ensure!(
        said == "pool 10.74.0.0/24 is of no network of netctl's, which alone have endpoints: create the network with \
                 `-d netctl`",
        "{said}"
    );
    let said =
        docker.refused("IpamDriver.RequestAddress", &asked("netctl-local/10.75.0.0/24", ""))?;
    ensure!(
        said == "there is no pool 10.75.0.0/24: remove the network and create it again",
        "{said}"
    );
    lab.end()
}
