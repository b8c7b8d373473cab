//! Which ports of a host a service gets.

use std::{collections::BTreeMap, io, net::IpAddr, num::NonZeroU16};

use crate::model::{BoundPort, PortRange, PublishedPort};

/// Where a port is to be reached, in one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The address of the host; an unspecified one is all of its family.
    pub(super) address: IpAddr,
    /// Whether it is reached at a port of the host.
    pub(super) translated: bool,
}

/// One port of a service that is to be reached from outside.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// What was asked for, of which it is a part.
    pub(super) published: PublishedPort,
    /// The port of the service.
    pub(super) port: NonZeroU16,
    /// Which ports of the host it may have; `None` is any.
    pub(super) of: Option<PortRange>,
    /// Where it is reached, at most once in each family.
    pub(super) places: Vec<Place>,
}

impl Wanted {
    /// What it becomes with this port of the host, the same in each family.
    pub(super) fn bound(&self, host_port: NonZeroU16) -> impl Iterator<Item = BoundPort> {
        self.places.iter().map(move |place| BoundPort {
            address: place.address,
            host_port: place.translated.then_some(host_port),
            port: self.port,
            transport: self.published.transport(),
        })
    }

    /// The single addresses of the host that it is to be reached at.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.places.iter().map(|place| place.address).filter(|address| !address.is_unspecified())
    }
}

/// A port of the host that another service has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) port: BoundPort,
    /// Whose it is, by its number in a list of the caller's.
    pub(super) holder: usize,
}

/// Why a port cannot be had.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another service has it.
    Taken(Taken),
    /// A process of the host has it.
    Used(BoundPort),
    /// None of several is free.
    Exhausted {
        /// For which port of the service.
        port: NonZeroU16,
        /// All of them.
        of: PortRange,
    },
    /// It could not be found out.
    Probe(BoundPort, io::Error),
}

/// Chooses for each that is wanted the first port of the host that is neither `taken` nor in use, in the order of what
/// is wanted. Of any, that is one of `local`, from its place `start` on, so that it is another each time.
///
/// Those that can have one port alone come first, and those that can have any come last.
pub(super) fn choose(
    wanted: &[Wanted],
    taken: &[Taken],
    (local, start): (PortRange, usize),
    is_free: impl Fn(&BoundPort) -> io::Result<bool>,
) -> Result<Vec<BoundPort>, Refusal> {
    let mut order: Vec<(usize, &Wanted)> = wanted.iter().enumerate().collect();
    order.sort_by_key(|(_, one)| one.of.map_or(u32::MAX, PortRange::count));
    let mut chosen: BTreeMap<usize, Vec<BoundPort>> = BTreeMap::new();
    for (number, one) in order {
        let (of, start) = one.of.map_or((local, start), |of| (of, 0));
        let mut refusal = Refusal::Exhausted { port: one.port, of };
        let candidates = of.ports().cycle().skip(start).take(of.count() as usize);
        let mut bound = None;
        for host_port in candidates {
            let ports: Vec<BoundPort> = one.bound(host_port).collect();
            let own =
                |port: &BoundPort| chosen.values().flatten().any(|other| other.overlaps(port));
            if ports.iter().any(own) {
                continue;
            }
            match obstacle(&ports, taken, &is_free) {
                None => {
                    bound = Some(ports);
                    break;
                }
                Some(failed @ Refusal::Probe(..)) => return Err(failed),
                Some(obstacle) if of.count() == 1 => refusal = obstacle,
                Some(_) => {}
            }
        }
        chosen.insert(number, bound.ok_or(refusal)?);
    }
    Ok(chosen.into_values().flatten().collect())
}

/// What is in the way of these ports.
fn obstacle(
    ports: &[BoundPort],
    taken: &[Taken],
    is_free: impl Fn(&BoundPort) -> io::Result<bool>,
) -> Option<Refusal> {
    ports.iter().find_map(|port| {
        if let Some(taken) = taken.iter().find(|taken| taken.port.overlaps(port)) {
            return Some(Refusal::Taken(*taken));
        }
        match is_free(port) {
            Ok(true) => None,
            Ok(false) => Some(Refusal::Used(*port)),
            Err(error) => Some(Refusal::Probe(*port, error)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(port: u16) -> NonZeroU16 {
        NonZeroU16::new(port).expect("a port")
    }

    fn range(first: u16, last: u16) -> PortRange {
        PortRange::new(number(first), number(last)).expect("a range")
    }

    /// Ports that are published at all addresses of IPv4.
    fn wanted(texts: &[&str]) -> Vec<Wanted> {
        let all = |text: &&str| {
            let published: PublishedPort = text.parse().expect("a port");
            let places = vec![Place { address: [0, 0, 0, 0].into(), translated: true }];
            let one = |(port, of)| Wanted { published, port, of, places: places.clone() };
            published.singles().map(one).collect::<Vec<_>>()
        };
        texts.iter().flat_map(all).collect()
    }

    fn taken(ports: &[u16]) -> Vec<Taken> {
        let port =
            |port: &u16| wanted(&["1"]).iter().flat_map(|one| one.bound(number(*port))).next();
        ports.iter().filter_map(port).map(|port| Taken { port, holder: 7 }).collect()
    }

    /// What is chosen where others have 8000, a process uses 8001, and any is of 9000 to 9003 from 9002 on.
    fn chosen(texts: &[&str]) -> Result<Vec<(u16, u16)>, Refusal> {
        let is_free = |port: &BoundPort| Ok(port.host_port != Some(number(8001)));
        let chosen = choose(&wanted(texts), &taken(&[8000]), (range(9000, 9003), 2), is_free)?;
        let pair = |port: &BoundPort| (port.host_port.map_or(0, NonZeroU16::get), port.port.get());
        Ok(chosen.iter().map(pair).collect())
    }

    #[test]
    fn the_first_free_is_chosen() {
        for (texts, expected) in [
            (&["7999:80"][..], &[(7999, 80)][..]),
            (&["8000:80/udp"], &[(8000, 80)]),
            (&["8000-8005:80"], &[(8002, 80)]),
            (&["7998-7999:80-81"], &[(7998, 80), (7999, 81)]),
            (&["80"], &[(9002, 80)]),
            (&["80-83"], &[(9002, 80), (9003, 81), (9000, 82), (9001, 83)]),
            // What can have no other is not taken by what can.
            (&["80", "9002:81"], &[(9003, 80), (9002, 81)]),
            (&["8000-8003:80", "8002:81"], &[(8003, 80), (8002, 81)]),
        ] {
            assert_eq!(chosen(texts).expect("they are free"), expected, "{texts:?}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_told() {
        assert!(matches!(chosen(&["8000:80"]), Err(Refusal::Taken(Taken { holder: 7, .. }))));
        assert!(
            matches!(chosen(&["8001:80"]), Err(Refusal::Used(port)) if port.port == number(80))
        );
        for (texts, exhausted) in [
            (&["8000-8001:80"][..], (80, range(8000, 8001))),
            (&["7999:79", "7999-8001:80"], (80, range(7999, 8001))),
            (&["80-84"], (84, range(9000, 9003))),
        ] {
            let refusal = chosen(texts).expect_err("none is free");
            let Refusal::Exhausted { port, of } = refusal else { panic!("{texts:?}: {refusal:?}") };
            assert_eq!((port.get(), of), exhausted, "{texts:?}");
        }
        let failing = |_: &BoundPort| Err(io::ErrorKind::Unsupported.into());
        let refusal = choose(&wanted(&["80"]), &[], (range(1, 2), 0), failing);
        assert!(matches!(refusal, Err(Refusal::Probe(..))));
    }

    #[test]
    fn a_port_of_the_host_is_free_in_both_families_or_not_chosen() {
        let v6 = Place { address: [0_u8; 16].into(), translated: true };
        let mut both = wanted(&["8000-8003:80"]);
        for one in &mut both {
            one.places.push(v6);
        }
        let is_free =
            |port: &BoundPort| Ok(!port.address.is_ipv6() || port.host_port != Some(number(8001)));
        let chosen =
            choose(&both, &taken(&[8000]), (range(1, 1), 0), is_free).expect("one is free");
        assert_eq!(chosen.len(), 2);
        assert!(chosen.iter().all(|port| port.host_port == Some(number(8002))), "{chosen:?}");
    }

    #[test]
    fn what_is_not_translated_needs_no_port_of_the_host() {
        let mut routed = wanted(&["8000:80", "80"]);
        for place in routed.iter_mut().flat_map(|one| &mut one.places) {
            place.translated = false;
        }
        let chosen = choose(&routed, &taken(&[8000]), (range(1, 1), 0), |_| Ok(true))
            .expect("they are free");
        assert!(chosen.iter().all(|port| port.host_port.is_none()), "{chosen:?}");
        assert_eq!(chosen.len(), 2);
    }
}
