//! The story of a first network: two hosts, two containers, and how they find each other.

mod figures;
mod story;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use testbed::{Capture, Host, Lab, Process, Signal, eventually};

use self::story::Story;
use crate::lab::Store;
use crate::measure::Container;
use crate::{say, setup, shell};

#[derive(Args)]
pub(crate) struct Options {
    /// What the daemons share
    #[arg(long, value_enum, default_value_t = Store::File)]
    store: Store,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(testbed::is_root(), "the demo makes network namespaces and needs root: use sudo");
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    shell::build_netctl()?;

    let begin = Instant::now();
    let mut story = Story::default();
    story.chapter("Two hosts, joined by an underlay, with a netctl daemon each.");
    let options = testbed::Options { store: options.store.into(), ..testbed::Options::default() };
    let lab = Lab::start(options)?;
    tell(&lab, &mut story).map_err(|error| lab.explain(error))?;
    lab.end()?;
    out!("");
    say::done(&format!(
        "that was all, and nothing of it is left ({} s)",
        begin.elapsed().as_secs()
    ));
    Ok(())
}

/// The two containers: on which host each is, and what it is called.
const PAIR: [(usize, &str, &str); 2] = [(1, "box1", "svc1"), (2, "box2", "svc2")];

fn tell(lab: &Lab, story: &mut Story) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    say::remark(&format!("hosts are network namespaces; the daemons share {}", lab.store_of(h1)));
    story::run(h1, "ip -br address show dev eth0")?;
    story::run(h2, "ip -br address show dev eth0")?;
    story::run(h1, "netctl host ls")?;

    story.chapter("A network over both, made on the first and known on the second.");
    story::run(h1, "netctl network create -d overlay --subnet 10.1.0.0/24 dev")?;
    for host in lab.hosts() {
        story::expect(host, "netctl network ls", &["dev"])?;
    }

    story.chapter("A container on each host, published as a service of the network.");
    let containers = start(lab)?;
    for host in lab.hosts() {
        story::expect(host, "netctl service ls", &["svc1", "svc2"])?;
    }

    let boxes = PAIR.map(|(number, name, _)| Container { host: lab.host(number), name });
    let [box1, box2] = &boxes;
    let (one, two) = (&box1.address()?, &box2.address()?);
    story.chapter("They find each other by name, whichever host they are on.");
    for host in lab.hosts() {
        // Names travel from daemon to daemon in milliseconds, but not in none.
        reach(host, "svc1", "svc2")?;
    }
    story::expect(h1, "netctl exec box1 -- ping -c 3 -i 0.2 svc2", &[" 0% packet loss"])?;
    story::expect(h2, "netctl exec box2 -- ping -c 3 -i 0.2 svc1", &[" 0% packet loss"])?;

    story.chapter("And by address.");
    story::expect(h1, &format!("netctl exec box1 -- ping -c 1 {two}"), &[" 0% packet loss"])?;
    story::expect(h2, &format!("netctl exec box2 -- ping -c 1 {one}"), &[" 0% packet loss"])?;

    story.chapter("One such packet on the underlay, as tcpdump sees it: VXLAN between the hosts.");
    packet(lab, two)?;

    story.chapter(
        "What the eBPF programs know: who is behind which tunnel, and who has which address.",
    );
    for (host, other) in [(h1, h2), (h2, h1)] {
        story::expect(host, "netctl fdb", &[&other.address()])?;
        story::expect(host, "netctl neigh", &[one, two])?;
    }

    story.chapter("How fast that is, beside the same two hosts with nothing between them.");
    figures::show(lab, box1, box2)?;

    story.chapter("The end: containers, services and network go.");
    finish(lab, containers)
}

/// `netctl run`, in the background, on both hosts.
fn start(lab: &Lab) -> Result<Vec<Process>> {
    let mut containers = Vec::new();
    for (number, name, service) in PAIR {
        let host = lab.host(number);
        let line = format!(
            "netctl run --rm --name {name} --publish-service {service}.dev.overlay -- sleep 1d"
        );
        let mut container = story::background(host, &line)?;
        eventually(&format!("{name} runs"), Duration::from_secs(20), || {
            if !container.alive() {
                return Ok(Err(anyhow::anyhow!("it ended: {}", container.log())));
            }
            host.ok(["exec", name, "--", "true"])?;
            Ok(Ok(()))
        })??;
        containers.push(container);
    }
    Ok(containers)
}

fn reach(host: &Host, one: &str, two: &str) -> Result<()> {
    let container = if host.name() == "h1" { "box1" } else { "box2" };
    for name in [one, two] {
        eventually(&format!("{container} reaches {name}"), Duration::from_secs(10), || {
            host.ok(["exec", container, "--", "ping", "-c", "1", "-W", "1", name])
        })?;
    }
    Ok(())
}

/// Pings once and shows the packet on the underlay that carried it.
fn packet(lab: &Lab, target: &str) -> Result<()> {
    let underlay = lab.underlay();
    let filter = "udp dst port 4789 and src 192.0.2.1";
    let capture = Capture::start(&underlay, "underlay", filter, "packet")?;
    story::run(lab.host(1), &format!("netctl exec box1 -- ping -q -c 1 {target}"))?;
    let seen = eventually("the packet is seen", Duration::from_secs(5), || {
        let seen = capture.read(&["-e", "-c", "1", "icmp or udp"])?;
        ensure!(seen.contains("VXLAN"), "tcpdump sees: {seen}");
        Ok(seen)
    })?;
    say::command("underlay", &format!("tcpdump -nn -e -c 1 {filter}"));
    say::output(&seen);
    ensure!(seen.contains("192.0.2.1") && seen.contains(target), "that is another packet: {seen}");
    drop(capture.stop(&[])?);
    Ok(())
}

fn finish(lab: &Lab, containers: Vec<Process>) -> Result<()> {
    for (mut container, (number, name, _)) in containers.into_iter().zip(PAIR) {
        say::command(lab.host(number).name(), &format!("kill %1    # {name}"));
        container.stop(Signal::SIGTERM, Duration::from_secs(20))?;
    }
    let h1 = lab.host(1);
    let left = story::run(h1, "netctl service ls")?;
    for (_, _, service) in PAIR {
        ensure!(!left.contains(service), "{service} is still there:\n{left}");
    }
    story::run(h1, "netctl network rm dev")?;
    let left = story::run(lab.host(2), "netctl network ls")?;
    ensure!(!left.contains("dev"), "the network is still there:\n{left}");
    Ok(())
}
