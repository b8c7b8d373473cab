//! How fast a host answers for names: one question after another from inside a sandbox, and as many
//! as it takes while the daemon has one CPU and the asker the other.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::json;
use testbed::{Host, Lab, Run};

use super::asker::{self, Answer, Asker};
use super::rig::container;
use super::times::{self, Times};
use crate::{say, setup, shell};

const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1));
/// How many questions are out at once where the throughput is measured.
const WINDOW: u32 = 64;
/// After so long a question or its answer is lost.
const PATIENCE: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(crate) struct Options {
    /// How many services the network has
    #[arg(long, default_value_t = 1000)]
    services: u16,
    /// How many questions are asked one after another
    #[arg(long, default_value_t = 20_000)]
    questions: u32,
    /// For how many seconds as many are asked as are answered
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    ensure!(testbed::is_root(), "the rig is made of network namespaces and needs root: use sudo");
    let services = options.services;
    ensure!((1..=50_000).contains(&services), "{services} services: ask for 1 to 50000");
    ensure!((1..=60).contains(&options.seconds), "{} s are not from 1 to 60", options.seconds);
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    let binary = Some(shell::build_release()?);
    let how = testbed::Options { hosts: 1, binary, ..testbed::Options::default() };
    let lab = Lab::start_in(Run::new()?, how)?;
    let measured = measure(&lab, options).map_err(|error| lab.explain(error))?;
    lab.end()?;
    let Measured { turns, answered, lost } = measured;
    times::show(&[&turns]);
    #[expect(clippy::cast_precision_loss, reason = "a few million answers")]
    let rate = answered as f64 / options.seconds as f64;
    out!("answers a second, the daemon on one CPU: {rate:.0} ({lost} lost)");
    times::keep(
        "names",
        &json!({
            "services": services, "unit": "us", "turns": turns.raw(),
            "seconds": options.seconds, "answered": answered, "lost": lost,
        }),
    )
}

struct Measured {
    turns: Times,
    answered: u64,
    lost: u64,
}

/// A service: the question for it, and what is right.
struct Known {
    question: Vec<u8>,
    address: Ipv4Addr,
}

fn measure(lab: &Lab, options: &Options) -> Result<Measured> {
    let host = lab.host(1);
    host.ok(["network", "create", "-d", "overlay", "--subnet", "10.1.0.0/16", "bench"])?;
    let home = container(lab, host, "asker", "10.1.0.11")?;
    say::remark(&format!("publishing {} services", options.services));
    let known = publish(host, options.services)?;
    let asker = Asker::new(&home, GATEWAY, PATIENCE)?;
    // The last one published is known before it is asked for in earnest.
    for number in 0..options.services {
        testbed::eventually("the service is known", Duration::from_secs(10), || {
            check(&known, ask(&asker, &known, number)?.as_ref())
        })?;
    }
    let mut turns = Times::new("from question to answer");
    for number in (0..options.services).cycle().take(options.questions as usize) {
        let began = Instant::now();
        let answer = ask(&asker, &known, number)?;
        turns.add(began.elapsed());
        check(&known, answer.as_ref())?;
    }
    let daemon = host.daemon_pid().context("the daemon is gone")?;
    host.run(["taskset", "-a", "-p", "-c", "0", &daemon.to_string()])?.ok()?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    pin(usize::from(cpus > 1))?;
    let (answered, lost) = flood(&asker, &known, Duration::from_secs(options.seconds))?;
    Ok(Measured { turns, answered, lost })
}

/// Stations outside, so that a thousand need no thousand sandboxes: their names are as others'.
fn publish(host: &Host, services: u16) -> Result<Vec<Known>> {
    let service = |number: u16| {
        let [high, low] = (256 + number).to_be_bytes();
        let (address, name) = (Ipv4Addr::new(10, 1, high, low), format!("svc{number}.bench"));
        let station = ["--vtep", "192.0.2.77", "--ip"];
        let words = ["service", "publish"].into_iter().chain(station);
        host.ok(words.chain([&*address.to_string(), &*name]))?;
        Ok(Known { question: asker::question(number, &name), address })
    };
    (0..services).map(service).collect()
}

fn ask(asker: &Asker, known: &[Known], number: u16) -> Result<Option<Answer>> {
    let Known { question, .. } = &known[usize::from(number)];
    asker.send(question)?;
    asker.receive()
}

/// Fails unless an answer is the one to its question.
fn check(known: &[Known], answer: Option<&Answer>) -> Result<()> {
    let answer = answer.context("no answer")?;
    let right = known.get(usize::from(answer.number)).map(|known| known.address);
    ensure!(right.is_some() && answer.address == right, "{answer:?} is wrong: {right:?}");
    Ok(())
}

/// Asks as much as is answered; how many were, and how many were not.
fn flood(asker: &Asker, known: &[Known], time: Duration) -> Result<(u64, u64)> {
    let (mut answered, mut lost, mut out) = (0, 0, 0);
    let mut questions = known.iter().cycle();
    let began = Instant::now();
    while began.elapsed() < time {
        while out < WINDOW {
            let question = questions.next().context("no service")?;
            asker.send(&question.question)?;
            out += 1;
        }
        if let Some(answer) = asker.receive()? {
            check(known, Some(&answer))?;
            answered += 1;
            out -= 1;
        } else {
            lost += u64::from(out);
            out = 0;
        }
    }
    Ok((answered, lost))
}

/// Keeps this thread on one CPU.
fn pin(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &cpus).with_context(|| format!("cannot run on CPU {cpu}"))
}
