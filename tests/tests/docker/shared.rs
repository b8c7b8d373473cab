//! One network on two engines: `docker network create` by the same words on both.

use anyhow::{Result, ensure};
use testbed::{Client, EngineOptions, eventually};

use crate::stage::{SOON, address, attached, create, exec, play, reaches, refused, run};

/// ```text
///   h1: svc1 ─┐
///   h2: svc2 ─┴─ network dev
/// ```
#[test]
fn containers_of_two_engines_are_on_one_network() -> Result<()> {
    play(2, &EngineOptions::default(), |stage| {
        let (e1, e2) = (stage.engine(1), stage.engine(2));
        stage.network("--subnet 10.77.0.0/24 dev")?;
        run(e1, "svc1", "--network dev")?;
        run(e2, "svc2", "--network dev")?;
        let (a1, a2) = (address(e1, "svc1", "dev")?, address(e2, "svc2", "dev")?);
        ensure!(a1 != a2 && a1.starts_with("10.77.0.") && a2.starts_with("10.77.0."), "{a1} {a2}");
        reaches(e1, "svc1", &a2)?;
        reaches(e2, "svc2", &a1)?;
        // The gateway, which is the host's.
        reaches(e1, "svc1", "10.77.0.1")?;
        // What Docker took into the container is counted there.
        let statistic = |what: &str| {
            let file = format!("cat /sys/class/net/eth0/statistics/{what}");
            Ok::<u64, anyhow::Error>(exec(e1, "svc1", &file)?.ok()?.trim().parse()?)
        };
        eventually("its traffic is told", SOON, || {
            let mut client = Client::connect(&stage.host(1).socket())?;
            let traffic = client.ok("GET", "/v1/traffic", &serde_json::Value::Null)?;
            let (received, sent) = (statistic("rx_packets")?, statistic("tx_packets")?);
            let told = ["/0/received/packets", "/0/sent/packets"].map(|at| traffic.pointer(at));
            ensure!(received >= 2, "{received}");
            ensure!(told == [Some(&received.into()), Some(&sent.into())], "{traffic}");
            Ok(())
        })?;
        // It is one network for netctl too, by the name that Docker has for it.
        for host in stage.lab.hosts() {
            eventually("the network has its name", SOON, || {
                let networks = host.ok(["network", "ls", "--format", "json"])?;
                let networks: serde_json::Value = serde_json::from_str(&networks)?;
                let names: Vec<_> = networks.as_array().into_iter().flatten().collect();
                ensure!(names.len() == 1 && names[0]["name"] == "dev", "{networks}");
                Ok(())
            })?;
        }

        // Addresses that people choose.
        run(e1, "chosen", "--network dev --ip 10.77.0.50 --mac-address 02:42:0a:4d:00:99")?;
        let chosen = attached(e1, "chosen", "dev")?;
        ensure!(chosen["IPAddress"] == "10.77.0.50", "{chosen}");
        ensure!(chosen["MacAddress"] == "02:42:0a:4d:00:99", "{chosen}");
        let inside = exec(e1, "chosen", "ip link show eth0")?.ok()?;
        ensure!(inside.contains("02:42:0a:4d:00:99"), "{inside}");
        reaches(e2, "svc2", "10.77.0.50")?;
        let taken = "run --rm --network dev --ip 10.77.0.50 box true";
        refused(e2, taken, &["10.77.0.50"])?;

        // An address is free again as soon as its container is gone, on the other engine too.
        e1.ok(["rm", "-f", "chosen"])?;
        run(e2, "chosen", "--network dev --ip 10.77.0.50")?;
        reaches(e1, "svc1", "10.77.0.50")?;

        // Several for one container, one after another.
        stage.network("--subnet 10.78.0.0/24 other")?;
        run(e2, "far", "--network other")?;
        e1.ok(["network", "connect", "other", "svc1"])?;
        let far = address(e2, "far", "other")?;
        reaches(e1, "svc1", &far)?;
        reaches(e2, "far", &address(e1, "svc1", "other")?)?;
        reaches(e1, "svc1", &a2)?;
        e1.ok(["network", "disconnect", "other", "svc1"])?;
        let links = exec(e1, "svc1", "ip -o link")?.ok()?;
        ensure!(links.lines().count() == 2, "{links}");
        let output = exec(e1, "svc1", &format!("ping -c 1 -W 1 {far}"))?;
        ensure!(!output.success(), "networks reach each other: {output:?}");
        reaches(e1, "svc1", &a2)
    })
}

/// ```text
///   h1: one ─┐
///   h2: two ─┴─ network six, IPv4 and IPv6
/// ```
#[test]
fn a_network_of_both_families() -> Result<()> {
    play(2, &EngineOptions::default(), |stage| {
        let (e1, e2) = (stage.engine(1), stage.engine(2));
        stage.network("--ipv6 --subnet 10.77.0.0/24 --subnet fd00:77::/64 six")?;
        run(e1, "one", "--network six --ip6 fd00:77::50")?;
        run(e2, "two", "--network six")?;
        let one = attached(e1, "one", "six")?;
        ensure!(one["GlobalIPv6Address"] == "fd00:77::50", "{one}");
        let two = attached(e2, "two", "six")?;
        let two6 = two["GlobalIPv6Address"].as_str().unwrap_or_default();
        reaches(e2, "two", "fd00:77::50")?;
        reaches(e1, "one", two6)?;
        reaches(e1, "one", &address(e2, "two", "six")?)?;
        // Out, as the host.
        reaches(e1, "one", &stage.lab.external().address6())?;
        reaches(e1, "one", &stage.lab.external().address())
    })
}

/// A network that `netctl` made is joined by its name, and stays when Docker's goes.
#[test]
fn a_network_of_netctl_is_joined_by_its_name() -> Result<()> {
    play(2, &EngineOptions::default(), |stage| {
        let (host, engine) = (stage.host(1), stage.engine(2));
        host.ok(["network", "create", "--subnet", "10.79.0.0/24", "prod"])?;
        host.ok(["sandbox", "create", "box"])?;
        host.ok(["service", "publish", "--ip", "10.79.0.9", "web.prod"])?;
        host.ok(["service", "attach", "box", "web.prod"])?;
        create(engine, "--ipam-opt netctl.network=prod theirs")?;
        run(engine, "svc", "--network theirs")?;
        reaches(engine, "svc", "10.79.0.9")?;
        host.ok([
            "exec",
            "box",
            "--",
            "ping",
            "-c",
            "1",
            "-W",
            "1",
            &address(engine, "svc", "theirs")?,
        ])?;
        engine.ok(["rm", "-f", "svc"])?;
        engine.ok(["network", "rm", "theirs"])?;
        let networks = host.ok(["network", "ls"])?;
        ensure!(networks.contains("prod"), "{networks}");
        host.ok(["sandbox", "rm", "box"])?;
        host.ok(["service", "unpublish", "web.prod"])?;
        host.ok(["network", "rm", "prod"]).map(drop)
    })
}

/// Where the engine's own addresses would be given out twice.
#[test]
fn another_ipam_driver_is_refused() -> Result<()> {
    play(1, &EngineOptions::default(), |stage| {
        refused(
            stage.engine(1),
            "network create -d netctl --subnet 10.77.0.0/24 dev",
            &["--ipam-driver netctl"],
        )
    })
}
