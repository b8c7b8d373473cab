//! Ports that an engine publishes: open while their endpoint is its container's way out.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Lab, Netns, Signal, Store};

use crate::{
    container::{Container, Start, run},
    docker::Docker,
    lab,
};

pub(crate) const OPEN: &str = "NetworkDriver.ProgramExternalConnectivity";
const SOON: Duration = Duration::from_secs(5);

/// What its engine says when it publishes port 80 of a container at `host_port`.
pub(crate) fn ports(container: &Container, host_port: u16) -> Value {
    let mut of = container.of();
    of["Options"] = json!({
        "com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}],
        "com.docker.network.portmap": [{
            "Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": host_port,
            "HostPortEnd": host_port,
        }],
    });
    of
}

/// Says `word` to the first who comes to port 80.
fn serve(netns: &Netns, word: &'static str) -> Result<()> {
    let listener = netns.within(|| Ok(TcpListener::bind(("0.0.0.0", 80))?))?;
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            drop(stream.write_all(word.as_bytes()));
        }
    });
    Ok(())
}

fn hear(from: &Netns, address: &str, port: u16) -> Result<String> {
    let target: SocketAddr = format!("{address}:{port}").parse()?;
    from.within(|| {
        let mut stream = TcpStream::connect_timeout(&target, SOON)?;
        stream.set_read_timeout(Some(SOON))?;
        let mut word = String::new();
        stream.read_to_string(&mut word)?;
        Ok(word)
    })
}

fn shown(lab: &Lab) -> Result<String> {
    lab.host(1).ok(["service", "ls"])
}

/// ```text
///   external ── h1:8080 ─ c1:80      and c2, which is to have the same port, and has it once c1 has it no more
/// ```
#[test]
fn ports_are_those_of_the_way_out() -> Result<()> {
    let lab = lab(1, Store::File)?;
    let host = lab.host(1);
    let docker = Docker::of(host);
    let (id, pool) = docker.network("10.77.0.0/24")?;
    let c1 = run(host, &docker, &Start::new("c1", &id, &[&pool]))?;
    let c2 = run(host, &docker, &Start::new("c2", &id, &[&pool]))?;
    serve(&c1.netns, "one")?;
    serve(&c2.netns, "two")?;
    let outside = lab.external().netns();
    const CLOSE: &str = "NetworkDriver.RevokeExternalConnectivity";
    ensure!(hear(outside, &host.address(), 8080).is_err(), "nothing is published yet");
    for _ in 0..2 {
        docker.ask(OPEN, &ports(&c1, 8080))?;
        ensure!(hear(outside, &host.address(), 8080)? == "one");
    }
    ensure!(shown(&lab)?.contains("0.0.0.0:8080->80/tcp"), "{}", shown(&lab)?);
    let said = docker.refused(OPEN, &ports(&c2, 8080))?;
    let name = &c1.endpoint[..12];
    ensure!(said.starts_with("port 8080/tcp of host h1 is published by service docker-"), "{said}");
    ensure!(said.contains(name), "{said}");
    ensure!(hear(outside, &host.address(), 8080)? == "one");
    lab.restart_daemon(host, Signal::SIGKILL)?;
    ensure!(hear(outside, &host.address(), 8080)? == "one");
    for _ in 0..2 {
        docker.ask(CLOSE, &c1.of())?;
        ensure!(hear(outside, &host.address(), 8080).is_err(), "it is open");
    }
    docker.ask(OPEN, &ports(&c2, 8080))?;
    ensure!(hear(outside, &host.address(), 8080)? == "two");
    // What leaves has none any more, whether that was said or not.
    docker.ask("NetworkDriver.Leave", &c2.of())?;
    ensure!(hear(outside, &host.address(), 8080).is_err(), "it is open");
    docker.ask(OPEN, &ports(&c1, 8080))?;
    ensure!(hear(outside, &host.address(), 8080)? == "one");
    let said = docker.refused(OPEN, &ports(&c2, 8081)).context("c2 is in no container")?;
    ensure!(said.contains("is none that Docker has made on this host"), "{said}");
    lab.end()
}
