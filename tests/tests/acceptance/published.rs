//! What published ports become on the hosts: chosen once, seen by all, kept, and free again.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Host, Lab, Signal, eventually};

use crate::{
    container::{Container, SOON},
    stage::{self, field, refused},
};

on_both_stores! {
    a_port_of_a_host_is_one_services on 2;
    what_another_host_took_is_free_at_once on 2;
    free_ports_are_chosen_and_kept on 2;
    ports_are_published_as_the_network_says on 2;
}

/// ```text
///   h1: box-web, box-other   h2: box-there         network dev, and one port 8080 on each host
/// ```
fn a_port_of_a_host_is_one_services(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["network", "create", "dev"])?;
    let ports = ["-p", "8080:80", "-p", "127.0.0.1:5353:53/udp"];
    let web = Container::new(h1, "web", "dev", &ports)?;
    let bound = json!([
        {"address": "0.0.0.0", "host_port": 8080, "port": 80, "transport": "tcp"},
        {"address": "127.0.0.1", "host_port": 5353, "port": 53, "transport": "udp"},
    ]);
    for host in lab.hosts() {
        ensure!(self::bound(host, "web")? == bound, "{}", self::bound(host, "web")?);
        listed(host, "web", "0.0.0.0:8080->80/tcp,127.0.0.1:5353->53/udp")?;
    }
    let shown = h1.ok(["sandbox", "inspect", "box-web", "--format", "table"])?;
    ensure!(shown.contains(" port 0.0.0.0:8080->80/tcp port 127.0.0.1:5353->53/udp"), "{shown}");
    let shown = h2.ok(["service", "inspect", "web.dev", "--format", "table"])?;
    for line in ["Published", "8080:80/tcp", "Bound", "0.0.0.0:8080->80/tcp"] {
        ensure!(shown.contains(line), "{shown}");
    }

    h1.ok(["sandbox", "create", "box-other"])?;
    h2.ok(["sandbox", "create", "box-there"])?;
    for (service, port) in
        [("all", "8080:80"), ("one", "192.0.2.1:8080:80"), ("low", "5353:53/udp")]
    {
        h1.ok(["service", "publish", "-p", port, &format!("{service}.dev")])?;
        listed(h2, service, &format!("{port}/tcp").replace("/udp/tcp", "/udp"))?;
    }
    let attach = |service| ["service", "attach", "box-other", service];
    let taken = |port: &str, by: &str| {
        format!(
            "port {port} of host h1 is published by service {by} already: publish another, or detach"
        )
    };
    refused(h1, &attach("all.dev"), &[&taken("8080/tcp", "web.dev")])?;
    refused(h1, &attach("one.dev"), &[&taken("8080/tcp", "web.dev")])?;
    refused(h1, &attach("low.dev"), &[&taken("127.0.0.1:5353/udp", "web.dev")])?;
    let connect = ["network", "connect", "-p", "8080:80", "dev", "box-other"];
    refused(h1, &connect, &[&taken("8080/tcp", "web.dev")])?;
    let run = ["run", "-p", "8080:80", "--publish-service", "x.dev", "--", "true"];
    refused(h1, &run, &[&taken("8080/tcp", "web.dev")])?;
    ensure!(stage::names(h1, "service")? == ["all", "low", "one", "web"], "something is left");
    // Another host has ports of its own, and TCP others than UDP.
    h2.ok(["service", "attach", "box-there", "all.dev"])?;
    h1.ok(["service", "publish", "-p", "8080:80/udp", "udp.dev"])?;
    h1.ok(attach("udp.dev"))?;
    ports_are_free_again(lab, &web)
}

/// However a service loses its ports, the next may have them at once.
fn ports_are_free_again(lab: &Lab, web: &Container<'_>) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    let attach = ["service", "attach", "box-other", "one.dev"];
    web.detach()?;
    listed(h2, "web", "8080:80/tcp,127.0.0.1:5353:53/udp")?;
    h1.ok(attach)?;
    refused(h1, &["service", "attach", "box-web", "web.dev"], &["by service one.dev already"])?;
    h2.ok(["service", "unpublish", "-f", "one.dev"])?;
    web.attach()?;
    // Where another host takes the service, it takes its ports there.
    h2.ok(["service", "unpublish", "-f", "all.dev"])?;
    h2.ok(["service", "attach", "-f", "box-there", "web.dev"])?;
    ensure!(field(h1, &["service", "inspect", "web.dev"], "/0/owner/ports/0/host_port")? == "8080");
    h1.ok(["network", "connect", "-p", "8080:80", "dev", "box-other"])?;
    refused(h1, &["service", "attach", "-f", "box-web", "web.dev"], &["box-other.dev already"])?;
    h1.ok(["sandbox", "rm", "box-other"])?;
    h1.ok(["service", "attach", "-f", "box-web", "web.dev"])?;
    // Its own ports are not in its way where another sandbox of the host takes it.
    h1.ok(["sandbox", "create", "box-new"])?;
    h1.ok(["service", "attach", "-f", "box-new", "web.dev"])?;
    listed(h2, "web", "0.0.0.0:8080->80/tcp,127.0.0.1:5353->53/udp")?;
    h1.ok(["sandbox", "rm", "box-new"])?;
    let run = ["run", "--name", "box", "-p", "8080:80", "--publish-service", "x.dev", "--", "true"];
    h1.ok(run)?;
    listed(h2, "x", "0.0.0.0:8080->80/tcp")
}

/// ```text
///   h1: its daemon is held while h2 takes box.dev away, and then asked for the port before it can have followed
/// ```
fn what_another_host_took_is_free_at_once(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["network", "create", "dev"])?;
    let next = Container::new(h1, "next", "dev", &["-p", "8080:80"])?;
    let range = Container::new(h1, "range", "dev", &["-p", "8081-8081:80", "-p", "8082-8083:81"])?;
    h1.ok(["sandbox", "create", "box"])?;
    let daemon = nix::unistd::Pid::from_raw(h1.daemon_pid().context("no daemon")?);
    for (container, ports) in [(&next, "8080:80"), (&range, "8082-8083:80-81")] {
        container.detach()?;
        h1.ok(["network", "connect", "-p", ports, "dev", "box"])?;
        nix::sys::signal::kill(daemon, Signal::SIGSTOP)?;
        h2.ok(["service", "unpublish", "-f", "box.dev"])?;
        let words = ["netctl", "service", "attach", &container.name, &container.reference()];
        let mut attach = h1.spawn(&container.service, words)?;
        eventually("the daemon is being asked", SOON, || {
            let sockets = h1.run(["ss", "--no-header", "--unix", "--listening"])?.ok()?;
            // The third column is how many wait to be accepted.
            let waiting = |line: &str| line.split_whitespace().nth(2) == Some("1");
            ensure!(sockets.lines().any(waiting), "{sockets}");
            Ok(())
        })?;
        nix::sys::signal::kill(daemon, Signal::SIGCONT)?;
        attach.wait(SOON)?;
        let said = attach.log();
        ensure!(said.trim() == container.reference(), "{said}");
    }
    Ok(())
}

const LOCAL_PORTS: &str = "net/ipv4/ip_local_port_range";

/// Leaves four ports for who asks for any: none that the kernel has chosen from before.
fn few_local_ports(host: &Host) -> Result<()> {
    host.netns().set_sysctl(LOCAL_PORTS, "20000 20003")
}

/// ```text
///   h1: processes and services share four ports that any may be chosen of
/// ```
fn free_ports_are_chosen_and_kept(lab: &Lab) -> Result<()> {
    let host = lab.host(1);
    few_local_ports(host)?;
    host.ok(["network", "create", "dev"])?;
    let listener = host.netns().within(|| Ok(TcpListener::bind("0.0.0.0:20001")?))?;
    let in_use =
        "port 20001/tcp of host h1 is in use by a process there: publish another, or end it first";
    host.ok(["sandbox", "create", "box"])?;
    let fixed = ["network", "connect", "-p", "20001:80", "dev", "box"];
    refused(host, &fixed, &[in_use])?;

    let any = Container::new(host, "any", "dev", &["-p", "80-82"])?;
    let mut chosen = host_ports(host, "any")?;
    chosen.sort_unstable();
    ensure!(chosen == [20000, 20002, 20003], "{chosen:?}");
    let more = ["network", "connect", "-p", "80", "dev", "box"];
    let exhausted = "service box is to have one of the ports 20000-20003 of host h1 for its 80, and none is free: \
                     publish another, or detach a service that has one";
    refused(host, &more, &[exhausted])?;
    drop(listener);
    host.ok(fixed)?;
    host.ok(["network", "disconnect", "dev", "box"])?;

    let range = Container::new(host, "range", "dev", &["-p", "20000-20001:80"])?;
    ensure!(host_ports(host, "range")? == [20001], "{:?}", host_ports(host, "range")?);
    let before = [bound(host, "any")?, bound(host, "range")?];
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        // A daemon that starts needs ports for itself, to reach the store.
        host.netns().set_sysctl(LOCAL_PORTS, "32768 60999")?;
        lab.restart_daemon(host, signal)?;
        few_local_ports(host)?;
        refused(host, &more, &[exhausted])?;
        refused(host, &fixed, &["published by service range.dev already"])?;
        for seen_by in lab.hosts() {
            ensure!([bound(seen_by, "any")?, bound(seen_by, "range")?] == before, "they changed");
        }
    }
    range.detach()?;
    any.detach()?;
    any.attach()?;
    host.ok(more).map(drop)
}

/// ```text
///   h1 192.0.2.1, h2 192.0.2.2: networks of both families, of one address of a host, and routed ones
/// ```
fn ports_are_published_as_the_network_says(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    for (network, further) in [
        ("both", &["--ipv6"][..]),
        ("bound", &["-o", "host-binding=192.0.2.1"]),
        ("routed", &["--ipv6", "-o", "gateway-mode=routed"]),
        ("mixed", &["--ipv6", "-o", "gateway-mode-ipv6=routed"]),
    ] {
        h1.ok(["network", "create"].iter().chain(further).chain(&[network]))?;
    }
    for (service, network, port, expected) in [
        ("a", "both", "8001:80", "8001->80/tcp"),
        ("b", "both", "[::]:8002:80", "[::]:8002->80/tcp"),
        ("c", "both", "8003-8005:80-82", "8003-8005->80-82/tcp"),
        ("d", "bound", "8006:80", "192.0.2.1:8006->80/tcp"),
        ("e", "bound", "0.0.0.0:8007:80", "0.0.0.0:8007->80/tcp"),
        // A port of the host means nothing where nothing is translated.
        ("f", "routed", "8001:80", "80/tcp"),
        ("g", "routed", "203.0.113.9:8001:80", "80/tcp"),
        ("h", "mixed", "8008:80", "0.0.0.0:8008->80/tcp,80/tcp"),
    ] {
        Container::new(h1, service, network, &["-p", port])?;
        listed(h2, service, expected)?;
    }
    h2.ok(["sandbox", "create", "far"])?;
    let elsewhere = "publishes 8009:80/tcp at 192.0.2.1, which is no address of host h2: \
                     attach it on a host that has it, or publish at another";
    refused(h2, &["network", "connect", "-p", "8009:80", "bound", "far"], &[elsewhere])?;
    let port = "[2001:db8::9]:8009:80";
    let unknown =
        "publishes [2001:db8::9]:8009:80/tcp at 2001:db8::9, which is no address of host h2";
    refused(h2, &["network", "connect", "-p", port, "both", "far"], &[unknown])?;
    h2.ok(["network", "connect", "-p", "127.9.9.9:8009:80", "both", "far"]).map(drop)
}

/// What the ports of a service are bound to.
fn bound(host: &Host, service: &str) -> Result<Value> {
    let shown = stage::json(host, &["service", "inspect", service])?;
    shown.pointer("/0/owner/ports").cloned().with_context(|| format!("{shown}"))
}

/// The ports of the host that a service has.
fn host_ports(host: &Host, service: &str) -> Result<Vec<u64>> {
    let bound = bound(host, service)?;
    let ports: Option<Vec<u64>> = bound
        .as_array()
        .and_then(|all| all.iter().map(|port| port["host_port"].as_u64()).collect());
    ports.with_context(|| format!("{bound}"))
}

/// Fails unless `service ls` shows these ports of a service.
fn listed(host: &Host, service: &str, ports: &str) -> Result<()> {
    let table = host.ok(["service", "ls"])?;
    let line = table.lines().find(|line| line.split_whitespace().nth(1) == Some(service));
    let line = line.with_context(|| format!("no {service} in {table}"))?;
    ensure!(line.split_whitespace().any(|cell| cell == ports), "{ports}: {line}");
    Ok(())
}
