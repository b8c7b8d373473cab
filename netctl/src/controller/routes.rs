//! The routes of a sandbox: which of its networks it leaves by, and what else they lead to.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use crate::{
    drivers::Joined,
    model::{EndpointId, InterfaceView},
};

/// A route that a sandbox is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) destination: IpNet,
    pub(super) gateway: Option<IpAddr>,
    /// The device in the sandbox.
    pub(super) device: String,
    /// The endpoint that it is of.
    pub(super) endpoint: EndpointId,
}

/// The routes of a sandbox with these interfaces, by destination.
///
/// The default routes follow libnetwork's rule (`Endpoint.Less`): the network with the highest priority has them, of
/// several the one that has IPv6 too, and of those the first by name. The rule is applied for each family on its own,
/// so that a sandbox gets out by IPv6 also where the first network has none. An internal network has no gateway, and so
/// no part in it. What networks lead to besides is chosen in the same order, where two of them lead to the same.
pub(super) fn wanted(interfaces: &[(&InterfaceView, &Joined)]) -> Vec<Wanted> {
    let mut ordered: Vec<_> = interfaces
        .iter()
        .filter_map(|(interface, joined)| Some((*interface, *joined, interface.device.as_ref()?)))
        .collect();
    ordered.sort_by_key(|(interface, joined, _)| {
        let ipv6 = joined.gateways.iter().any(IpAddr::is_ipv6);
        let InterfaceView { gw_priority, network, endpoint, .. } = interface;
        (std::cmp::Reverse(*gw_priority), !ipv6, network.clone(), endpoint.clone())
    });
    let mut routes = BTreeMap::new();
    for (interface, joined, device) in ordered {
        let defaults = joined.gateways.iter().map(|gateway| (default(gateway), Some(*gateway)));
        let others = joined.routes.iter().map(|route| (route.destination, route.next_hop));
        for (destination, gateway) in defaults.chain(others) {
            routes.entry(destination).or_insert_with(|| Wanted {
                destination,
                gateway,
                device: device.clone(),
                endpoint: interface.endpoint.clone(),
            });
        }
    }
    routes.into_values().collect()
}

/// Where a gateway leads: to all addresses of its family.
fn default(gateway: &IpAddr) -> IpNet {
    let unspecified: IpAddr = match gateway {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    IpNet::new_assert(unspecified, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::Route;

    /// Priority, network, gateways, and a route besides: to where, and by whom.
    type Given<'a> = (i32, &'a str, &'a [&'a str], Option<(&'a str, Option<&'a str>)>);

    /// Routes as `DESTINATION via GATEWAY dev DEVICE`; the interfaces are `eth0` and so on.
    fn routes(given: &[Given<'_>]) -> Vec<String> {
        let interfaces: Vec<(InterfaceView, Joined)> = (0..)
            .zip(given)
            .map(|(number, (priority, network, gateways, route))| {
                let interface = InterfaceView {
                    device: Some(format!("eth{number}")),
                    service: "web".parse().expect("a name"),
                    endpoint: EndpointId::from_bytes([number; 32]),
                    network: network.parse().expect("a name"),
                    mac: None,
                    addresses: Vec::new(),
                    gw_priority: *priority,
                    aliases: Vec::new(),
                    ports: Vec::new(),
                    configuration: None,
                };
                let address = |text: &str| text.parse().expect("an address");
                let joined = Joined {
                    port: None,
                    device: None,
                    gateways: gateways.iter().copied().map(address).collect(),
                    routes: route
                        .iter()
                        .map(|(destination, next_hop)| Route {
                            destination: destination.parse().expect("a prefix"),
                            next_hop: next_hop.map(address),
                        })
                        .collect(),
                };
                (interface, joined)
            })
            .collect();
        let borrowed: Vec<_> = interfaces.iter().map(|(i, j)| (i, j)).collect();
        let text = |route: Wanted| {
            let via = route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
            format!("{}{via} dev {}", route.destination, route.device)
        };
        wanted(&borrowed).into_iter().map(text).collect()
    }

    #[test]
    fn the_default_route_follows_priority_then_ipv6_then_name() {
        let (a, b) = (&["10.1.0.1"][..], &["10.2.0.1"][..]);
        let both = &["10.3.0.1", "fd03::1"][..];
        let cases: &[(&str, &[Given<'_>], &[&str])] = &[
            ("nothing is joined", &[], &[]),
            ("internal networks alone", &[(0, "a", &[], None)], &[]),
            (
                "the first by name",
                &[(0, "b", b, None), (0, "a", a, None)],
                &["0.0.0.0/0 via 10.1.0.1 dev eth1"],
            ),
            (
                "the higher priority",
                &[(0, "a", a, None), (1, "b", b, None)],
                &["0.0.0.0/0 via 10.2.0.1 dev eth1"],
            ),
            (
                "a negative one is lower",
                &[(-1, "a", a, None), (0, "b", b, None)],
                &["0.0.0.0/0 via 10.2.0.1 dev eth1"],
            ),
            (
                "an internal one has no part",
                &[(9, "a", &[], None), (0, "b", b, None)],
                &["0.0.0.0/0 via 10.2.0.1 dev eth1"],
            ),
            (
                "IPv6 too",
                &[(0, "a", a, None), (0, "z", both, None)],
                &["0.0.0.0/0 via 10.3.0.1 dev eth1", "::/0 via fd03::1 dev eth1"],
            ),
            (
                "each family by itself",
                &[(5, "a", a, None), (0, "z", both, None)],
                &["0.0.0.0/0 via 10.1.0.1 dev eth0", "::/0 via fd03::1 dev eth1"],
            ),
            (
                "the same name, as of two services",
                &[(0, "a", a, None), (0, "a", a, None)],
                &["0.0.0.0/0 via 10.1.0.1 dev eth0"],
            ),
        ];
        for (what, given, expected) in cases {
            assert_eq!(routes(given), *expected, "{what}");
        }
    }

    #[test]
    fn routes_of_networks_are_chosen_in_the_same_order() {
        let to = |next_hop| Some(("10.9.0.0/16", next_hop));
        let given: &[Given<'_>] =
            &[(0, "a", &[], to(Some("10.1.0.1"))), (1, "b", &["10.2.0.1"], to(None))];
        assert_eq!(routes(given), ["0.0.0.0/0 via 10.2.0.1 dev eth1", "10.9.0.0/16 dev eth1"]);
    }
}
