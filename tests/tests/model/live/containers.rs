//! What containers and the host itself send.

use anyhow::Result;
use netctl_common::{Direction, DropReason, Outcome, Verdict, config};

use super::{Expected, delivered, run};
use crate::{
    generate,
    path::{self, Answer, Copy, Input, Sent, tunnel::without_priority},
    place,
    world::{STRAY, World},
};

#[test]
fn what_containers_send_goes_as_the_model_says() -> Result<()> {
    let programs: Vec<_> = place::ports()
        .into_iter()
        .chain([STRAY])
        .map(|device| (config::FROM_CONTAINER, place::name(device)))
        .collect();
    let tally = run(&programs, |random, world| {
        let mut input = loop {
            let input = generate::packet(random, world, Direction::FromContainer);
            if !has_late_transport(&input.bytes) {
                break input;
            }
        };
        input.segment = 0;
        let expected = expected(world, &input);
        (input.device, vec![input.bytes], expected)
    })?;
    for (verdict, least) in [
        (Verdict::ToContainer, 100),
        (Verdict::ToHost, 100),
        (Verdict::ToUnderlay, 100),
        (Verdict::HandedOver, 100),
        (Verdict::ArpAnswered, 100),
        (Verdict::NdAnswered, 100),
        (Verdict::Flooded, 100),
        (Verdict::TooBigReported, 20),
        (Verdict::TtlReported, 20),
    ] {
        let outcome = Outcome::Forwarded(verdict);
        let packets =
            tally.get(&(Direction::FromContainer, outcome)).map_or(0, |counted| counted.0);
        assert!(packets >= least, "only {packets} packets ended {verdict:?}");
    }
    Ok(())
}

/// Whether extension headers reach, or say that they reach, beyond what a report quotes, of which there is less where
/// hops have ended. The kernel cuts no packet in
/// front of its transport header (`__bpf_skb_min_len`), which only packets that are really sent have: it is told of no
/// size then, but handed over.
fn has_late_transport(bytes: &[u8]) -> bool {
    if bytes.get(12..14) != Some(&[0x86, 0xdd]) {
        return false;
    }
    let mut next = bytes.get(20).copied();
    let mut place = 54;
    while let (Some(kind @ (0 | 43 | 44 | 60)), Some(header)) = (next, bytes.get(place..place + 2))
    {
        next = Some(header[0]);
        place += if kind == 44 { 8 } else { 8 * (1 + usize::from(header[1])) };
    }
    let quoted = if bytes.get(21).is_some_and(|hops| *hops > 1) { 1232 } else { 48 };
    place > 14 + quoted
}

fn expected(world: &World, input: &Input) -> Expected {
    // The kernel takes the tag off before the program sees the frame, and drops what is too short to have one.
    let tagged = matches!(input.bytes[12..14], [0x81, 0x00] | [0x88, 0xa8]);
    if tagged && input.bytes.len() < 20 {
        return Expected { counted: Vec::new(), copies: Vec::new() };
    }
    let answer = match without_priority(&input.bytes) {
        Some(bytes) => {
            let seen = Input { bytes, ..input.clone() };
            path::answer(world, Direction::FromContainer, &seen)
        }
        None if !world.ports.contains_key(&input.device) => {
            Answer::End(Outcome::Dropped(DropReason::UnknownPort))
        }
        None => Answer::End(Outcome::Dropped(DropReason::MalformedEthernet)),
    };
    let vni = world.ports.get(&input.device).map_or(0, |endpoint| endpoint.vni);
    let copies = match &answer {
        // Back to who asked.
        Answer::Send(
            Verdict::ArpAnswered
            | Verdict::NdAnswered
            | Verdict::TooBigReported
            | Verdict::TtlReported,
            Sent::Bytes(bytes),
        ) => vec![Copy::Local(place::other_side(input.device), bytes.clone())],
        Answer::Send(..)
        | Answer::Flood(_)
        | Answer::End(_)
        | Answer::Pass(_)
        | Answer::Change(..)
        | Answer::NotOurs => delivered(world, vni, &answer),
    };
    Expected { counted: vec![(Direction::FromContainer, answer.outcome())], copies }
}
