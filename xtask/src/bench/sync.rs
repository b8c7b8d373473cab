//! How soon one host has what was done on another, by a real etcd: from the moment at which a command
//! has returned to the first answer with its name, and to the first reply to a packet.
//!
//! ```text
//!   h1: box, which each service is attached to in turn, and stays      h2: asker, which asks all the time
//! ```
//!
//! A name answers for services that are attached, so what counts is when `service attach` returns,
//! after `service publish`. What is there before the command returns, takes 0.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::json;
use testbed::{Lab, Netns, Run, Store};

use super::asker::{self, Answer, Asker};
use super::rig::{container, sandbox};
use super::times::{self, Times};
use crate::{say, setup, shell};

/// Where all services are.
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1));
/// Where the sandbox sends back what it gets.
const ECHO: u16 = 7;
/// Between two questions: the error of a time.
const PAUSE: Duration = Duration::from_micros(250);
/// How long a question, or a packet, may take before the next.
const PATIENCE: Duration = Duration::from_millis(2);
/// After so long something is wrong.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Options {
    /// How many services are published, attached and detached, one after another
    #[arg(long, default_value_t = 200)]
    rounds: u16,
}

pub(super) fn run(options: &Options) -> Result<()> {
    ensure!(testbed::is_root(), "the rig is made of network namespaces and needs root: use sudo");
    ensure!(
        (1..=50_000).contains(&options.rounds),
        "{} rounds: ask for 1 to 50000",
        options.rounds
    );
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    let binary = Some(shell::build_release()?);
    let how = testbed::Options { store: Store::Etcd, binary, ..testbed::Options::default() };
    let lab = Lab::start_in(Run::new()?, how)?;
    let seen = measure(&lab, options.rounds).map_err(|error| lab.explain(error))?;
    lab.end()?;
    times::show(&seen.all());
    let values: serde_json::Map<_, _> =
        seen.all().iter().map(|times| (times.title().to_owned(), times.raw())).collect();
    times::keep("sync", &json!({ "unit": "us", "values": values }))
}

struct Seen {
    command: Times,
    name_in_all: Times,
    packet_in_all: Times,
    named: Times,
    reached: Times,
    withdrawn: Times,
}

impl Seen {
    fn all(&self) -> [&Times; 6] {
        let Self { command, name_in_all, packet_in_all, named, reached, withdrawn } = self;
        [command, name_in_all, packet_in_all, named, reached, withdrawn]
    }
}

fn measure(lab: &Lab, rounds: u16) -> Result<Seen> {
    let (near, far) = (lab.host(1), lab.host(2));
    near.ok(["network", "create", "-d", "overlay", "--subnet", "10.1.0.0/16", "bench"])?;
    let asking = container(lab, far, "asker", "10.1.0.11")?;
    // The network has another member there already.
    container(lab, near, "stays", "10.1.0.12")?;
    near.ok(["sandbox", "create", "box"])?;
    let home = sandbox(lab, near, "box")?;
    let echo = Echo::new(asker::socket(&home, ECHO)?)?;
    let mut seen = Seen {
        command: Times::new("`service attach` takes"),
        name_in_all: Times::new("from its start to the name on the other host"),
        packet_in_all: Times::new("from its start to a packet from there"),
        named: Times::new("after it, the name answers on the other host"),
        reached: Times::new("after it, a packet from there gets through"),
        withdrawn: Times::new("after `service detach`, the name is gone"),
    };
    thread::scope(|scope| {
        scope.spawn(|| echo.serve());
        let all = (0..rounds).try_for_each(|round| {
            if round.is_multiple_of(50) {
                say::remark(&format!("round {} of {rounds}", round + 1));
            }
            let [high, low] = (256 + round).to_be_bytes();
            let address = Ipv4Addr::new(10, 1, high, low);
            let name = format!("svc{round}.bench");
            let probe = Probe::new(&asking, &name, address)?;
            near.ok(["service", "publish", "--ip", &address.to_string(), &name])?;
            let began = Instant::now();
            let command = || near.ok(["service", "attach", "box", &name]);
            let (returned, (named, reached)) = beside(|| probe.appears(), command)?;
            seen.command.add(returned - began);
            seen.name_in_all.add(named - began);
            seen.packet_in_all.add(reached - began);
            seen.named.add(named.saturating_duration_since(returned));
            seen.reached.add(reached.saturating_duration_since(returned));
            let command = || near.ok(["service", "detach", "box", &name]);
            let (returned, gone) = beside(|| probe.goes(), command)?;
            seen.withdrawn.add(gone.saturating_duration_since(returned));
            near.ok(["service", "unpublish", &name]).map(drop)
        });
        echo.end();
        all
    })?;
    Ok(seen)
}

/// Looks while a command runs, and after; says when the command had returned, and what was seen.
fn beside<T: Send>(
    look: impl FnOnce() -> Result<T> + Send,
    command: impl FnOnce() -> Result<String>,
) -> Result<(Instant, T)> {
    thread::scope(|scope| {
        let looking = scope.spawn(look);
        let done = command();
        let returned = Instant::now();
        let seen = looking.join().map_err(|_panic| anyhow::anyhow!("the prober panicked"))?;
        done?;
        Ok((returned, seen?))
    })
}

/// One name as the other host sees it.
struct Probe {
    asker: Asker,
    packets: UdpSocket,
    question: Vec<u8>,
    address: Ipv4Addr,
}

impl Probe {
    fn new(netns: &Netns, name: &str, address: Ipv4Addr) -> Result<Self> {
        let asker = Asker::new(netns, GATEWAY, PATIENCE)?;
        let packets = asker::socket(netns, 0)?;
        packets.set_read_timeout(Some(PATIENCE))?;
        packets.connect((address, ECHO))?;
        Ok(Self { asker, packets, question: asker::question(1, name), address })
    }

    /// When the name answers, and when a packet that was sent then, or the next one, is replied to.
    fn appears(&self) -> Result<(Instant, Instant)> {
        let named = self.until(|answer| answer.address == Some(self.address))?;
        let mut buffer = [0; 16];
        while named.elapsed() < LIMIT {
            self.packets.send(b"ping")?;
            match self.packets.recv(&mut buffer) {
                Ok(_) => return Ok((named, Instant::now())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("no reply"),
            }
        }
        bail!("no packet came through in {} s", LIMIT.as_secs());
    }

    /// When the name is gone.
    fn goes(&self) -> Result<Instant> {
        self.until(|answer| answer.code == 3)
    }

    fn until(&self, seen: impl Fn(&Answer) -> bool) -> Result<Instant> {
        let began = Instant::now();
        while began.elapsed() < LIMIT {
            self.asker.send(&self.question)?;
            if self.asker.receive()?.is_some_and(|answer| seen(&answer)) {
                return Ok(Instant::now());
            }
            thread::sleep(PAUSE);
        }
        bail!("the name has not changed in {} s", LIMIT.as_secs());
    }
}

/// Sends back what it gets.
struct Echo {
    socket: UdpSocket,
    ended: AtomicBool,
}

impl Echo {
    fn new(socket: UdpSocket) -> Result<Self> {
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(Self { socket, ended: AtomicBool::new(false) })
    }

    fn serve(&self) {
        let mut buffer = [0; 16];
        while !self.ended.load(Ordering::Relaxed) {
            if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                self.reply(&buffer[..length], from);
            }
        }
    }

    /// A reply that cannot be sent is missed by who waits for it.
    fn reply(&self, bytes: &[u8], to: SocketAddr) {
        drop(self.socket.send_to(bytes, to));
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
