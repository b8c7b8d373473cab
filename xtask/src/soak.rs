//! Three hosts and an etcd of three members, and whatever happens to them: faults at random, from a seed, while every
//! container talks to another all the time.
//!
//! ```text
//!   h1: box1 ──UDP 100/s──> h2: box2 ──> h3: box3 ──> h1: box1      and a TCP stream beside each
//! ```
//!
//! After each fault the hosts have to come to hold what the store says. A packet may be lost where its own two hosts were
//! cut off, and nowhere else.

mod faults;
mod state;
mod traffic;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testbed::random::Random;
use testbed::{Lab, Options, Run, Store};

use self::faults::Fault;
use self::traffic::Flow;
use crate::{bench, say};

/// How long after a fault the hosts may take to hold what the store says.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a host that was cut off may lose packets after it is back: its neighbours are asked for anew.
const AFTER: Duration = Duration::from_secs(3);
const HOSTS: usize = 3;

/// When a host was cut off, up to when it was not any more.
struct Cut {
    host: usize,
    from: Instant,
    to: Instant,
}

/// Packets that one host lost to another, each within [`AFTER`] of the last.
struct Gap {
    hosts: [usize; 2],
    first: Instant,
    last: Instant,
    packets: usize,
}

pub(crate) fn run(minutes: u64, seed: &str) -> Result<()> {
    ensure!((1..=120).contains(&minutes), "{minutes} minutes: ask for 1 to 120");
    let number = u64::from_str_radix(seed.trim_start_matches("0x"), 16)
        .with_context(|| format!("seed {seed} is no hexadecimal number"))?;
    say::remark(&format!(
        "{minutes} minutes of faults; --seed {number:#x} has the same ones again"
    ));
    let how = Options { hosts: 3, store: Store::Etcds, ..Options::default() };
    let lab = Lab::start_in(Run::new()?, how)?;
    soak(&lab, Duration::from_secs(minutes * 60), &Random::new(number))
        .map_err(|error| lab.explain(error.context(format!("--seed {number:#x}"))))?;
    lab.end()
}

fn soak(lab: &Lab, time: Duration, random: &Random) -> Result<()> {
    lab.host(1).ok(["network", "create", "-d", "overlay", "--subnet", "10.1.0.0/16", "soak"])?;
    let mut boxes = Vec::new();
    for (number, host) in (1..).zip(lab.hosts()) {
        host.ok(["sandbox", "create", &format!("guest{number}")])?;
        let address = format!("10.1.0.{}", 10 + number);
        boxes.push(bench::container_of(lab, host, "soak", &format!("box{number}"), &address)?);
    }
    let began = Instant::now();
    let flows = (0..HOSTS).map(|from| {
        let to = (from + 1) % HOSTS;
        Flow::start(
            (from, &boxes[from]),
            (to, &boxes[to]),
            [10, 1, 0, u8::try_from(11 + to)?].into(),
        )
    });
    let mut flows = flows.collect::<Result<Vec<_>>>()?;
    state::converged(lab, PATIENCE)?;
    let before = state::used(lab)?;
    let (mut cuts, mut done) = (Vec::new(), 0);
    while began.elapsed() < time {
        let fault = Fault::any(random);
        out!("{:>7.1} s  {fault:?}", began.elapsed().as_secs_f64());
        let from = Instant::now();
        fault.bring_about(lab, random).with_context(|| format!("{fault:?}"))?;
        cuts.extend(fault.cuts().map(|host| Cut { host, from, to: Instant::now() }));
        state::converged(lab, PATIENCE).with_context(|| format!("after {fault:?}"))?;
        flows.iter_mut().try_for_each(Flow::goes_on).with_context(|| format!("after {fault:?}"))?;
        std::thread::sleep(Duration::from_millis(500 + random.below(1500) as u64));
        done += 1;
    }
    let (mut sent, mut gaps, mut excused) = (0, Vec::<Gap>::new(), 0);
    for flow in flows {
        let (from, to) = (flow.from, flow.to);
        let ended = flow.end()?;
        sent += ended.sent;
        let hosts = [from, to];
        for at in ended.lost {
            let excuses =
                |cut: &Cut| hosts.contains(&cut.host) && (cut.from..cut.to + AFTER).contains(&at);
            if cuts.iter().any(excuses) {
                excused += 1;
                continue;
            }
            match gaps.last_mut().filter(|gap| gap.hosts == hosts && at < gap.last + AFTER) {
                Some(gap) => (gap.last, gap.packets) = (at, gap.packets + 1),
                None => gaps.push(Gap { hosts, first: at, last: at, packets: 1 }),
            }
        }
    }
    let after = state::used(lab)?;
    state::compare(&before, &after)?;
    for gap in &gaps {
        gap.show(&cuts, began);
    }
    let lost: usize = gaps.iter().map(|gap| gap.packets).sum();
    ensure!(gaps.is_empty(), "{lost} of {sent} packets were lost that no cut excuses");
    say::done(&format!(
        "{done} faults; {sent} packets, {excused} lost while a host was cut off, none else; streams whole"
    ));
    Ok(())
}

impl Gap {
    /// Says when it was, and when the hosts were last cut off before.
    fn show(&self, cuts: &[Cut], began: Instant) {
        let seconds = |at: Instant| at.duration_since(began).as_secs_f64();
        let (first, last) = (seconds(self.first), seconds(self.last));
        let Self { hosts: [from, to], packets, .. } = self;
        out!("{first:>7.1} s  {packets} lost from h{} to h{}, until {last:.1} s", from + 1, to + 1);
        for host in self.hosts {
            let before = |cut: &&Cut| cut.host == host && cut.from < self.first;
            if let Some(Cut { from, to, .. }) = cuts.iter().rfind(before) {
                let (from, to) = (seconds(*from), seconds(*to));
                out!("           h{} was cut off from {from:.1} to {to:.1} s", host + 1);
            }
        }
    }
}
