//! What the programs tell of single packets while somebody listens: which were dropped, and which began a flow.
//!
//! `EVENTS_UNTIL` says until when anything is wanted of packets that ended so, and is all that is looked at where nobody
//! wants any; what it is, `LOOKS_UNTIL` says. Being moments, they switch it off by themselves where nobody vouches for it any
//! more.
//! What exceeds a processor's budget is counted in `EVENT_BUDGETS` and not told, so that no flood of drops costs the host
//! more than counting does.

use crate::maps::map_type;

/// Ring buffer of [`Event`].
pub const EVENTS: &str = "EVENTS";
/// How many bytes it holds: about 1500 events.
pub const EVENT_BYTES: u32 = 256 * 1024;
/// Array: [`EventKind`] → until when packets that ended so are looked at, in nanoseconds of `CLOCK_MONOTONIC` (`u64`); 0 for
/// never.
pub const EVENTS_UNTIL: &str = "EVENTS_UNTIL";
/// Array: [`Purpose`] → until when that is wanted, likewise.
pub const LOOKS_UNTIL: &str = "LOOKS_UNTIL";
/// Per-CPU array: [`EventKind`] → [`Budget`].
pub const EVENT_BUDGETS: &str = "EVENT_BUDGETS";
/// LRU hash: [`FlowKey`] → when its last packet was seen, in nanoseconds of `CLOCK_MONOTONIC` (`u64`).
pub const FLOWS: &str = "FLOWS";
/// How many flows are remembered.
pub const FLOW_ENTRIES: u32 = 8_192;
/// After how long without a packet a flow begins anew, in nanoseconds.
pub const FLOW_IDLE: u64 = 60_000_000_000;

/// How many bytes of a packet are told: its headers, with those of a tunnel over IPv6 around them.
pub const EVENT_HEAD: usize = 128;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum EventKind {
    /// A packet that was dropped.
    Drop = 0,
    /// The first packet of a flow.
    Flow = 1,
}

impl EventKind {
    /// All of them, by number.
    pub const ALL: [Self; 2] = [Self::Drop, Self::Flow];
}

/// What packets are looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Purpose {
    /// To be told of packets that are dropped.
    Drops = 0,
    /// To be told of first packets of flows.
    Flows = 1,
    /// To have all counted by who sends to whom: [`crate::traffic`].
    Traffic = 2,
}

impl Purpose {
    /// All of them, by number.
    pub const ALL: [Self; 3] = [Self::Drops, Self::Flows, Self::Traffic];
}

/// A packet of which is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// What is told of it.
    pub about: About,
    /// What it begins with, as far as `about` says; what stands behind that means nothing.
    pub head: [u8; EVENT_HEAD],
}

/// What is told of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct About {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at: u64,
    /// Who saw it and how it ended: a place in `COUNTERS`, by [`crate::counter::index`].
    pub place: u32,
    /// Index of the device that it came from.
    pub device: u32,
    /// Index of the host's end of the device that it was given to; 0 for none.
    pub to: u32,
    /// The network that it is in, in host order; 0 where the program does not say.
    pub vni: u32,
    /// How many bytes it has, from the Ethernet header on.
    pub length: u32,
    /// How many of the packet's bytes are told.
    pub head_length: u32,
}

/// How much one processor may tell still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Budget {
    /// When the present span began, in nanoseconds of `CLOCK_MONOTONIC`.
    since: u64,
    /// How many events were told in it.
    told: u64,
    /// How many events were not told since the map was made.
    pub lost: u64,
}

/// What tells flows apart. Both directions have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FlowKey {
    /// As they stand in memory in wire order, by words: IPv4 addresses in the form that IPv6 has for them.
    addresses: [[u32; 4]; 2],
    /// As they stand in memory in wire order.
    ports: [u16; 2],
    /// The network that it is in, in host order: others may have the same addresses.
    vni: u32,
    protocol: u8,
    _pad: [u8; 3],
}

map_type!(Event => 160, About => 32, Budget => 24, FlowKey => 44);

impl Budget {
    /// How long a span is, in nanoseconds.
    pub const SPAN: u64 = 100_000_000;
    /// How many events one processor tells in it.
    pub const EACH: u64 = 100;

    /// Whether an event may be told `now`, in nanoseconds of `CLOCK_MONOTONIC`. It is counted as told, or as lost.
    #[inline(always)]
    pub const fn take(&mut self, now: u64) -> bool {
        if now.wrapping_sub(self.since) >= Self::SPAN {
            self.since = now;
            self.told = 0;
        }
        if self.told < Self::EACH {
            self.told += 1;
            return true;
        }
        self.lost += 1;
        false
    }
}

impl FlowKey {
    /// Makes it that of a flow of this protocol in the network `vni`, between ends that are still to be set. What pads it has
    /// been zero since it was made.
    #[inline(always)]
    pub const fn begin(&mut self, vni: u32, protocol: u8) {
        self.vni = vni;
        self.protocol = protocol;
    }

    /// The ends of a packet of IPv4: addresses and ports as they stand in memory in wire order.
    #[inline(always)]
    pub const fn set_ends4(&mut self, source: (u32, u16), destination: (u32, u16)) {
        let turned =
            source.0 > destination.0 || source.0 == destination.0 && source.1 > destination.1;
        let (first, second) = if turned { (destination, source) } else { (source, destination) };
        let mapped = u32::from_ne_bytes([0, 0, 0xff, 0xff]);
        self.addresses = [[0, 0, mapped, first.0], [0, 0, mapped, second.0]];
        self.ports = [first.1, second.1];
    }

    /// The same of IPv6.
    #[inline(always)]
    pub const fn set_ends6(&mut self, source: (&[u32; 4], u16), destination: (&[u32; 4], u16)) {
        // Addresses of one network differ in their ends. Where they do not, each direction may be a flow of its own.
        let (one, other) = (source.0[3], destination.0[3]);
        let turned = one > other || one == other && source.1 > destination.1;
        let (first, second) = if turned { (destination, source) } else { (source, destination) };
        self.addresses[0] = *first.0;
        self.addresses[1] = *second.0;
        self.ports = [first.1, second.1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr6;

    #[test]
    fn nothing_is_hidden_between_the_fields() {
        assert_eq!(std::mem::offset_of!(About, place), 8);
        assert_eq!(std::mem::offset_of!(About, head_length), 28);
        assert_eq!(std::mem::offset_of!(Event, head), 32);
        assert_eq!(std::mem::offset_of!(Budget, lost), 16);
        assert_eq!(std::mem::offset_of!(FlowKey, ports), 32);
        assert_eq!(std::mem::offset_of!(FlowKey, vni), 36);
        assert_eq!(std::mem::offset_of!(FlowKey, protocol), 40);
        // Records stand one behind the other in the ring, each with a header of 8 bytes, on borders of 8.
        assert_eq!(size_of::<Event>() % 8, 0);
        assert!(EVENT_BYTES.is_power_of_two());
    }

    #[test]
    fn a_budget_is_for_a_span_and_what_exceeds_it_is_counted() {
        let mut budget = Budget::default();
        let start = 7 * Budget::SPAN;
        let told = |budget: &mut Budget, now, times: u64| {
            (0..times).map(|_| u64::from(budget.take(now))).sum::<u64>()
        };
        assert_eq!(told(&mut budget, start, Budget::EACH + 5), Budget::EACH);
        assert_eq!(told(&mut budget, start + Budget::SPAN - 1, 2), 0);
        assert_eq!(budget.lost, 7);
        assert_eq!(told(&mut budget, start + Budget::SPAN, 3), 3);
        assert_eq!(budget.lost, 7);
    }

    #[test]
    fn both_directions_are_one_flow_and_others_are_not() {
        type End = (u8, u16);
        let four = |protocol, from: End, to: End, vni| {
            let end = |(last, port): End| (u32::from_ne_bytes([10, 0, 0, last]), port.to_be());
            let mut key = FlowKey::default();
            key.begin(vni, protocol);
            key.set_ends4(end(from), end(to));
            key
        };
        let six = |protocol, from: End, to: End, vni| {
            let address =
                |last| addr6::words([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
            let mut key = FlowKey::default();
            key.begin(vni, protocol);
            key.set_ends6((&address(from.0), from.1.to_be()), (&address(to.0), to.1.to_be()));
            key
        };
        let one: [&dyn Fn(u8, End, End, u32) -> FlowKey; 2] = [&four, &six];
        for key in one {
            let flow = key(17, (1, 5000), (2, 53), 9);
            assert_eq!(key(17, (2, 53), (1, 5000), 9), flow);
            assert_eq!(key(17, (1, 53), (1, 5000), 9), key(17, (1, 5000), (1, 53), 9));
            for other in [
                key(6, (1, 5000), (2, 53), 9),
                key(17, (1, 5000), (2, 53), 8),
                key(17, (1, 5001), (2, 53), 9),
                key(17, (1, 5000), (3, 53), 9),
                key(17, (1, 53), (2, 5000), 9),
            ] {
                assert_ne!(other, flow);
            }
        }
        assert_ne!(four(17, (1, 1), (2, 2), 9), six(17, (1, 1), (2, 2), 9));
    }
}
