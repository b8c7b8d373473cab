//! The load generator's two ends, in two namespaces joined by a veth pair.
//!
//! ```text
//!   near 10.0.0.1, fd00::1 ─ eth0 ─── eth0 ─ far 10.0.0.2, fd00::2: the server
//! ```

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netctl::bench::{self, Error, Job, Kind, Outcome, Server, Terms};
use testbed::{Netns, Run};

struct Pair {
    near: Netns,
    far: Netns,
    run: Run,
}

impl Pair {
    fn new() -> Result<Self> {
        let run = Run::new()?;
        let (near, far) = (Netns::new(run.dir(), "near")?, Netns::new(run.dir(), "far")?);
        let inside = far.path().display();
        near.ip([format!("link add eth0 type veth peer name eth0 netns {inside}")])?;
        for (netns, last) in [(&near, 1), (&far, 2)] {
            netns.ip([
                format!("addr add 10.0.0.{last}/24 dev eth0"),
                format!("addr add fd00::{last}/64 dev eth0 nodad"),
                "link set eth0 up".to_owned(),
            ])?;
        }
        Ok(Self { near, far, run })
    }

    /// Starts a server, on a thread that ends with this process.
    fn serve(&self, address: &str, terms: Terms) -> Result<SocketAddr> {
        let at = SocketAddr::new(address.parse()?, 0);
        self.far.within(|| {
            let server = Server::bind(at, terms)?;
            let at = server.address();
            thread::spawn(move || server.serve());
            Ok(at)
        })
    }

    fn ask(&self, to: SocketAddr, job: &Job) -> Result<Result<Outcome, Error>> {
        self.near.within(|| Ok(bench::run(to, job, None)))
    }

    /// A counter of `eth0`, in the words of `/sys/class/net/eth0/statistics`.
    fn counted(netns: &Netns, place: usize) -> Result<u64> {
        let text = netns.run(["cat", "/proc/thread-self/net/dev"])?.ok()?;
        // proc_net_dev(5): bytes and packets received, and from the ninth on those sent.
        let line = text.lines().find_map(|line| line.trim().strip_prefix("eth0:"));
        let count = line.and_then(|line| line.split_whitespace().nth(place)?.parse().ok());
        count.with_context(|| format!("no eth0: {text}"))
    }
}

const RECEIVED_BYTES: usize = 0;
const RECEIVED_PACKETS: usize = 1;

fn job(kind: Kind) -> Job {
    Job { kind, milliseconds: 200, streams: 1, cpu: None, key: String::new() }
}

#[test]
fn both_ends_agree_with_what_the_wire_carried() -> Result<()> {
    let pair = Pair::new()?;
    for address in ["10.0.0.2", "fd00::2"] {
        let at = pair.serve(address, Terms::default())?;
        for kind in [Kind::TcpStream, Kind::TcpRr, Kind::TcpCrr, Kind::UdpRr, Kind::UdpPps] {
            let streams = if kind == Kind::TcpStream { 3 } else { 1 };
            let bytes = Pair::counted(&pair.far, RECEIVED_BYTES)?;
            let packets = Pair::counted(&pair.far, RECEIVED_PACKETS)?;
            let outcome = pair.ask(at, &Job { streams, ..job(kind) })?;
            let outcome = outcome.with_context(|| format!("{kind:?} to {address}"))?;
            let bytes = Pair::counted(&pair.far, RECEIVED_BYTES)? - bytes;
            let packets = Pair::counted(&pair.far, RECEIVED_PACKETS)? - packets;
            let most = match kind {
                Kind::TcpStream => bytes,
                Kind::TcpRr | Kind::UdpRr | Kind::UdpPps => packets,
                // At least the connection, its byte and its end.
                Kind::TcpCrr => packets / 3,
            };
            ensure!(
                (1..=most).contains(&outcome.count),
                "{kind:?} to {address}: {} of {most}",
                outcome.count
            );
            if let Some(sent) = outcome.sent {
                ensure!(outcome.count <= sent, "{} came of {sent}", outcome.count);
            }
            ensure!(outcome.rate > 0.0 && outcome.seconds > 0.0, "{outcome:?}");
            ensure!(outcome.congestion.is_some() == (kind == Kind::TcpStream), "{outcome:?}");
            ensure!(outcome.lost.unwrap_or(0) == 0, "{outcome:?}");
            let timed = outcome.p50_us.zip(outcome.p99_us);
            let turns = matches!(kind, Kind::TcpRr | Kind::TcpCrr | Kind::UdpRr);
            ensure!(timed.is_some_and(|(half, most)| 0.0 < half && half <= most) == turns);
        }
    }
    pair.run.end()
}

#[test]
fn what_a_server_will_not_do_it_refuses_in_a_sentence() -> Result<()> {
    let pair = Pair::new()?;
    let at = pair.serve("10.0.0.2", Terms { key: "secret".to_owned(), ..Terms::default() })?;
    let with_key = |kind| Job { key: "secret".to_owned(), ..job(kind) };
    for (job, expected) in [
        (job(Kind::TcpRr), "its key is another"),
        (Job { cpu: Some(1023), ..with_key(Kind::TcpRr) }, "cannot run on CPU 1023: "),
        (Job { milliseconds: 0, ..with_key(Kind::TcpRr) }, "0 ms are not from 1 to 60000"),
    ] {
        let error = pair.ask(at, &job)?.expect_err("refused").to_string();
        let sentence = "the load generator at the other end refuses: ";
        ensure!(error.starts_with(&format!("{sentence}{expected}")), "{error}");
    }
    pair.ask(at, &with_key(Kind::TcpRr))?.context("the server has stopped serving")?;
    pair.run.end()
}

#[test]
fn strangers_and_noise_are_not_answered() -> Result<()> {
    let pair = Pair::new()?;
    let stranger = [IpAddr::from([10, 0, 0, 9])].into_iter().collect::<BTreeSet<_>>();
    let closed = pair.serve("10.0.0.2", Terms { peers: Some(stranger), ..Terms::default() })?;
    let error = pair.ask(closed, &job(Kind::TcpRr))?.expect_err("a stranger").to_string();
    ensure!(error.contains("the other end"), "{error}");

    let open = pair.serve("10.0.0.2", Terms::default())?;
    pair.near.within(|| {
        for noise in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![b'{'; 100_000]] {
            let mut stream = TcpStream::connect(open)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            // It hangs up as soon as it has read too much, which may be before all is written.
            drop(stream.write_all(&noise));
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer));
            ensure!(answer.is_empty(), "it said {answer:?}");
        }
        Ok(())
    })?;
    pair.ask(open, &job(Kind::TcpRr))?.context("the server has stopped serving")?;
    pair.run.end()
}

#[test]
fn a_client_that_goes_away_leaves_the_server_to_others() -> Result<()> {
    let pair = Pair::new()?;
    let at = pair.serve("10.0.0.2", Terms::default())?;
    for kind in ["tcp_stream", "tcp_rr", "udp_pps"] {
        pair.near.within(|| {
            let line = format!(
                r#"{{"kind":"{kind}","milliseconds":60000,"streams":1,"cpu":null,"key":""}}"#
            );
            Ok(TcpStream::connect(at)?.write_all(format!("{line}\n").as_bytes())?)
        })?;
        pair.ask(at, &job(Kind::TcpRr))?.with_context(|| format!("after {kind}"))?;
    }
    pair.run.end()
}

#[test]
fn where_nobody_listens_the_error_says_so() -> Result<()> {
    let pair = Pair::new()?;
    let error = pair.ask("10.0.0.2:5280".parse()?, &job(Kind::TcpRr))?.expect_err("nobody");
    let expected = "cannot reach the load generator at 10.0.0.2:5280: Connection refused";
    ensure!(error.to_string().starts_with(expected), "{error}");
    pair.run.end()
}
