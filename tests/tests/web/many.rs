//! Fifty hosts with five hundred services, which others than daemons have put into the store, with values that no daemon of
//! ours would put there.

use std::{net::Ipv4Addr, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use netctl::{
    model::{Endpoint, EndpointId, HostId, Network, SandboxId},
    store::{EtcdOptions, OpenOptions, Outcome, Txn, open},
};
use serde_json::json;
use testbed::{Etcd, Host, Lab, Store};

use crate::{
    browser::Browser,
    stage::{URL, join, lab},
};

const HOSTS: u8 = 50;
const SERVICES: u8 = 10;
/// What a browser would run if the page took it for more than text.
const SCRIPT: &str =
    "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>";

/// The host and its services, in as many networks.
fn simulated(number: u8, networks: &[Network]) -> Result<Txn> {
    let (name, vtep) = (format!("sim{number:02}"), Ipv4Addr::new(192, 0, 2, 100 + number));
    let host = json!({
        "schema": 1, "id": HostId::random(), "name": name, "vteps": [vtep], "vxlan_port": 4789,
        "mtu": 1500, "version": SCRIPT, "started": 0,
    });
    let mut txn = Txn::new().put(format!("hosts/{name}"), serde_json::to_vec(&host)?);
    for service in 0..SERVICES {
        let network = &networks[usize::from(service) % networks.len()];
        let id = EndpointId::random();
        let std::net::IpAddr::V4(base) = network.subnets[0].cidr.network() else {
            anyhow::bail!("a network of IPv4");
        };
        let [a, b, ..] = base.octets();
        let value = json!({
            "schema": 1, "id": id, "network": network.id, "name": format!("svc-{number:02}-{service}"),
            "aliases": [], "mac": format!("02:00:00:00:{number:02x}:{service:02x}"),
            "addresses": [format!("{}/16", Ipv4Addr::new(a, b, number, service + 1))],
            "owner": { "host": name, "sandbox": SandboxId::random(), "vteps": [vtep] }, "created": 0,
        });
        // As the daemons read it.
        serde_json::from_value::<Endpoint>(value.clone())?;
        txn = txn.put(format!("endpoints/{}/{id}", network.id), serde_json::to_vec(&value)?);
    }
    Ok(txn)
}

fn network(host: &Host, name: &str) -> Result<Network> {
    let text = host.ok(["network", "inspect", name])?;
    let mut views: Vec<Network> = serde_json::from_str(&text)?;
    views.pop().context("no network")
}

/// Puts all of them into the lab's etcd.
fn populate(lab: &Lab, networks: &[Network]) -> Result<()> {
    lab.host(1).netns().within(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let options = OpenOptions { file: PathBuf::new(), etcd: EtcdOptions::default() };
            let store = open(&format!("etcd:{}", Etcd::url()).parse()?, &options).await?;
            for number in 1..=HOSTS {
                let outcome = store.commit(simulated(number, networks)?).await?;
                ensure!(matches!(outcome, Outcome::Committed(_)), "a conflict");
            }
            Ok(())
        })
    })
}

#[test]
fn fifty_hosts_can_be_looked_at() -> Result<()> {
    let lab = lab(1, Store::Etcd)?;
    let host = lab.host(1);
    let played = || {
        let mut networks = Vec::new();
        for place in 0..5 {
            let (name, subnet) = (format!("net{place}"), format!("10.{}.0.0/16", 100 + place));
            host.ok(["network", "create", "--subnet", &subnet, &name])?;
            join(host, &format!("own{place}.{name}"))?;
            networks.push(network(host, &name)?);
        }
        populate(&lab, &networks)?;
        let mut browser = Browser::open(&lab, host, URL)?;
        browser.shows("#figure-hosts", "51")?;
        browser.shows("#figure-services", "505")?;
        browser.until("document.querySelectorAll('#map .box.host').length === 51")?;
        browser.until("document.querySelectorAll('#map .chip').length === 505")?;
        ensure!(browser.rows("services")?.len() == 505);
        let hosts = browser.rows("hosts")?;
        let version = &hosts.iter().find(|row| row[0] == "sim07").context("no row")?[5];
        ensure!(version == SCRIPT, "{version}");
        ensure!(browser.ask("document.title")? == "h1 · netctl");
        ensure!(browser.ask("document.querySelectorAll('main img, main script').length")? == 0);
        browser.pictures("many")?;
        browser.close(URL)
    };
    played().map_err(|error| lab.explain(error))?;
    lab.end()
}
