//! Packets that devices really receive: what the kernel does before, behind and between the programs is in it, and what
//! is delivered is seen where it comes out.

#[path = "live/containers.rs"]
mod containers;
#[path = "live/underlay.rs"]
mod underlay;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netctl_common::{Direction, Outcome};
use testbed::random::Random;

use crate::{
    counters::Counters,
    hex, list,
    path::{Answer, Copy, Sent},
    place::{self, Place},
    programs::Programs,
    seed, show,
    world::{Local, Mac, Place as Station, World},
};

const WORLDS: usize = 50;
const PACKETS: usize = 200;
/// How long a packet may take to be counted. It is counted at once, unless the machine is busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the model says of a packet.
struct Expected {
    /// The counters that move, one after the other.
    counted: Vec<(Direction, Option<Outcome>)>,
    copies: Vec<Copy>,
}

/// Attaches programs to devices and has them receive packets, each a device, its frames and what to expect.
fn run(
    programs: &[(&str, String)],
    packet: impl Fn(&Random, &World) -> (u32, Vec<Vec<u8>>, Expected) + Sync,
) -> Result<Counters> {
    let seed = seed()?;
    let began = Instant::now();
    let place = Place::new()?;
    let tally = place.host.within(|| {
        let random = Random::new(seed);
        let mut kernel = Programs::load(Local::BOTH)?;
        for (program, device) in programs {
            kernel.attach(program, device)?;
        }
        for _ in 0..WORLDS {
            let world = World::any(&random, Local::BOTH);
            kernel.know(&world)?;
            for _ in 0..PACKETS {
                let (device, frames, expected) = packet(&random, &world);
                let difference = compare(&place, &kernel, device, &frames, expected)?;
                let frames: Vec<_> = frames.iter().map(|frame| hex(frame)).collect();
                ensure!(
                    difference.is_empty(),
                    "MODEL_SEED={seed:#x}, on {device}: {difference}\n{frames:#?}\n{world:?}"
                );
            }
        }
        kernel.all_counted()
    })?;
    place.end()?;
    show(&tally, began);
    Ok(tally)
}

/// Has the device receive the frames, and says in what the programs and the model differ: nothing where they do not.
fn compare(
    place: &Place,
    programs: &Programs,
    device: u32,
    frames: &[Vec<u8>],
    expected: Expected,
) -> Result<String> {
    let Expected { counted, copies } = expected;
    let counted: Vec<(Direction, Outcome)> = counted
        .into_iter()
        .filter_map(|(direction, outcome)| Some((direction, outcome?)))
        .collect();
    let count =
        |(direction, outcome): &(Direction, Outcome)| Ok(programs.counted(*direction, *outcome)?.0);
    let before: Vec<u64> = counted.iter().map(count).collect::<Result<_>>()?;
    for frame in frames {
        place.send(device, frame)?;
    }
    let end = Instant::now() + PATIENCE;
    for (counter, before) in counted.iter().zip(before) {
        while count(counter)? != before + 1 {
            if Instant::now() > end {
                return Ok(format!("{counter:?} was not counted"));
            }
        }
    }
    let mut copies: Vec<_> = copies.into_iter().filter(place::comes_out).collect();
    copies.sort();
    let seen = place.copies(copies.len())?;
    if copies == seen {
        Ok(String::new())
    } else {
        Ok(format!("copies {}\n    seen {}", list(&copies), list(&seen)))
    }
}

/// What comes out where, of a frame that is delivered in this network.
fn delivered(world: &World, vni: u32, answer: &Answer) -> Vec<Copy> {
    match answer {
        Answer::Send(_, Sent::Bytes(bytes)) => {
            let to: Mac = bytes[..6].try_into().expect("six bytes");
            let copy = match world.stations.get(&(vni, to)) {
                Some(
                    Station::Container(device) | Station::Bridging(device) | Station::Host(device),
                ) => Copy::Local(*device, bytes.clone()),
                Some(Station::Remote(index)) => {
                    Copy::Remote(world.hosts[index].address, vni, bytes.clone())
                }
                None => panic!("nobody has it"),
            };
            vec![copy]
        }
        Answer::Send(_, Sent::Tunnelled(tunnelled)) => {
            vec![Copy::Remote(tunnelled.to, vni, tunnelled.frame.clone())]
        }
        Answer::Flood(copies) => copies.clone(),
        Answer::NotOurs | Answer::Pass(_) | Answer::Change(..) | Answer::End(_) => Vec::new(),
    }
}
