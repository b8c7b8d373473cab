//! A record of the ring, and what it tells of a packet.

use std::time::{Duration, SystemTime};

use netctl_common::{Direction, Outcome, counter, event::Event};
use nix::time::{ClockId, clock_gettime};

use crate::model::Vni;

/// A packet of which the programs told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketEvent {
    /// When they saw it.
    pub at: SystemTime,
    /// Which program saw it.
    pub direction: Direction,
    /// How it ended.
    pub outcome: Outcome,
    /// Index of the device that it came from.
    pub device: u32,
    /// Index of the device of this host that it was given to.
    pub to: Option<u32>,
    /// Its network, where the program knew it.
    pub vni: Option<Vni>,
    /// How many bytes it has, from the Ethernet header on.
    pub length: u32,
    /// What it begins with.
    pub head: Vec<u8>,
}

/// What the wall says at the same moment as the programs' clock.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    wall: SystemTime,
    monotonic: Duration,
}

impl Clock {
    pub(super) fn now() -> Self {
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        Self { wall: SystemTime::now(), monotonic: monotonic.unwrap_or_default() }
    }

    fn wall(self, nanoseconds: u64) -> SystemTime {
        self.wall - self.monotonic.saturating_sub(Duration::from_nanos(nanoseconds))
    }
}

/// A record of the ring.
pub(super) fn read(record: &[u8], clock: Clock) -> Option<PacketEvent> {
    if record.len() < size_of::<Event>() {
        return None;
    }
    // SAFETY: there are as many bytes, and every bit pattern of them is an event (`Pod`).
    let Event { about, head } = unsafe { std::ptr::read_unaligned(record.as_ptr().cast()) };
    let (direction, outcome) = counter::at(about.place)?;
    let shown = usize::try_from(about.head_length).ok()?;
    Some(PacketEvent {
        at: clock.wall(about.at),
        direction,
        outcome,
        device: about.device,
        to: (about.to != 0).then_some(about.to),
        vni: Vni::new(about.vni),
        length: about.length,
        head: head.get(..shown)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use netctl_common::{
        DropReason,
        event::{About, EVENT_HEAD},
    };

    use super::*;

    #[test]
    fn a_record_is_read_as_far_as_it_goes() {
        let outcome = Outcome::Dropped(DropReason::SourceMac);
        let about = About {
            at: 1_500_000_000,
            place: counter::index(Direction::FromContainer, outcome),
            device: 7,
            to: 0,
            vni: 4097,
            length: 60,
            head_length: 3,
        };
        let event = Event { about, head: [5; EVENT_HEAD] };
        let bytes = |event: &Event| {
            // SAFETY: it is plain bytes without padding (`Pod`).
            let bytes = unsafe {
                std::slice::from_raw_parts(
                    std::ptr::from_ref(event).cast::<u8>(),
                    size_of::<Event>(),
                )
            };
            bytes.to_vec()
        };
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let clock = Clock { wall, monotonic: Duration::from_secs(2) };
        let expected = PacketEvent {
            at: wall - Duration::from_millis(500),
            direction: Direction::FromContainer,
            outcome,
            device: 7,
            to: None,
            vni: Vni::new(4097),
            length: 60,
            head: vec![5; 3],
        };
        assert_eq!(read(&bytes(&event), clock), Some(expected));
        // Of another version, or cut short.
        for unreadable in [
            Event { about: About { place: 31, ..about }, ..event },
            Event { about: About { head_length: 129, ..about }, ..event },
        ] {
            assert_eq!(read(&bytes(&unreadable), clock), None);
        }
        assert_eq!(read(&bytes(&event)[1..], clock), None);
    }
}
