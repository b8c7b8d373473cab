//! Which of netctl's networks an engine's is, and when it goes.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::{Host, Lab, Store, eventually};

use crate::{
    container::{Start, run},
    docker::{Docker, create},
    lab, stored,
};

const GENERIC: &str = "com.docker.network.generic";

fn networks(host: &Host) -> Result<Vec<String>> {
    let all: Vec<Value> = serde_json::from_str(&host.ok(["network", "ls", "--format", "json"])?)?;
    Ok(all.iter().filter_map(|network| network["name"].as_str().map(str::to_owned)).collect())
}

fn refused(host: &Host, words: &[&str], sentence: &str) -> Result<()> {
    let output = host.netctl(words)?;
    ensure!(output.code() == 1 && output.stderr == format!("error: {sentence}\n"), "{output:?}");
    Ok(())
}

fn nothing_is_left(lab: &Lab) -> Result<()> {
    let keys = stored::dump(lab)?;
    ensure!(keys.is_empty(), "{keys:#?}");
    Ok(())
}

/// ```text
///   h1: box (netctl's) ── dev ── c1 :h2, by `--ipam-opt netctl.network=dev`
/// ```
#[test]
fn a_network_of_netctls_is_joined_by_its_name_and_stays() -> Result<()> {
    let lab = lab(2, Store::File)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["network", "create", "--subnet", "10.60.0.0/24", "--gateway", "10.60.0.254", "dev"])?;
    for words in ["sandbox create box", "service publish svc.dev", "service attach box svc.dev"] {
        h1.ok(words.split(' '))?;
    }
    let docker = Docker::of(h2);
    let pool = docker.pool("", &json!({"netctl.network": "dev"}))?;
    ensure!(pool.cidr == "10.60.0.0/24" && pool.gateway == "10.60.0.254/24", "{pool:?}");
    let id = docker.id();
    docker.ask("NetworkDriver.CreateNetwork", &create(&id, &[&pool], &json!({})))?;
    let c1 = run(h2, &docker, &Start::new("c1", &id, &[&pool]))?;
    c1.ping("10.60.0.1")?;
    ensure!(networks(h1)? == ["dev"], "{:?}", networks(h1)?);
    let of_docker = "network dev is one of Docker's on host h2: remove it there first, with `docker network rm`";
    refused(h1, &["network", "rm", "dev"], of_docker)?;
    c1.stop(&docker)?;
    docker.remove(&id, &[&pool])?;
    ensure!(networks(h1)? == ["dev"], "it has gone with an engine");
    h1.ok(["sandbox", "rm", "box"])?;
    h1.ok(["service", "unpublish", "svc.dev"])?;
    h1.ok(["network", "rm", "dev"])?;
    nothing_is_left(&lab)?;
    lab.end()
}

#[test]
fn a_network_that_is_not_there_is_made_by_the_name_that_was_given() -> Result<()> {
    let lab = lab(2, Store::File)?;
    let (d1, d2) = (Docker::of(lab.host(1)), Docker::of(lab.host(2)));
    let named = json!({"netctl.network": "blue"});
    let p1 = d1.pool("", &named)?;
    let n1 = d1.id();
    d1.ask("NetworkDriver.CreateNetwork", &create(&n1, &[&p1], &json!({})))?;
    ensure!(networks(lab.host(2))? == ["blue"]);
    // The option of the network alone is as good where its subnet is given.
    let p2 = d2.pool(&p1.cidr, &json!({}))?;
    let n2 = d2.id();
    let asked = create(&n2, &[&p2], &json!({GENERIC: named}));
    d2.ask("NetworkDriver.CreateNetwork", &asked)?;
    d2.ask("NetworkDriver.CreateNetwork", &asked)?;
    d1.remove(&n1, &[&p1])?;
    ensure!(networks(lab.host(1))? == ["blue"], "an engine has it yet");
    d2.remove(&n2, &[&p2])?;
    nothing_is_left(&lab)?;
    lab.end()
}

#[test]
fn the_same_subnet_on_two_engines_is_one_network_which_goes_with_the_last() -> Result<()> {
    let lab = lab(2, Store::File)?;
    let (d1, d2) = (Docker::of(lab.host(1)), Docker::of(lab.host(2)));
    // Both ask for the pool before either makes the network.
    let (p1, p2) = (d1.pool("10.61.0.0/24", &json!({}))?, d2.pool("10.61.0.0/24", &json!({}))?);
    let (n1, n2) = (d1.id(), d2.id());
    d1.ask("NetworkDriver.CreateNetwork", &create(&n1, &[&p1], &json!({})))?;
    d2.ask("NetworkDriver.CreateNetwork", &create(&n2, &[&p2], &json!({})))?;
    ensure!(networks(lab.host(1))? == [format!("docker-{}", &n1[..12])]);
    d1.remove(&n1, &[&p1])?;
    ensure!(networks(lab.host(1))?.len() == 1, "an engine has it yet");
    d2.remove(&n2, &[&p2])?;
    nothing_is_left(&lab)?;
    lab.end()
}

#[test]
fn networks_without_a_subnet_are_different_on_two_engines() -> Result<()> {
    let lab = lab(2, Store::File)?;
    let (d1, d2) = (Docker::of(lab.host(1)), Docker::of(lab.host(2)));
    let (p1, p2) = (d1.pool("", &json!({}))?, d2.pool("", &json!({}))?);
    ensure!(p1.cidr != p2.cidr, "{p1:?}");
    for (docker, pool) in [(&d1, &p1), (&d2, &p2)] {
        docker.ask("IpamDriver.ReleasePool", &json!({"PoolID": pool.id}))?;
    }
    nothing_is_left(&lab)?;
    lab.end()
}

#[test]
fn what_netctl_has_in_an_engines_network_keeps_it() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let host = lab.host(1);
    let docker = Docker::of(host);
    let (id, pool) = docker.network("10.62.0.0/24")?;
    let name = networks(host)?.remove(0);
    host.ok(["service", "publish", &format!("own.{name}")])?;
    docker.remove(&id, &[&pool])?;
    ensure!(networks(host)? == [name.as_str()], "a service was in it");
    host.ok(["service", "unpublish", &format!("own.{name}")])?;
    host.ok(["network", "rm", &name])?;
    nothing_is_left(&lab)?;
    lab.end()
}

#[test]
fn a_network_is_gone_with_all_that_its_engine_did_not_end() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let host = lab.host(1);
    let docker = Docker::of(host);
    let (id, pool) = docker.network("10.63.0.0/24")?;
    let c1 = run(host, &docker, &Start::new("c1", &id, &[&pool]))?;
    docker.address(&pool, "")?;
    // As where the daemon was away when the container ended.
    docker.ask("NetworkDriver.DeleteNetwork", &json!({"NetworkID": id}))?;
    nothing_is_left(&lab)?;
    eventually("its interface is gone", Duration::from_secs(5), || {
        let gone = !c1.netns.run(["ip", "link", "show", "eth0"])?.success();
        ensure!(gone, "it is left");
        Ok(())
    })?;
    lab.end()
}

#[test]
fn containers_of_a_network_of_both_families_and_two_subnets_reach_all_of_it() -> Result<()> {
    let lab = lab(2, Store::File)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let (d1, d2) = (Docker::of(h1), Docker::of(h2));
    let make = |docker: &Docker| -> Result<_> {
        let cidrs = ["10.64.0.0/24", "10.65.0.0/24", "fd00:64::/64"];
        let pools: Vec<_> =
            cidrs.iter().map(|cidr| docker.pool(cidr, &json!({}))).collect::<Result<_>>()?;
        let id = docker.id();
        let all: Vec<_> = pools.iter().collect();
        docker.ask("NetworkDriver.CreateNetwork", &create(&id, &all, &json!({})))?;
        Ok((id, pools))
    };
    let ((n1, p1), (n2, p2)) = (make(&d1)?, make(&d2)?);
    let c1 = run(h1, &d1, &Start::new("c1", &n1, &[&p1[0], &p1[2]]))?;
    let c2 = run(h2, &d2, &Start::new("c2", &n2, &[&p2[1], &p2[2]]))?;
    let route = json!([{"Destination": "10.65.0.0/24", "RouteType": 0, "NextHop": "10.64.0.1"}]);
    ensure!(c1.joined["StaticRoutes"] == route, "{}", c1.joined);
    ensure!(c1.joined["GatewayIPv6"] == "fd00:64::1", "{}", c1.joined);
    c1.ping(c2.address())?;
    c1.ping(c2.addresses[1].1.split('/').next().unwrap_or_default())?;
    // One that has no IPv6 address in its engine has none here.
    let c3 = run(h1, &d1, &Start::new("c3", &n1, &[&p1[0]]))?;
    ensure!(c3.joined["GatewayIPv6"].is_null(), "{}", c3.joined);
    for (container, docker) in [(&c1, &d1), (&c3, &d1), (&c2, &d2)] {
        container.stop(docker)?;
    }
    for (docker, id, pools) in [(&d1, &n1, &p1), (&d2, &n2, &p2)] {
        docker.remove(id, &pools.iter().collect::<Vec<_>>())?;
    }
    nothing_is_left(&lab)?;
    lab.end()
}

#[test]
fn an_internal_network_has_no_way_out_and_no_bridge_of_dockers() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let host = lab.host(1);
    let docker = Docker::of(host);
    let pool = docker.pool("10.66.0.0/24", &json!({}))?;
    let id = docker.id();
    let internal = json!({"com.docker.network.internal": true});
    docker.ask("NetworkDriver.CreateNetwork", &create(&id, &[&pool], &internal))?;
    let c1 = run(host, &docker, &Start::new("c1", &id, &[&pool]))?;
    ensure!(c1.joined["Gateway"].is_null() && c1.joined["DisableGatewayService"] == true);
    c1.ping("10.66.0.1")?;
    lab.end()
}

/// A host with networks that engines may name, and one that they cannot join.
fn furnished() -> Result<Lab> {
    let lab = lab(1, Store::File)?;
    for words in [
        "network create --subnet 10.67.0.0/24 -o mtu=1400 dev",
        "network create --subnet 10.68.0.0/24 -o allow-overlap=true one",
        "network create --subnet 10.68.0.0/24 -o allow-overlap=true two",
        "network create -d null none",
    ] {
        lab.host(1).ok(words.split(' '))?;
    }
    Ok(lab)
}

#[test]
fn a_pool_that_does_not_fit_is_refused_in_a_sentence_and_leaves_nothing() -> Result<()> {
    let lab = furnished()?;
    let before = stored::dump(&lab)?;
    let docker = Docker::of(lab.host(1));
    let asked = |cidr: &str, range: &str, options: Value| {
        json!({
            "AddressSpace": "netctl-local", "Pool": cidr, "SubPool": range, "Options": options,
            "V6": cidr.contains(':'),
        })
    };
    for (asked, sentence) in [
        (
            asked("", "10.1.0.0/25", json!({})),
            "ip-range 10.1.0.0/25 is a part of no subnet: give one with --subnet",
        ),
        (
            asked("10.1.0.9/24", "", json!({})),
            "subnet 10.1.0.9/24 has host bits set; did you mean 10.1.0.0/24?",
        ),
        (
            asked("", "", json!({"ik": "iv"})),
            "there is no ipam option ik: there is netctl.network=NAME",
        ),
        (
            asked("10.1.0.0/24", "", json!({"netctl.network": "dev"})),
            "network dev is there with subnet 10.67.0.0/24, not 10.1.0.0/24: give that, or \
             `--ipam-opt netctl.network=dev` and no --subnet",
        ),
        (
            asked("", "", json!({"netctl.network": "none"})),
            "network none is of driver null, which containers of Docker cannot join: choose one of driver overlay or bridge",
        ),
    ] {
        let said = docker.refused("IpamDriver.RequestPool", &asked)?;
        ensure!(said == sentence, "{said}");
    }
    let pool = docker.pool("10.67.0.0/24", &json!({}))?;
    let gateway = json!({
        "PoolID": pool.id, "Address": "10.67.0.9",
        "Options": {"RequestAddressType": "com.docker.network.gateway"},
    });
    let said = docker.refused("IpamDriver.RequestAddress", &gateway)?;
    ensure!(
        said == "network dev has the gateway 10.67.0.1, not 10.67.0.9: leave --gateway out",
        "{said}"
    );
    docker.ask("IpamDriver.ReleasePool", &json!({"PoolID": pool.id}))?;
    let after = stored::dump(&lab)?;
    ensure!(after == before, "{after:#?}");
    lab.end()
}

#[test]
fn a_network_that_does_not_fit_is_refused_in_a_sentence_and_leaves_nothing() -> Result<()> {
    let lab = furnished()?;
    let before = stored::dump(&lab)?;
    let docker = Docker::of(lab.host(1));
    let pool = docker.pool("10.67.0.0/24", &json!({}))?;
    let both = docker.pool("10.68.0.0/24", &json!({}))?;
    let other = docker.pool("", &json!({}))?;
    for (pool, options, sentence) in [
        (
            &pool,
            json!({"com.docker.network.internal": true}),
            "network dev is there with a way out: leave --internal out",
        ),
        (
            &pool,
            json!({GENERIC: {"mtu": "1300"}}),
            "network dev is there without option mtu=1300: leave the option out",
        ),
        (
            &both,
            json!({}),
            "networks one and two all have that subnet: say which is meant with `--ipam-opt netctl.network=NAME`",
        ),
        (
            &other,
            json!({GENERIC: {"netctl.network": "dev"}}),
            "network dev is there with subnet 10.67.0.0/24, not 10.0.0.0/24: give that, or \
             `--ipam-opt netctl.network=dev` and no --subnet",
        ),
        (
            &other,
            json!({GENERIC: {"tenant": "blue"}}),
            "driver overlay has no option tenant: it has vni",
        ),
        (
            &other,
            json!({GENERIC: {"netctl.network": "a b"}}),
            "netctl.network=a b: name \"a b\" must consist of",
        ),
    ] {
        let asked = create(&docker.id(), &[pool], &options);
        let said = docker.refused("NetworkDriver.CreateNetwork", &asked)?;
        ensure!(said.starts_with(sentence), "{said}");
    }
    let mut foreign = create(&docker.id(), &[&other], &json!({}));
    foreign["IPv4Data"][0]["AddressSpace"] = "LocalDefault".into();
    let said = docker.refused("NetworkDriver.CreateNetwork", &foreign)?;
    ensure!(
        said == "subnet 10.0.0.0/24 is not from netctl, whose networks have addresses that are unique on all hosts: add \
                 `--ipam-driver netctl`",
        "{said}"
    );
    let named = create(&docker.id(), &[&pool], &json!({GENERIC: {"mtu": "1400"}}));
    docker.ask("NetworkDriver.CreateNetwork", &named)?;
    docker.remove(named["NetworkID"].as_str().unwrap_or_default(), &[&pool])?;
    for pool in [&both, &other] {
        docker.ask("IpamDriver.ReleasePool", &json!({"PoolID": pool.id}))?;
    }
    let after = stored::dump(&lab)?;
    ensure!(after == before, "{after:#?}");
    lab.end()
}
