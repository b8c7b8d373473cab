//! podman, by network configurations that `netctl cni install` writes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Podman, Signal, eventually};

use crate::stage::{self, json};

on_both_stores! {
    containers_of_two_hosts_reach_each_other on 2;
    containers_come_and_go on 1;
}

/// How long another host may take to know what one did.
const SOON: Duration = Duration::from_secs(5);

/// Starts podman on a host, with the network `dev` as `netctl cni install` writes it.
fn podman<'a>(host: &'a Host, subnet: &str) -> Result<Podman<'a>> {
    let podman = Podman::start(host)?;
    install(&podman, "dev", subnet)?;
    Ok(podman)
}

fn install(podman: &Podman<'_>, network: &str, subnet: &str) -> Result<()> {
    let (bin, conf) = (podman.plugins(), podman.configurations());
    let words = ["cni", "install", "--network", network, "--subnet", subnet, "--bin-dir"];
    let words = words.iter().map(|word| (*word).to_owned());
    let dirs = [bin.display().to_string(), "--conf-dir".to_owned(), conf.display().to_string()];
    podman.host().ok(words.chain(dirs)).map(drop)
}

fn ping(podman: &Podman<'_>, from: &str, to: &str) -> Result<()> {
    let what = format!("{from} on {} reaches {to}", podman.host().name());
    eventually(&what, SOON, || podman.exec(from, &format!("ping -c 1 -W 1 {to}")).map(drop))
}

/// The names of services that are attached.
fn attached(host: &Host) -> Result<Vec<String>> {
    let services = json(host, &["service", "ls"])?;
    let services = services.as_array().context("no list")?;
    let attached = services.iter().filter(|service| !service["owner"].is_null());
    let name = |service: &serde_json::Value| Some(service["name"].as_str()?.to_owned());
    attached.map(|service| name(service).context("no name")).collect()
}

/// ```text
///   h1: one, both ─┐                      ┌─ two :h2, port 8080
///                  ├─ dev 10.80.0.0/24 ───┤
///            both ─┴─ back 10.81.0.0/24   └─ external
/// ```
fn containers_of_two_hosts_reach_each_other(lab: &Lab) -> Result<()> {
    let (one, two) = (podman(lab.host(1), "10.80.0.0/24")?, podman(lab.host(2), "10.80.0.0/24")?);
    one.start_container("one", &["--network", "dev"])?;
    let options = [
        "--network",
        "dev",
        "--ip",
        "10.80.0.77",
        "--mac-address",
        "02:aa:bb:cc:dd:ee",
        "--network-alias",
        "front",
        "--publish",
        "8080:80",
    ];
    let id = two.start_container("two", &options)?;
    let short = id.get(..12).context("a short id")?;
    for name in ["two", "two.dev", "front", short, "10.80.0.77"] {
        ping(&one, "one", name)?;
    }
    ping(&two, "two", "one")?;
    let link = two.exec("two", "ip link show dev eth0")?;
    ensure!(link.contains("02:aa:bb:cc:dd:ee"), "{link}");

    // A published port, from a host outside all networks and from another host.
    let (address, _server) = (lab.host(2).address(), serve(&two, "two")?);
    for from in [lab.external(), lab.host(1)] {
        eventually("the port answers", SOON, || {
            let told = from.run(["bash", "-c", &format!("cat < /dev/tcp/{address}/8080")])?.ok()?;
            ensure!(told.trim() == "served", "{told}");
            Ok(())
        })?;
    }

    // One container in two networks is one sandbox; the names of both lead somewhere.
    install(&one, "back", "10.81.0.0/24")?;
    install(&two, "back", "10.81.0.0/24")?;
    two.start_container("store", &["--network", "back"])?;
    // Without names podman numbers them in the order of a Go map, which is another each time.
    let named = ["dev:interface_name=eth0", "back:interface_name=eth1"];
    one.start_container("both", &["--network", named[0], "--network", named[1]])?;
    for name in ["one", "two", "store", "store.back"] {
        ping(&one, "both", name)?;
    }
    let addresses = one.exec("both", "ip -4 -o address")?;
    for (device, subnet) in [("eth0", "10.80.0."), ("eth1", "10.81.0.")] {
        let mut lines = addresses.lines();
        ensure!(
            lines.any(|line| line.contains(device) && line.contains(subnet)),
            "{device} is not in {subnet}0/24: {addresses}"
        );
    }
    ensure!(one.exec("one", "ping -c 1 -W 1 store").is_err(), "a name of a network not joined");
    ensure!(json(lab.host(1), &["sandbox", "ls"])?.as_array().map(Vec::len) == Some(2));

    // What podman takes off a running container, and puts back.
    one.ok(["network", "disconnect", "back", "both"])?;
    ensure!(one.exec("both", "ping -c 1 -W 1 store").is_err(), "it still reaches the network");
    ping(&one, "both", "two")?;
    one.ok(["network", "connect", "back", "both"])?;
    ping(&one, "both", "store")?;

    // A name that a container of another host has goes with a part of the identifier.
    let id = two.start_container("one", &["--network", "dev"])?;
    let name = format!("one-{}", id.get(..12).context("a short id")?);
    ping(&one, "one", &name)?;
    one.clear()?;
    two.clear()?;
    ensure!(attached(lab.host(1))?.is_empty(), "{:?}", attached(lab.host(1))?);
    ensure!(stage::names(lab.host(1), "service")?.is_empty(), "a service is left");
    Ok(())
}

/// A process in a container that says `served` to who connects to its port 80.
fn serve(podman: &Podman<'_>, container: &str) -> Result<()> {
    let script = "while :; do echo served | nc -l -p 80; done";
    podman.ok(["exec", "--detach", container, "sh", "-c", script]).map(drop)
}

/// ```text
///   h1: one, two ─ dev 10.80.0.0/24
/// ```
fn containers_come_and_go(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    let podman = podman(host, "10.80.0.0/24")?;
    podman.start_container("one", &["--network", "dev"])?;
    podman.start_container("two", &["--network", "dev"])?;
    ensure!(attached(host)? == ["one", "two"], "{:?}", attached(host)?);

    // Stopped, it is on no network; started again it has its name.
    podman.ok(["stop", "--time", "5", "one"])?;
    ensure!(attached(host)? == ["two"], "{:?}", attached(host)?);
    podman.ok(["start", "one"])?;
    ping(&podman, "two", "one")?;
    podman.ok(["rm", "--force", "--time", "0", "one"])?;
    ensure!(stage::names(host, "sandbox")?.len() == 1);

    // The daemon dies and comes back: the container stays, and goes as always.
    lab.restart_daemon(host, Signal::SIGKILL)?;
    podman.start_container("one", &["--network", "dev"])?;
    ping(&podman, "two", "one")?;
    lab.restart_daemon(host, Signal::SIGKILL)?;
    podman.ok(["rm", "--force", "--time", "0", "two"])?;
    ensure!(attached(host)? == ["one"], "{:?}", attached(host)?);

    // While it is down, podman says so at once, and what it removes then is taken down when it is back.
    host.stop_daemon(Signal::SIGTERM)?;
    let begin = Instant::now();
    let failed = podman.run(["run", "--name", "three", "--network", "dev", "box", "true"])?;
    ensure!(begin.elapsed() < Duration::from_secs(10), "podman took {:?}", begin.elapsed());
    let sentence = "netctl daemon cannot be reached at";
    ensure!(!failed.success() && failed.stderr.contains(sentence), "{failed:?}");
    // It says what it could not do, and removes the container all the same.
    podman.run(["rm", "--force", "--time", "0", "one"])?;
    podman.run(["rm", "--force", "--time", "0", "three"])?;
    let left = podman.ok(["ps", "--all", "--quiet"])?;
    ensure!(left.is_empty(), "podman has {left}");
    lab.start_daemon(host)?;
    eventually("what went meanwhile is taken down", Duration::from_mins(1), || {
        ensure!(stage::names(host, "sandbox")?.is_empty(), "a sandbox is left");
        ensure!(stage::names(host, "service")?.is_empty(), "a service is left");
        Ok(())
    })?;

    // Nothing of a failed container is left in the kernel either: `play` looks after the network has gone.
    refused_by_podman(&podman)?;
    chained(&podman)
}

/// What podman's users see of requests that cannot be done, and that nothing is left of them.
fn refused_by_podman(podman: &Podman<'_>) -> Result<()> {
    podman.start_container("one", &["--network", "dev", "--ip", "10.80.0.9", "-p", "8080:80"])?;
    for (options, sentence) in [
        (&["--ip", "10.80.0.9"][..], "address 10.80.0.9 "),
        (&["--ip", "10.99.0.9"], "address 10.99.0.9 is in no subnet of network dev"),
        (&["-p", "8080:80"], "port 8080/tcp of host h1 is published by service one.dev already"),
        (&["--network-alias", "a.b"], "field runtimeConfig.aliases of the network configuration"),
    ] {
        let words = [&["run", "--rm", "--network", "dev"], options, &["box", "true"]].concat();
        let failed = podman.run(words)?;
        ensure!(!failed.success() && failed.stderr.contains(sentence), "{sentence}: {failed:?}");
    }
    ensure!(attached(podman.host())? == ["one"], "{:?}", attached(podman.host())?);
    ensure!(stage::names(podman.host(), "service")? == ["one"]);
    podman.clear()
}

/// A plugin of others behind netctl's: `tuning` changes what netctl made.
fn chained(podman: &Podman<'_>) -> Result<()> {
    let path = podman.configurations().join("10-netctl-dev.conflist");
    let mut conf: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    let plugins = conf["plugins"].as_array_mut().context("no plugins")?;
    plugins.push(serde_json::json!({"type": "tuning", "sysctl": {"net.core.somaxconn": "777"}}));
    std::fs::write(&path, conf.to_string())?;
    podman.start_container("one", &["--network", "dev"])?;
    let value = podman.exec("one", "cat /proc/sys/net/core/somaxconn")?;
    ensure!(value.trim() == "777", "{value}");
    podman.clear()
}
