//! Which counter each packet ends in.
//!
//! `COUNTERS` is a per-CPU array. [`index`] lays it out: one block for each [`Direction`], and in it first the
//! verdicts, then the drop reasons.

use crate::DropReason;

/// Per-CPU array: [`index`] → [`Count`].
pub const COUNTERS: &str = "COUNTERS";

/// Places in a direction's block for verdicts, and as many again for drop reasons times three: room to grow without
/// moving what others count.
const VERDICTS: u32 = 32;
const BLOCK: u32 = 128;

/// How many entries `COUNTERS` has.
pub const COUNTER_ENTRIES: u32 = BLOCK * (Direction::UnderlayFilter as u32 + 1);

const _: () = assert!(Verdict::ALL.len() <= VERDICTS as usize);
const _: () = assert!(DropReason::ALL.len() <= (BLOCK - VERDICTS) as usize);

/// The program that saw the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Direction {
    /// Sent by an endpoint of this host.
    FromContainer = 0,
    /// Received by the underlay device.
    FromUnderlay = 1,
    /// Received by the kernel's vxlan device.
    FromTunnel = 2,
    /// Received by the underlay device's driver, before the kernel makes a packet of it.
    UnderlayFilter = 3,
}

impl Direction {
    /// All directions, by number.
    pub const ALL: [Self; 4] =
        [Self::FromContainer, Self::FromUnderlay, Self::FromTunnel, Self::UnderlayFilter];

    /// The label, in kebab case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FromContainer => "from-container",
            Self::FromUnderlay => "from-underlay",
            Self::FromTunnel => "from-tunnel",
            Self::UnderlayFilter => "underlay-filter",
        }
    }
}

/// What became of a packet that was not dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Verdict {
    /// Given to a container of this host.
    ToContainer = 0,
    /// Given to this host itself.
    ToHost = 1,
    /// Encapsulated and sent to another host.
    ToUnderlay = 2,
    /// Left to the kernel's vxlan device, which does what the fast path cannot.
    HandedOver = 3,
    /// An ARP request that was answered.
    ArpAnswered = 4,
    /// An ARP announcement, which tells the data plane nothing that it does not know. No longer used: members get it.
    ArpAbsorbed = 5,
    /// Sent to all other members of the network.
    Flooded = 6,
    /// A neighbour solicitation that was answered.
    NdAnswered = 7,
    /// Too big for the underlay, which its sender was told.
    TooBigReported = 8,
    /// Good as far as the filter can tell.
    Passed = 9,
    /// Sent to be routed with no hop left, which its sender was told.
    TtlReported = 10,
    /// A probe of the path between two hosts, sent back or given to who had asked.
    Probe = 11,
}

impl Verdict {
    /// All verdicts, by number.
    pub const ALL: [Self; 12] = [
        Self::ToContainer,
        Self::ToHost,
        Self::ToUnderlay,
        Self::HandedOver,
        Self::ArpAnswered,
        Self::ArpAbsorbed,
        Self::Flooded,
        Self::NdAnswered,
        Self::TooBigReported,
        Self::Passed,
        Self::TtlReported,
        Self::Probe,
    ];

    /// The label, in kebab case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToContainer => "to-container",
            Self::ToHost => "to-host",
            Self::ToUnderlay => "to-underlay",
            Self::HandedOver => "handed-over",
            Self::ArpAnswered => "arp-answered",
            Self::ArpAbsorbed => "arp-absorbed",
            Self::Flooded => "flooded",
            Self::NdAnswered => "nd-answered",
            Self::TooBigReported => "too-big-reported",
            Self::Passed => "passed",
            Self::TtlReported => "ttl-reported",
            Self::Probe => "probe",
        }
    }

    /// One sentence for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::ToContainer => "Delivered to a container of this host.",
            Self::ToHost => "Delivered to this host itself.",
            Self::ToUnderlay => "Encapsulated and sent to another host.",
            Self::HandedOver => {
                "Left to the kernel's vxlan device, which does what the fast path cannot."
            }
            Self::ArpAnswered => "An ARP request that was answered.",
            Self::ArpAbsorbed => "An ARP announcement, which needs no answer.",
            Self::Flooded => "Sent to all other members of the network.",
            Self::NdAnswered => "A neighbour solicitation that was answered.",
            Self::TooBigReported => "Too big for the underlay, which its sender was told.",
            Self::Passed => "VXLAN of a host and a network that are known.",
            Self::TtlReported => "Sent to be routed with no hop left, which its sender was told.",
            Self::Probe => "A probe of `netctl doctor`, sent back or given to who had asked.",
        }
    }
}

/// How a packet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It was forwarded, answered or absorbed.
    Forwarded(Verdict),
    /// It was dropped.
    Dropped(DropReason),
}

impl Outcome {
    /// All outcomes: verdicts first, then drop reasons.
    pub fn all() -> impl Iterator<Item = Self> {
        let forwarded = Verdict::ALL.into_iter().map(Self::Forwarded);
        forwarded.chain(DropReason::ALL.iter().copied().map(Self::Dropped))
    }

    /// The label, in kebab case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded(verdict) => verdict.as_str(),
            Self::Dropped(reason) => reason.as_str(),
        }
    }

    /// One sentence for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Forwarded(verdict) => verdict.describe(),
            Self::Dropped(reason) => reason.describe(),
        }
    }
}

/// The place in `COUNTERS` of packets that `direction` saw and that ended so.
#[inline(always)]
pub const fn index(direction: Direction, outcome: Outcome) -> u32 {
    let place = match outcome {
        Outcome::Forwarded(verdict) => verdict as u32,
        Outcome::Dropped(reason) => VERDICTS + reason as u32,
    };
    direction as u32 * BLOCK + place
}

/// What is counted at a place in `COUNTERS`; `None` where nothing is.
pub fn at(place: u32) -> Option<(Direction, Outcome)> {
    let direction = *Direction::ALL.get((place / BLOCK) as usize)?;
    let outcome = match (place % BLOCK).checked_sub(VERDICTS) {
        None => Outcome::Forwarded(*Verdict::ALL.get((place % BLOCK) as usize)?),
        Some(reason) => Outcome::Dropped(*DropReason::ALL.get(reason as usize)?),
    };
    Some((direction, outcome))
}

/// What one CPU counted. A packet that the kernel has merged of many counts once, with all its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes from the Ethernet header on, as the program first saw the packet.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Count>() == 16);

// SAFETY: `repr(C)` of two integers of the same size, without padding; every bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Count {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_place_of_its_own() {
        let mut places: Vec<_> = Direction::ALL
            .into_iter()
            .flat_map(|direction| Outcome::all().map(move |outcome| index(direction, outcome)))
            .collect();
        let count = places.len();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), count);
        assert!(places.iter().all(|place| *place < COUNTER_ENTRIES));
    }

    #[test]
    fn what_a_place_is_of_is_told() {
        for direction in Direction::ALL {
            for outcome in Outcome::all() {
                assert_eq!(at(index(direction, outcome)), Some((direction, outcome)));
            }
        }
        for nothing in [VERDICTS - 1, BLOCK - 1, COUNTER_ENTRIES, u32::MAX] {
            assert_eq!(at(nothing), None, "{nothing}");
        }
    }
}
