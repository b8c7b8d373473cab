//! Packets: mostly such as containers and hosts send, some nearly such, and some that are nothing.

#[path = "generate/discovery.rs"]
mod discovery;
#[path = "generate/frames.rs"]
mod frames;
#[path = "generate/ip.rs"]
mod ip;
#[path = "generate/tunnel.rs"]
mod tunnel;

use netctl_common::Direction;
use testbed::random::Random;

pub(crate) use self::tunnel::{sender, tunnelled_frame};
use crate::{
    path::Input,
    world::{STRAY, UNDERLAY, VXLAN, World},
};

/// The longest that a page has room for (`bpf_test_init`), in bytes.
const LONGEST: usize = 3500;

pub(crate) fn packet(random: &Random, world: &World, direction: Direction) -> Input {
    let (device, mut bytes) = match direction {
        Direction::FromContainer => {
            let devices: Vec<u32> = world.ports.keys().copied().collect();
            let device = if random.percent(98) { random.pick(&devices) } else { STRAY };
            (device, frames::from_container(random, world, device))
        }
        Direction::FromTunnel => (VXLAN, frames::from_container(random, world, STRAY)),
        Direction::FromUnderlay | Direction::UnderlayFilter => {
            (UNDERLAY, tunnel::from_underlay(random, world))
        }
    };
    mangle(random, &mut bytes);
    bytes.truncate(LONGEST);
    let segment = match random.below(10) {
        // Nobody has merged anything yet.
        _ if direction == Direction::UnderlayFilter => 0,
        // Not of copies, which are really sent: the kernel cannot cut what is of no protocol that it knows.
        0 if bytes[0].is_multiple_of(2) => {
            random.pick(&[1, 500, 1000, 1360, 1390, 1398, 1410, 1411, 1422, 1423, 9000, 0xffff])
        }
        _ => 0,
    };
    Input { device, bytes, segment }
}

/// Whether the kernel takes the packet for a test: it wants the whole of the shortest header that the type promises
/// (`bpf_prog_test_run_skb`).
pub(crate) fn can_be_run(input: &Input) -> bool {
    let shortest = match input.bytes.get(12..14) {
        None => return false,
        Some([0x08, 0x00]) => 14 + 20,
        Some([0x86, 0xdd]) => 14 + 40,
        Some(_) => 14,
    };
    input.bytes.len() >= shortest
}

/// Leaves most packets as they are, and turns some bits of others, or cuts them off anywhere.
fn mangle(random: &Random, bytes: &mut Vec<u8>) {
    match random.below(12) {
        0 => {
            for _ in 0..=random.below(3) {
                let place = random.below(bytes.len().min(128));
                bytes[place] ^= 1 << random.below(8);
            }
        }
        1 => {
            let place = random.below(bytes.len().min(128));
            bytes[place] = random.byte();
        }
        2 => {
            let length = 14 + random.below(bytes.len().saturating_sub(13));
            bytes.truncate(length);
        }
        3 => bytes.extend(random.bytes::<7>()),
        _ => {}
    }
}
