//! Containers find each other by name, on whichever engine they are, with no setting of the engine for that.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType, rdata},
};
use testbed::{Engine, EngineOptions, Netns, Signal, eventually};

use crate::stage::{SOON, address, exec, play, reaches, run};

/// A name server that knows one address for all names.
struct NameServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    fn start(netns: &Netns, own: &str, address: Ipv4Addr) -> Result<Self> {
        let socket = netns.within(|| Ok(UdpSocket::bind((own, 53))?))?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut bytes = [0; 1500];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
                let Ok(query) = Message::from_vec(&bytes[..length]) else { continue };
                drop(answer(&query, address).map(|answer| socket.send_to(&answer, from)));
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

fn answer(query: &Message, address: Ipv4Addr) -> Result<Vec<u8>> {
    let question = query.queries.first().context("no question")?;
    let mut message = Message::response(query.id, query.op_code);
    message.metadata.response_code = ResponseCode::NoError;
    message.add_queries(query.queries.iter().cloned());
    if question.query_type == RecordType::A {
        let data = RData::A(rdata::A(address));
        message.add_answers([Record::from_rdata(question.name.clone(), 1, data)]);
    }
    Ok(message.to_vec()?)
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// The addresses that a name means in a container, where it means any.
fn resolve(engine: &Engine, container: &str, name: &str) -> Result<Vec<String>> {
    let output = exec(engine, container, &format!("nslookup -type=a {name}"))?;
    // The first address is the server's own.
    let addresses = output.stdout.lines().filter_map(|line| line.strip_prefix("Address: "));
    Ok(addresses.map(ToOwned::to_owned).collect())
}

pub(crate) fn means(
    engine: &Engine,
    container: &str,
    name: &str,
    addresses: &[&str],
) -> Result<()> {
    let wanted: BTreeSet<&str> = addresses.iter().copied().collect();
    eventually(&format!("{name} means {wanted:?} in {container}"), SOON, || {
        let found = resolve(engine, container, name)?;
        let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        ensure!(found == wanted, "{found:?}");
        Ok(())
    })
}

/// ```text
///   h1: svc1 ────────────┐
///   h2: svc2, web1, web2 ┴─ network dev
/// ```
#[test]
fn containers_of_two_engines_find_each_other_by_name() -> Result<()> {
    play(2, &EngineOptions::default(), |stage| {
        let (e1, e2) = (stage.engine(1), stage.engine(2));
        stage.network("--subnet 10.77.0.0/24 dev")?;
        run(e1, "svc1", "--network dev")?;
        run(e2, "svc2", "--network dev")?;
        reaches(e1, "svc1", "svc2")?;
        reaches(e2, "svc2", "svc1")?;
        reaches(e2, "svc2", "svc1.dev")?;
        let id = e1.ok(["inspect", "-f", "{{.Id}}", "svc1"])?;
        reaches(e2, "svc2", &id[..12])?;

        // What several share is one after another.
        for name in ["web1", "web2"] {
            run(e2, name, "--network dev --network-alias web")?;
        }
        let (web1, web2) = (address(e2, "web1", "dev")?, address(e2, "web2", "dev")?);
        means(e1, "svc1", "web", &[&web1, &web2])?;
        let mut first = BTreeSet::new();
        for _ in 0..64 {
            first.extend(resolve(e1, "svc1", "web")?.into_iter().next());
            if first.len() == 2 {
                break;
            }
        }
        ensure!(first.len() == 2, "always the same first: {first:?}");
        e2.ok(["stop", "-t", "1", "web1"])?;
        means(e1, "svc1", "web", &[&web2])?;
        e2.ok(["start", "web1"])?;
        means(e1, "svc1", "web", &[&address(e2, "web1", "dev")?, &web2])?;

        // Another name, from now on.
        e2.ok(["rename", "svc2", "renamed"])?;
        reaches(e1, "svc1", "renamed")?;
        means(e1, "svc1", "svc2", &[])?;

        // A name that containers of two engines have means both.
        run(e1, "both", "--network dev")?;
        run(e2, "both", "--network dev")?;
        let both = [address(e1, "both", "dev")?, address(e2, "both", "dev")?];
        stage.host(1).ok(["sandbox", "create", "box"])?;
        stage.host(1).ok(["service", "publish", "asker.dev"])?;
        stage.host(1).ok(["service", "attach", "box", "asker.dev"])?;
        eventually("both are meant", SOON, || {
            let found = stage.host(1).ok(["exec", "box", "--", "getent", "ahostsv4", "both"])?;
            ensure!(both.iter().all(|address| found.contains(address)), "{found}");
            Ok(())
        })?;
        // And what netctl has published is found by Docker's.
        reaches(e2, "renamed", "asker")?;
        stage.host(1).ok(["sandbox", "rm", "box"])?;
        stage.host(1).ok(["service", "unpublish", "asker.dev"]).map(drop)
    })
}

/// ```text
///   h1: svc1 ─┐
///   h2: svc2 ─┴─ network dev        external: two name servers
/// ```
#[test]
fn names_from_outside_are_asked_of_who_was_meant() -> Result<()> {
    let options =
        EngineOptions { name_servers: vec!["192.0.2.254".to_owned()], ..EngineOptions::default() };
    play(2, &options, |stage| {
        let (e1, e2) = (stage.engine(1), stage.engine(2));
        let external = stage.lab.external();
        external.netns().ip(["addr add 192.0.2.200/24 dev eth0"])?;
        let server =
            |own, last| NameServer::start(external.netns(), own, Ipv4Addr::new(203, 0, 113, last));
        let _servers = [server("192.0.2.254", 7)?, server("192.0.2.200", 8)?];
        stage.network("--subnet 10.77.0.0/24 dev")?;
        run(e1, "svc1", "--network dev")?;
        run(e2, "svc2", "--network dev")?;
        run(e1, "own", "--network dev --dns 192.0.2.200")?;
        // By the name server of the host, and by one that the container was given.
        for (container, outside) in [("svc1", "203.0.113.7"), ("own", "203.0.113.8")] {
            means(e1, container, "svc2", &[&address(e2, "svc2", "dev")?])?;
            means(e1, container, "example.com", &[outside])?;
        }
        Ok(())
    })
}

/// ```text
///   h1: svc1 ─┐
///   h2: svc2 ─┴─ network six, IPv4 and IPv6        external: a name server at an address of IPv6
/// ```
#[test]
fn names_are_asked_by_ipv6() -> Result<()> {
    let options =
        EngineOptions { name_servers: vec!["2001:db8::fe".to_owned()], ..EngineOptions::default() };
    play(2, &options, |stage| {
        let (e1, e2, external) = (stage.engine(1), stage.engine(2), stage.lab.external());
        let address = Ipv4Addr::new(203, 0, 113, 7);
        let _server = NameServer::start(external.netns(), "2001:db8::fe", address)?;
        stage.network("--ipv6 --subnet 10.77.0.0/24 --subnet fd00:77::/64 six")?;
        run(e1, "svc1", "--network six")?;
        run(e2, "svc2", "--network six")?;
        let servers = exec(e1, "svc1", "cat /etc/resolv.conf")?.ok()?;
        ensure!(!servers.contains("8.8.8.8"), "Docker asks servers of its own: {servers}");
        reaches(e1, "svc1", "svc2")?;
        let six = exec(e1, "svc1", "nslookup -type=aaaa svc2")?.ok()?;
        ensure!(six.contains("Address: fd00:77::"), "{six}");
        means(e1, "svc1", "example.com", &["203.0.113.7"])
    })
}

/// ```text
///   h1: in1, both ─┐
///   h2: in2, far ──┴─ networks shut, without a way out, and dev, of both and far
/// ```
#[test]
fn a_network_without_a_way_out_has_its_own_names_and_no_others() -> Result<()> {
    play(2, &EngineOptions::default(), |stage| {
        let (e1, e2) = (stage.engine(1), stage.engine(2));
        stage.network("--subnet 10.77.0.0/24 dev")?;
        stage.network("--internal --subnet 10.78.0.0/24 shut")?;
        run(e1, "in1", "--network shut")?;
        run(e2, "in2", "--network shut")?;
        run(e2, "far", "--network dev")?;
        reaches(e1, "in1", "in2")?;
        reaches(e2, "in2", "in1")?;
        means(e1, "in1", "far", &[])?;
        means(e1, "in1", "example.com", &[])?;
        let output =
            exec(e1, "in1", &format!("ping -c 1 -W 1 {}", stage.lab.external().address()))?;
        ensure!(!output.success(), "there is a way out: {output:?}");
        // Who is in both finds all.
        run(e1, "both", "--network shut")?;
        e1.ok(["network", "connect", "dev", "both"])?;
        reaches(e1, "both", "in2")?;
        reaches(e1, "both", "far")?;
        reaches(e2, "far", "both")?;
        e1.ok(["network", "disconnect", "dev", "both"])?;
        reaches(e1, "both", "in2")?;
        means(e1, "both", "far", &[])
    })
}

/// ```text
///   h1: web ── network shut, without a way out, and Docker's own bridge        external: a name server
/// ```
#[test]
fn a_way_out_that_is_dockers_leads_to_name_servers() -> Result<()> {
    // What the machine names is asked by engine and daemon alike; here it is on a host of the lab.
    let asked = name_servers();
    play(1, &EngineOptions::default(), |stage| {
        let (engine, external) = (stage.engine(1), stage.lab.external());
        let mut servers = Vec::new();
        for server in &asked {
            external.netns().ip([format!("addr add {server}/32 dev eth0")])?;
            stage.host(1).netns().ip([format!("route add {server} via 192.0.2.254")])?;
            let address = Ipv4Addr::new(203, 0, 113, 7);
            servers.push(NameServer::start(external.netns(), server, address)?);
        }
        stage.network("--internal --subnet 10.78.0.0/24 shut")?;
        run(engine, "web", "")?;
        means(engine, "web", "example.com", &["203.0.113.7"])?;
        engine.ok(["network", "connect", "shut", "web"])?;
        run(engine, "db", "--network shut")?;
        means(engine, "db", "example.com", &[])?;
        reaches(engine, "web", "db")?;
        means(engine, "web", "example.com", &["203.0.113.7"])?;
        engine.ok(["network", "disconnect", "bridge", "web"])?;
        means(engine, "web", "example.com", &[])
    })
}

/// The name servers that the machine's resolv.conf(5) has for containers; Docker's own choice where it has none.
fn name_servers() -> Vec<String> {
    let reached =
        |server: &&str| server.parse::<Ipv4Addr>().is_ok_and(|address| !address.is_loopback());
    for file in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver "));
        let servers = servers.map(str::trim).filter(reached).map(ToOwned::to_owned);
        let servers: Vec<String> = servers.collect();
        if !servers.is_empty() {
            return servers;
        }
    }
    vec!["8.8.8.8".to_owned(), "8.8.4.4".to_owned()]
}

/// ```text
///   h1: svc1 ─┐
///   h2: svc2 ─┴─ network dev, and engines and daemons that are started again
/// ```
#[test]
fn names_follow_what_happened_unheard() -> Result<()> {
    let options = EngineOptions { live_restore: true, ..EngineOptions::default() };
    play(2, &options, |stage| {
        let (e1, e2, h2) = (stage.engine(1), stage.engine(2), stage.host(2));
        stage.network("--subnet 10.77.0.0/24 dev")?;
        run(e1, "svc1", "--network dev")?;
        run(e2, "svc2", "--network dev")?;
        reaches(e1, "svc1", "svc2")?;
        for (number, signal) in [(3, Signal::SIGTERM), (4, Signal::SIGKILL)] {
            let (old, new) = (format!("svc{}", number - 1), format!("svc{number}"));
            // While no daemon hears it.
            h2.stop_daemon(signal)?;
            e2.ok(["rename", &old, &new])?;
            stage.lab.start_daemon(h2)?;
            reaches(e1, "svc1", &new)?;
            means(e1, "svc1", &old, &[])?;
            // A new engine is followed as the old one was.
            e2.restart(signal)?;
            e2.ok(["rename", &new, "other"])?;
            reaches(e1, "svc1", "other")?;
            e2.ok(["rename", "other", &new])?;
            reaches(e1, "svc1", &new)?;
        }
        Ok(())
    })
}
