//! Where on a host the ports of a service are to be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::choose::{Place, Wanted};
use crate::{
    controller::{Error, Result},
    model::{BoundPort, GatewayMode, Name, Network, PublishedPort, WayOut},
};

/// Each port that a service is to publish, with where; an error where one would be reached nowhere.
pub(super) fn wanted(
    network: &Network,
    service: &Name,
    ports: &[PublishedPort],
    addresses: &[IpNet],
) -> Result<Vec<Wanted>> {
    let way_out = network.policy.way_out;
    let mut wanted = Vec::new();
    for published in ports {
        let places = places(published, way_out, addresses);
        // Where no address is named, it is reached in whatever family the service has.
        if let Some(address) = named(published, way_out)
            && places.is_empty()
        {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            return Err(Error::unusable(format!(
                "service {service} publishes {published} at {address}, and has no {family} address on network {}: \
                 publish at an address of the other family",
                network.name
            )));
        }
        wanted.extend(published.singles().map(|(port, of)| Wanted {
            published: *published,
            port,
            of,
            places: places.clone(),
        }));
    }
    Ok(wanted)
}

/// Checks that a service does not ask for one port of a host twice.
pub(super) fn check_twice(service: &Name, wanted: &[Wanted]) -> Result<()> {
    let mut all: Vec<BoundPort> = Vec::new();
    for one in wanted {
        let Some(host_port) = one.of.filter(|of| of.count() == 1) else { continue };
        for port in host_port.ports().flat_map(|host_port| one.bound(host_port)) {
            if all.iter().any(|other| other.overlaps(&port)) {
                return Err(Error::unusable(format!(
                    "service {service} publishes port {host_port}/{} of its host twice: \
                     publish each at another port or address",
                    port.transport
                )));
            }
            all.push(port);
        }
    }
    Ok(())
}

/// The address of the host that a port is to be reached at, where one is named.
fn named(published: &PublishedPort, way_out: WayOut) -> Option<IpAddr> {
    published.address().or(way_out.host_binding)
}

/// Where a port is reached, in each family that the service has an address of.
///
/// As with Docker, a network that is routed in a family has its ports opened at the services' own addresses: what is
/// said of the host there tells the family alone.
fn places(published: &PublishedPort, way_out: WayOut, addresses: &[IpNet]) -> Vec<Place> {
    let in_family = |v6: bool| {
        let all =
            if v6 { Ipv6Addr::UNSPECIFIED.into() } else { IpAddr::from(Ipv4Addr::UNSPECIFIED) };
        let is_same = |address: &IpAddr| address.is_ipv6() == v6;
        if way_out.mode(v6) == GatewayMode::Routed {
            let meant = published.address().is_none_or(|address| is_same(&address));
            return meant.then_some(Place { address: all, translated: false });
        }
        let address = named(published, way_out).unwrap_or(all);
        is_same(&address).then_some(Place { address, translated: true })
    };
    addresses.iter().filter_map(|own| in_family(own.addr().is_ipv6())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &[&str] = &["10.0.0.2/24", "fd00::2/64"];

    fn way_out(mode4: GatewayMode, mode6: GatewayMode, host_binding: Option<&str>) -> WayOut {
        let host_binding = host_binding.map(|address| address.parse().expect("an address"));
        WayOut { mode4, mode6, host_binding, ..WayOut::default() }
    }

    fn shown(published: &str, way_out: WayOut, addresses: &[&str]) -> Vec<String> {
        let addresses: Vec<IpNet> =
            addresses.iter().map(|address| address.parse().expect("an address")).collect();
        let published = published.parse().expect("a port");
        let show = |place: &Place| {
            format!("{}{}", place.address, if place.translated { "" } else { " routed" })
        };
        places(&published, way_out, &addresses).iter().map(show).collect()
    }

    #[test]
    fn a_port_is_reached_in_each_family_that_is_meant() {
        use GatewayMode::{Nat, Routed};
        let nat = way_out(Nat, Nat, None);
        for (published, way_out, addresses, expected) in [
            ("8080:80", nat, BOTH, &["0.0.0.0", "::"][..]),
            ("8080:80", nat, &BOTH[..1], &["0.0.0.0"]),
            ("8080:80", nat, &BOTH[1..], &["::"]),
            ("0.0.0.0:8080:80", nat, BOTH, &["0.0.0.0"]),
            ("[::]:8080:80", nat, BOTH, &["::"]),
            ("192.0.2.1:8080:80", nat, BOTH, &["192.0.2.1"]),
            ("[fd00:1::1]:8080:80", nat, BOTH, &["fd00:1::1"]),
            ("[fd00:1::1]:8080:80", nat, &BOTH[..1], &[]),
            ("8080:80", way_out(Nat, Nat, Some("192.0.2.1")), BOTH, &["192.0.2.1"]),
            ("[::]:8080:80", way_out(Nat, Nat, Some("192.0.2.1")), BOTH, &["::"]),
            ("8080:80", way_out(Nat, Nat, Some("192.0.2.1")), &BOTH[1..], &[]),
            ("8080:80", way_out(Routed, Routed, None), BOTH, &["0.0.0.0 routed", ":: routed"]),
            ("192.0.2.9:80:80", way_out(Routed, Routed, None), BOTH, &["0.0.0.0 routed"]),
            ("8080:80", way_out(Nat, Routed, None), BOTH, &["0.0.0.0", ":: routed"]),
            ("8080:80", way_out(Nat, Routed, Some("192.0.2.1")), BOTH, &["192.0.2.1", ":: routed"]),
            ("[::]::80", way_out(Nat, Routed, None), BOTH, &[":: routed"]),
            ("0.0.0.0:8080:80", way_out(Nat, Routed, None), BOTH, &["0.0.0.0"]),
        ] {
            assert_eq!(shown(published, way_out, addresses), expected, "{published} {way_out:?}");
        }
    }

    #[test]
    fn a_port_of_a_host_is_asked_for_once() {
        let twice = |ports: &[&str]| {
            let nat = WayOut::default();
            let addresses: Vec<IpNet> =
                BOTH.iter().map(|address| address.parse().expect("an address")).collect();
            let all = ports.iter().flat_map(|text| {
                let published: PublishedPort = text.parse().expect("a port");
                let places = places(&published, nat, &addresses);
                let wanted = |(port, of)| Wanted { published, port, of, places: places.clone() };
                published.singles().map(wanted).collect::<Vec<_>>()
            });
            let service = "web".parse().expect("a name");
            check_twice(&service, &all.collect::<Vec<_>>()).err().map(|error| error.message)
        };
        for ports in [
            &["8080:80", "8081:80"][..],
            &["8080:80", "8080:80/udp"],
            &["0.0.0.0:8080:80", "[::]:8080:81"],
            &["192.0.2.1:8080:80", "192.0.2.2:8080:81"],
            &["8080-8081:80", "8080-8081:80"],
            &["80", "80"],
        ] {
            assert_eq!(twice(ports), None, "{ports:?}");
        }
        for ports in [
            ["8080:80", "8080:81"],
            ["192.0.2.1:8080:80", "8080:81"],
            ["8079-8081:80-82", "[fd00::1]:8080:80"],
        ] {
            assert_eq!(
                twice(&ports).as_deref(),
                Some(
                    "service web publishes port 8080/tcp of its host twice: \
                     publish each at another port or address"
                ),
                "{ports:?}"
            );
        }
    }
}
