//! A plain model of the whole packet path, and the programs beside it: both get the same generated packets, and must do
//! the same to each.
//!
//! The model (`path` and below) is written from ARCHITECTURE.md and the RFCs, shares no code with the programs but the
//! names of outcomes, and takes no care to be fast. Where the two differ, the test prints the seed and the packet, cut
//! down to what makes the difference. `MODEL_SEED=<seed>` runs the same packets again.
//!
//! Nothing is attached: `BPF_PROG_TEST_RUN` gives a packet to a program as if a device had received it, and a redirect is
//! only noted. Copies for members of a network are really sent, and caught where they come out.

#[path = "support/counters.rs"]
mod counters;
#[path = "model/generate.rs"]
mod generate;
#[path = "model/live.rs"]
mod live;
#[path = "support/object.rs"]
mod object;
#[path = "model/path.rs"]
mod path;
#[path = "model/place.rs"]
mod place;
#[path = "model/programs.rs"]
mod programs;
#[path = "model/shrink.rs"]
mod shrink;
#[path = "model/world.rs"]
mod world;

use std::{
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use netctl_common::{Direction, DropReason, Outcome, Verdict};
use testbed::random::{self, Random};

use crate::{
    counters::Counters,
    path::{Answer, Copy, Input, Sent},
    place::Place,
    programs::{Action, Programs, Seen},
    world::{Local, UNDERLAY_MAC, World},
};

/// How many worlds there are by the tunnel addresses that the host has, in each share of the work, and how many packets in
/// each world: a million in all, besides those that the kernel does not take for a test.
const WORLDS: [(Local, usize); 3] = [(Local::BOTH, 430), (Local::IPV4, 90), (Local::IPV6, 90)];
const PACKETS: usize = 1000;
/// Shares are worked on at once, on hosts of their own. There are as many on any machine: a seed means the same on each.
const SHARES: u64 = 2;

/// What the generator must bring about often enough to be worth its time; the rest a test run cannot bring about.
#[rustfmt::skip]
const REACHED: &[(Direction, &[Outcome])] = &[
    (Direction::FromContainer, &[
        Outcome::Forwarded(Verdict::ToContainer),
        Outcome::Forwarded(Verdict::ToHost),
        Outcome::Forwarded(Verdict::ToUnderlay),
        Outcome::Forwarded(Verdict::HandedOver),
        Outcome::Forwarded(Verdict::ArpAnswered),
        Outcome::Forwarded(Verdict::NdAnswered),
        Outcome::Forwarded(Verdict::Flooded),
        Outcome::Forwarded(Verdict::TooBigReported),
        Outcome::Forwarded(Verdict::TtlReported),
        Outcome::Dropped(DropReason::UnknownPort),
        Outcome::Dropped(DropReason::SourceMac),
        Outcome::Dropped(DropReason::SourceAddress),
        Outcome::Dropped(DropReason::MalformedIpv4),
        Outcome::Dropped(DropReason::MalformedIpv6),
        Outcome::Dropped(DropReason::MalformedArp),
        Outcome::Dropped(DropReason::MalformedNd),
        Outcome::Dropped(DropReason::ArpSource),
        Outcome::Dropped(DropReason::ArpUnknown),
        Outcome::Dropped(DropReason::ArpOwnAddress),
        Outcome::Dropped(DropReason::NdSource),
        Outcome::Dropped(DropReason::NdUnknown),
        Outcome::Dropped(DropReason::NdOwnAddress),
        Outcome::Dropped(DropReason::RouterAdvertisement),
        Outcome::Dropped(DropReason::LinkLocalGroup),
        Outcome::Dropped(DropReason::UnknownDestination),
        Outcome::Dropped(DropReason::UnknownVtep),
        Outcome::Dropped(DropReason::OwnStation),
        Outcome::Dropped(DropReason::Isolated),
        Outcome::Dropped(DropReason::TtlExpired),
    ]),
    (Direction::FromUnderlay, &[
        Outcome::Forwarded(Verdict::ToContainer),
        Outcome::Forwarded(Verdict::ToHost),
        Outcome::Forwarded(Verdict::HandedOver),
        Outcome::Forwarded(Verdict::Probe),
        Outcome::Dropped(DropReason::MalformedOuter),
        Outcome::Dropped(DropReason::MalformedVxlan),
        Outcome::Dropped(DropReason::MalformedInner),
        Outcome::Dropped(DropReason::UnknownVni),
        Outcome::Dropped(DropReason::UnknownTunnelSource),
        Outcome::Dropped(DropReason::InnerSource),
        Outcome::Dropped(DropReason::NotMember),
        Outcome::Dropped(DropReason::NotLocal),
        Outcome::Dropped(DropReason::CongestionMark),
    ]),
    (Direction::UnderlayFilter, &[
        Outcome::Forwarded(Verdict::Passed),
        Outcome::Dropped(DropReason::MalformedVxlan),
        Outcome::Dropped(DropReason::UnknownVni),
        Outcome::Dropped(DropReason::UnknownTunnelSource),
    ]),
];
const OFTEN: u64 = 20;
/// How long a packet may be made plainer.
const SHRINKING: Duration = Duration::from_secs(30);

#[test]
fn the_programs_do_what_the_model_does() -> Result<()> {
    let seed = seed()?;
    let began = Instant::now();
    let tallies = thread::scope(|scope| {
        let shares: Vec<_> =
            (0..SHARES).map(|number| scope.spawn(move || share(seed, number))).collect();
        let ended = shares.into_iter().map(|share| share.join().expect("it says what is wrong"));
        ended.collect::<Result<Vec<_>>>()
    })?;
    let mut tally = Counters::new();
    for share in tallies {
        add(&mut tally, share);
    }
    show(&tally, began);
    for (direction, outcomes) in REACHED {
        for outcome in *outcomes {
            let packets = tally.get(&(*direction, *outcome)).map_or(0, |counted| counted.0);
            assert!(packets >= OFTEN, "only {packets} packets ended {direction:?} as {outcome:?}");
        }
    }
    Ok(())
}

/// One share of the work, on a host of its own.
fn share(seed: u64, number: u64) -> Result<Counters> {
    let place = Place::new()?;
    let tally = place.host.within(|| {
        let random = Random::new(seed.wrapping_add(number));
        let mut tally = Counters::new();
        for (local, worlds) in WORLDS {
            add(&mut tally, run(&place, seed, &random, local, worlds)?);
        }
        Ok(tally)
    })?;
    place.end()?;
    Ok(tally)
}

fn add(tally: &mut Counters, more: Counters) {
    for (key, (packets, bytes)) in more {
        let sum = tally.entry(key).or_default();
        *sum = (sum.0 + packets, sum.1 + bytes);
    }
}

/// Gives packets of so many worlds to both, and tells how they ended.
fn run(place: &Place, seed: u64, random: &Random, local: Local, worlds: usize) -> Result<Counters> {
    let mut programs = Programs::load(local)?;
    let mut tally = Counters::new();
    for _ in 0..worlds {
        let world = World::any(random, local);
        programs.know(&world)?;
        let before = tally.clone();
        let mut given = Vec::with_capacity(PACKETS);
        for _ in 0..PACKETS {
            let direction = match random.below(50) {
                0 => Direction::FromTunnel,
                1..5 => Direction::UnderlayFilter,
                5..30 => Direction::FromContainer,
                _ => Direction::FromUnderlay,
            };
            let input = generate::packet(random, &world, direction);
            if !generate::can_be_run(&input) {
                continue;
            }
            let mut both = Both { place, programs: &mut programs, world: &world, direction };
            let outcome = match both.compare(&input) {
                Ok(outcome) => outcome,
                Err(difference) => {
                    bail!("MODEL_SEED={seed:#x}, {}", both.explain(&input, &difference)?)
                }
            };
            if direction == Direction::UnderlayFilter {
                assert!(
                    is_only_cheaper(&world, &input),
                    "MODEL_SEED={seed:#x}: {}",
                    hex(&input.bytes)
                );
            }
            if let Some(outcome) = outcome {
                let (packets, bytes) = tally.entry((direction, outcome)).or_default();
                *packets += 1;
                *bytes += input.bytes.len() as u64;
            }
            given.push((direction, input));
        }
        // Every packet moved its own counter; none moved another, or sent a copy that nobody expected.
        if programs.all_counted()? != tally {
            let mut both = Both {
                place,
                programs: &mut programs,
                world: &world,
                direction: Direction::FromContainer,
            };
            bail!("MODEL_SEED={seed:#x}, {}", both.find_miscounted(&given, &before, &tally)?);
        }
        let copies = place.copies(0)?;
        assert!(copies.is_empty(), "MODEL_SEED={seed:#x}: {}", list(&copies));
    }
    Ok(tally)
}

/// Whether what the filter drops would be dropped without it too, if it was for this device at all: by the program, or
/// by the kernel, which takes nothing from `::ffff:0:0/96` (`ip6_rcv_core`).
fn is_only_cheaper(world: &World, input: &Input) -> bool {
    let is_dropped = |direction| {
        let answer = path::answer(world, direction, input);
        matches!(answer, Answer::End(Outcome::Dropped(_)))
    };
    let is_for_device = input.bytes[..6] == UNDERLAY_MAC;
    let is_from_mapped =
        input.bytes[12..14] == [0x86, 0xdd] && input.bytes.get(22..38).is_some_and(path::is_mapped);
    !is_for_device
        || !is_dropped(Direction::UnderlayFilter)
        || is_dropped(Direction::FromUnderlay)
        || is_from_mapped
}

/// The seed, which is told.
#[expect(clippy::print_stdout, reason = "it is shown where the test fails")]
fn seed() -> Result<u64> {
    let seed = random::seed()?;
    println!("MODEL_SEED={seed:#x}");
    Ok(seed)
}

#[expect(clippy::print_stdout, reason = "it is shown where the test fails")]
fn show(tally: &Counters, began: Instant) {
    let all: u64 = tally.values().map(|(packets, _)| packets).sum();
    println!("{all} packets in {:.1} s", began.elapsed().as_secs_f64());
    for ((direction, outcome), (packets, _)) in tally {
        println!("{packets:8} {} {}", direction.as_str(), outcome.as_str());
    }
}

/// The programs and the model, knowing the same.
struct Both<'a> {
    place: &'a Place,
    programs: &'a mut Programs,
    world: &'a World,
    direction: Direction,
}

impl Both<'_> {
    /// Gives the packet to both, and says in what they differ, or else which counter it should have moved.
    fn compare(&mut self, input: &Input) -> Result<Option<Outcome>, String> {
        self.try_to_compare(input).unwrap_or_else(|error| Err(format!("{error:#}")))
    }

    /// The same, and looks whether it moved its counter, and no other. Among many packets that is looked at once for all.
    fn compare_counted(&mut self, input: &Input) -> Result<(), String> {
        let before = self.programs.all_counted().map_err(|error| error.to_string())?;
        let outcome = self.compare(input)?;
        let after = self.programs.all_counted().map_err(|error| error.to_string())?;
        let mut expected = before.clone();
        if let Some(outcome) = outcome {
            let (packets, bytes) = expected.entry((self.direction, outcome)).or_default();
            *packets += 1;
            *bytes += input.bytes.len() as u64;
        }
        if after == expected { Ok(()) } else { Err("it moved other counters".to_owned()) }
    }

    /// Which of these packets was counted otherwise than it should have been.
    fn find_miscounted(
        &mut self,
        given: &[(Direction, Input)],
        before: &Counters,
        after: &Counters,
    ) -> Result<String> {
        for (direction, input) in given {
            self.direction = *direction;
            if let Err(difference) = self.compare_counted(input) {
                return self.explain(input, &difference);
            }
        }
        let counted = self.programs.all_counted()?;
        Ok(format!(
            "no packet by itself is counted wrongly, but all together: {before:?}, {after:?}, {counted:?}"
        ))
    }

    fn try_to_compare(&mut self, input: &Input) -> Result<Result<Option<Outcome>, String>> {
        let expected = path::answer(self.world, self.direction, input);
        let seen = self.programs.run(self.direction, input)?;
        if let Answer::Flood(copies) = &expected {
            let mut copies: Vec<_> =
                copies.iter().filter(|copy| place::comes_out(copy)).cloned().collect();
            copies.sort();
            let seen = self.place.copies(copies.len())?;
            if copies != seen {
                return Ok(Err(format!("copies {}\n    seen {}", list(&copies), list(&seen))));
            }
        }
        Ok(matches(&expected, input, &seen).map(|()| expected.outcome()))
    }

    /// The packet as it was found, and as plain as it can be with a difference.
    fn explain(&mut self, input: &Input, difference: &str) -> Result<String> {
        let end = Instant::now() + SHRINKING;
        let plain = shrink::shrink(input, |candidate| {
            Instant::now() < end
                && generate::can_be_run(candidate)
                && self.compare_counted(candidate).is_err()
        });
        let mut text = format!("{:?}: {difference}\n", self.direction);
        for (what, input) in [("found", input), ("plainest", &plain)] {
            let Input { device, bytes, segment } = input;
            writeln!(text, "{what}: on {device}, segments of {segment}: {}", hex(bytes))?;
            let answer = path::answer(self.world, self.direction, input);
            writeln!(text, "  model: {:?}", answer.outcome())?;
            let before = self.programs.all_counted()?;
            let difference = self.compare_counted(input).err().unwrap_or_default();
            let after = self.programs.all_counted()?;
            let moved: Vec<_> =
                after.iter().filter(|(key, count)| before.get(*key) != Some(*count)).collect();
            writeln!(text, "  program moved {moved:?}: {difference}")?;
        }
        writeln!(text, "{:?}", self.world)?;
        Ok(text)
    }
}

fn matches(expected: &Answer, input: &Input, seen: &Seen) -> Result<(), String> {
    let (action, bytes) = match expected {
        Answer::NotOurs | Answer::Pass(_) => (Action::Next, Some(input.bytes.clone())),
        Answer::Change(_, bytes) => (Action::Next, Some(bytes.clone())),
        // Nobody sees what is in it.
        Answer::End(_) | Answer::Flood(_) => (Action::Drop, None),
        Answer::Send(_, Sent::Bytes(bytes)) => (Action::Redirect, Some(bytes.clone())),
        Answer::Send(_, Sent::Tunnelled(tunnelled)) => {
            (Action::Redirect, Some(tunnelled.bytes_like(&seen.bytes).unwrap_or_default()))
        }
    };
    if seen.action != action {
        return Err(format!("the program says {:?}", seen.action));
    }
    match bytes {
        Some(bytes) if bytes != seen.bytes => {
            Err(format!("expected {}\n    seen {}", hex(&bytes), hex(&seen.bytes)))
        }
        _ => Ok(()),
    }
}

fn list(copies: &[Copy]) -> String {
    let copies = copies.iter().map(|copy| match copy {
        Copy::Local(device, bytes) => format!("\n    for {device}: {}", hex(bytes)),
        Copy::Remote(host, vni, bytes) => format!("\n    for {host}, {vni}: {}", hex(bytes)),
    });
    copies.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}
