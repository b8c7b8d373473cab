//! The addresses of one family that a network hands out on one host, as arithmetic: none is ever listed.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{HostName, Network, Subnet};

/// The part of one subnet, from its first address to its last.
#[derive(Clone, Copy, Debug)]
struct Span<'a> {
    subnet: &'a Subnet,
    range: IpNet,
    first: u128,
    last: u128,
}

/// Spans, in the order of the network's subnets.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    spans: Vec<Span<'a>>,
}

impl<'a> Field<'a> {
    /// What `host` hands out of a family; `None` where the network has no subnet of it.
    pub(super) fn of(network: &'a Network, host: &HostName, v6: bool) -> Option<Self> {
        let subnets = network.subnets.iter().filter(|subnet| subnet.is_v6() == v6);
        let spans: Vec<Span<'a>> = subnets.map(|subnet| Span::of(subnet, host)).collect();
        (!spans.is_empty()).then_some(Self { spans })
    }

    /// Its ranges, as people are told.
    pub(super) fn text(&self) -> String {
        self.spans.iter().map(|span| span.range.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Its first range, by which the place in it is remembered.
    pub(super) fn name(&self) -> IpNet {
        self.spans[0].range
    }

    /// All its addresses once, each with its subnet's prefix length: from the one behind `last` to the end, and then
    /// from the beginning.
    pub(super) fn after(&self, last: Option<IpAddr>) -> impl Iterator<Item = IpNet> + '_ {
        let found = last.and_then(|last| {
            let place = self.spans.iter().position(|span| span.range.contains(&last))?;
            Some((place, number(last).checked_add(1)?))
        });
        let (place, next) = found.unwrap_or((0, 0));
        let span = move |index: usize| &self.spans[index];
        let behind = span(place).from(next);
        let others = (place + 1..self.spans.len()).chain(0..place);
        let before = span(place).up_to(next);
        behind.chain(others.flat_map(move |index| span(index).from(0))).chain(before)
    }

    /// The address at a place, counted from the beginning and around the end; `None` where that one means something
    /// else.
    pub(super) fn at(&self, place: u128) -> Option<IpNet> {
        let size = self.spans.iter().fold(0_u128, |sum, span| sum.saturating_add(span.size()));
        let mut place = place.checked_rem(size)?;
        for span in &self.spans {
            if place < span.size() {
                return span.usable(span.first + place);
            }
            place -= span.size();
        }
        None
    }
}

impl<'a> Span<'a> {
    fn of(subnet: &'a Subnet, host: &HostName) -> Self {
        let range = subnet.range_of(host);
        Self { subnet, range, first: number(range.network()), last: number(range.broadcast()) }
    }

    fn size(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// From a number on, or from its first where that is later.
    fn from(&self, from: u128) -> impl Iterator<Item = IpNet> + 'a {
        let span = *self;
        (from.max(span.first)..=span.last).filter_map(move |number| span.usable(number))
    }

    /// Up to a number, which is left out.
    fn up_to(&self, end: u128) -> impl Iterator<Item = IpNet> + 'a {
        let span = *self;
        (span.first..end.min(span.last.saturating_add(1)))
            .filter_map(move |number| span.usable(number))
    }

    /// The address of a number, unless it is no host's or somebody's already.
    fn usable(&self, number: u128) -> Option<IpNet> {
        let subnet = self.subnet;
        let address = match self.range {
            IpNet::V4(_) => IpAddr::V4(u32::try_from(number).ok()?.into()),
            IpNet::V6(_) => IpAddr::V6(number.into()),
        };
        let free = address != subnet.gateway
            && !subnet.aux.values().any(|aux| *aux == address)
            && subnet.check_host("address", address).is_ok();
        free.then(|| IpNet::new_assert(address, subnet.cidr.prefix_len()))
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => v6.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::ipam::tests::{host, network};

    fn after(subnets: &[(&str, Option<&str>)], last: Option<&str>) -> Vec<String> {
        let network = network(subnets);
        let v6 = network.subnets[0].is_v6();
        let field = Field::of(&network, &host("h1"), v6).expect("it has the family");
        let last = last.map(|text| text.parse().expect("an address"));
        field.after(last).map(|net| net.addr().to_string()).take(6).collect()
    }

    #[test]
    fn all_hosts_but_the_gateway_from_the_last_one_on() {
        let small = [("10.0.0.0/29", None)];
        let all = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"];
        assert_eq!(after(&small, None), all);
        assert_eq!(after(&small, Some("10.0.0.6")), all);
        let turned = ["10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
        assert_eq!(after(&small, Some("10.0.0.4")), turned);
        assert_eq!(after(&small, Some("10.9.0.4")), all, "a place that is none of its own");
        assert_eq!(after(&[("10.0.0.0/30", None)], None), ["10.0.0.2"]);
        assert_eq!(after(&[("fd00::/126", None)], None), ["fd00::2", "fd00::3"]);
        let many = ["fd00::2", "fd00::3", "fd00::4", "fd00::5", "fd00::6", "fd00::7"];
        assert_eq!(after(&[("fd00::/64", None)], None), many, "of as many as nobody could list");
        let end = after(&[("fd00::/64", None)], Some("fd00::ffff:ffff:ffff:fffe"));
        assert_eq!(end[..2], ["fd00::ffff:ffff:ffff:ffff", "fd00::2"]);
    }

    #[test]
    fn a_range_is_used_to_its_ends() {
        for (range, all) in [
            ("10.0.0.8/30", &["10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11"][..]),
            ("10.0.0.252/30", &["10.0.0.252", "10.0.0.253", "10.0.0.254"]),
            ("10.0.0.9/32", &["10.0.0.9"]),
            ("10.0.0.8/31", &["10.0.0.8", "10.0.0.9"]),
        ] {
            assert_eq!(after(&[("10.0.0.0/24", Some(range))], None), all);
        }
        assert_eq!(after(&[("fd00::/64", Some("fd00::8/127"))], None), ["fd00::8", "fd00::9"]);
    }

    #[test]
    fn several_subnets_follow_each_other() {
        let two = [("10.0.0.0/30", None), ("10.1.0.0/29", Some("10.1.0.4/31"))];
        assert_eq!(after(&two, None), ["10.0.0.2", "10.1.0.4", "10.1.0.5"]);
        assert_eq!(after(&two, Some("10.1.0.4")), ["10.1.0.5", "10.0.0.2", "10.1.0.4"]);
    }

    #[test]
    fn a_host_has_its_own_range_and_aux_addresses_are_nobodys() {
        let mut network = network(&[("10.0.0.0/24", Some("10.0.0.16/30"))]);
        let subnet = &mut network.subnets[0];
        let range = "10.0.0.32/30".parse().expect("a range");
        subnet.set_host_range(host("h2"), range).expect("it is inside");
        for (name, aux) in [("one", "10.0.0.17"), ("two", "10.0.0.32")] {
            let address = aux.parse().expect("an address");
            subnet.add_aux(name.parse().expect("a name"), address).expect("it is inside");
        }
        let of = |name: &str| -> Vec<String> {
            let field = Field::of(&network, &host(name), false).expect("it has the family");
            field.after(None).map(|net| net.to_string()).collect()
        };
        assert_eq!(of("h1"), ["10.0.0.16/24", "10.0.0.18/24", "10.0.0.19/24"]);
        assert_eq!(of("h2"), ["10.0.0.33/24", "10.0.0.34/24", "10.0.0.35/24"]);
    }

    proptest! {
        /// Wherever it begins, each address comes once; and each place is one of them, or means something else.
        #[test]
        fn each_address_comes_once(prefix in 24_u8..31, last in any::<u8>(), place in any::<u128>()) {
            let network = network(&[(&format!("10.0.0.0/{prefix}"), None), ("10.0.1.0/28", None)]);
            let field = Field::of(&network, &host("h1"), false).expect("it has the family");
            let all: Vec<IpNet> = field.after(None).collect();
            let turned: Vec<IpNet> = field.after(Some([10, 0, 0, last].into())).collect();
            let sets = [&all, &turned].map(|list| list.iter().copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(sets[0].len(), all.len());
            prop_assert_eq!(turned.len(), all.len());
            prop_assert_eq!(&sets[0], &sets[1]);
            prop_assert_eq!(all.len(), (1 << (32 - prefix)) - 3 + 13);
            if let Some(address) = field.at(place) {
                prop_assert!(sets[0].contains(&address));
            }
        }
    }
}
