//! A plain model of the whole packet path, and the programs beside it: both get the same generated packets, and must do
//! the same to each.
//!
//! The model (`path` and below) is written from ARCHITECTURE.md and the RFCs, shares no code with the programs but the
//! names of outcomes, and takes no care to be fast. Where the two differ, the test prints the seed and the packet, cut
//! down to what makes the difference. `MODEL_SEED=<seed>` runs the same packets again.
//!
//! Nothing is attached: `BPF_PROG_TEST_RUN` gives a packet to a program as if `lo` had received it.

#[path = "support/counters.rs"]
mod counters;
#[path = "model/generate.rs"]
mod generate;
#[path = "support/object.rs"]
mod object;
#[path = "model/path.rs"]
mod path;
#[path = "model/programs.rs"]
mod programs;
#[path = "model/random.rs"]
mod random;
#[path = "model/shrink.rs"]
mod shrink;
#[path = "model/world.rs"]
mod world;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use netctl_common::{Direction, DropReason, Outcome, Verdict};

use crate::{
    path::{Answer, Input, Sent},
    programs::{Action, Programs, Seen},
    random::Random,
    world::World,
};

/// How many worlds there are, and packets in each.
const WORLDS: usize = 400;
const PACKETS: usize = 500;

/// What the generator must bring about often enough to be worth its time; the rest a test run cannot bring about.
#[rustfmt::skip]
const REACHED: &[(Direction, &[Outcome])] = &[
    (Direction::FromContainer, &[
        Outcome::Forwarded(Verdict::ToContainer),
        Outcome::Forwarded(Verdict::ToHost),
        Outcome::Forwarded(Verdict::ToUnderlay),
        Outcome::Forwarded(Verdict::HandedOver),
        Outcome::Forwarded(Verdict::ArpAnswered),
        Outcome::Forwarded(Verdict::ArpAbsorbed),
        Outcome::Dropped(DropReason::UnknownPort),
        Outcome::Dropped(DropReason::SourceMac),
        Outcome::Dropped(DropReason::SourceAddress),
        Outcome::Dropped(DropReason::EtherType),
        Outcome::Dropped(DropReason::Ipv6),
        Outcome::Dropped(DropReason::GroupDestination),
        Outcome::Dropped(DropReason::MalformedIpv4),
        Outcome::Dropped(DropReason::MalformedArp),
        Outcome::Dropped(DropReason::ArpSource),
        Outcome::Dropped(DropReason::ArpUnknown),
        Outcome::Dropped(DropReason::ArpOwnAddress),
        Outcome::Dropped(DropReason::ArpReply),
        Outcome::Dropped(DropReason::UnknownDestination),
        Outcome::Dropped(DropReason::UnknownVtep),
        Outcome::Dropped(DropReason::TooBig),
    ]),
    (Direction::FromUnderlay, &[
        Outcome::Forwarded(Verdict::ToContainer),
        Outcome::Forwarded(Verdict::ToHost),
        Outcome::Forwarded(Verdict::HandedOver),
        Outcome::Dropped(DropReason::GroupDestination),
        Outcome::Dropped(DropReason::MalformedOuter),
        Outcome::Dropped(DropReason::MalformedVxlan),
        Outcome::Dropped(DropReason::MalformedInner),
        Outcome::Dropped(DropReason::InnerEtherType),
        Outcome::Dropped(DropReason::UnknownVni),
        Outcome::Dropped(DropReason::UnknownTunnelSource),
        Outcome::Dropped(DropReason::InnerSource),
        Outcome::Dropped(DropReason::NotLocal),
        Outcome::Dropped(DropReason::CongestionMark),
    ]),
];
const OFTEN: u64 = 20;

type Tally = BTreeMap<(Direction, Outcome), (u64, u64)>;

#[test]
fn the_programs_do_what_the_model_does() -> Result<()> {
    let seed = seed()?;
    println!("MODEL_SEED={seed:#x}");
    let random = Random::new(seed);
    let mut programs = Programs::load()?;
    let mut tally = Tally::new();
    for _ in 0..WORLDS {
        let world = World::any(&random);
        programs.know(&world)?;
        for _ in 0..PACKETS {
            let direction = match random.below(20) {
                0 => Direction::FromTunnel,
                1..10 => Direction::FromContainer,
                _ => Direction::FromUnderlay,
            };
            let input = generate::packet(&random, &world, direction);
            if !generate::can_be_run(&input) {
                continue;
            }
            if let Err(difference) = compare(&mut programs, &world, direction, &input) {
                bail!(explain(&mut programs, &world, direction, &input, &difference, seed)?);
            }
            if let Some(outcome) = path::answer(&world, direction, &input).outcome() {
                let (packets, bytes) = tally.entry((direction, outcome)).or_default();
                *packets += 1;
                *bytes += input.bytes.len() as u64;
            }
        }
        // Every packet moved its own counter; none moved another.
        assert_eq!(programs.all_counted()?, tally, "MODEL_SEED={seed:#x}");
    }
    for ((direction, outcome), (packets, _)) in &tally {
        println!("{packets:8} {} {}", direction.as_str(), outcome.as_str());
    }
    for (direction, outcomes) in REACHED {
        for outcome in *outcomes {
            let packets = tally.get(&(*direction, *outcome)).map_or(0, |counted| counted.0);
            assert!(packets >= OFTEN, "only {packets} packets ended {direction:?} as {outcome:?}");
        }
    }
    Ok(())
}

fn seed() -> Result<u64> {
    match std::env::var("MODEL_SEED") {
        Ok(text) => u64::from_str_radix(text.trim_start_matches("0x"), 16)
            .with_context(|| format!("MODEL_SEED={text} is no hexadecimal number")),
        Err(_) => Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?),
    }
}

/// Gives the packet to both, and says in what they differ.
fn compare(
    programs: &mut Programs,
    world: &World,
    direction: Direction,
    input: &Input,
) -> Result<(), String> {
    let expected = path::answer(world, direction, input);
    let counter = expected.outcome();
    let count = |programs: &Programs| match counter {
        Some(outcome) => programs.counted(direction, outcome),
        None => Ok((0, 0)),
    };
    let before = count(programs).map_err(|error| format!("{error:#}"))?;
    let seen = programs.run(direction, input).map_err(|error| format!("{error:#}"))?;
    let after = count(programs).map_err(|error| format!("{error:#}"))?;

    let moved = (after.0 - before.0, after.1 - before.1);
    if counter.is_some() && moved != (1, input.bytes.len() as u64) {
        return Err(format!("its counter moved by {moved:?}"));
    }
    matches(&expected, input, &seen)
}

fn matches(expected: &Answer, input: &Input, seen: &Seen) -> Result<(), String> {
    let (action, bytes) = match expected {
        Answer::NotOurs | Answer::Pass(_) => (Action::Next, Some(input.bytes.clone())),
        // Nobody sees what is in it.
        Answer::End(_) => (Action::Drop, None),
        Answer::Send(_, Sent::Bytes(bytes)) => (Action::Redirect, Some(bytes.clone())),
        Answer::Send(_, Sent::Tunnelled(tunnelled)) => {
            // The kernel writes the outer Ethernet header when it sends the packet.
            let ethernet = seen.bytes.get(..14).unwrap_or_default();
            let rest = tunnelled.bytes_like(&seen.bytes).unwrap_or_default();
            (Action::Redirect, Some([ethernet, &rest].concat()))
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

fn explain(
    programs: &mut Programs,
    world: &World,
    direction: Direction,
    input: &Input,
    difference: &str,
    seed: u64,
) -> Result<String> {
    let plain = shrink::shrink(input, |candidate| {
        generate::can_be_run(candidate) && compare(programs, world, direction, candidate).is_err()
    });
    let mut text = String::new();
    for (what, input) in [("found", input), ("plainest", &plain)] {
        let (segment, bytes) = (input.segment, hex(&input.bytes));
        writeln!(text, "{what}: segments of {segment}, bytes {bytes}")?;
        writeln!(text, "  model: {:?}", path::answer(world, direction, input).outcome())?;
        let before = programs.all_counted()?;
        let difference = compare(programs, world, direction, input).err();
        let after = programs.all_counted()?;
        let moved: Vec<_> =
            after.iter().filter(|(key, count)| before.get(*key) != Some(*count)).collect();
        writeln!(text, "  program moved {moved:?}: {}", difference.unwrap_or_default())?;
    }
    Ok(format!("MODEL_SEED={seed:#x}, {direction:?}: {difference}\n{text}{world:?}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}
