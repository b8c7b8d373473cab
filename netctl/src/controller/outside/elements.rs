//! What the table holds for the networks and ports that are here, as `nft` writes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::model::{BoundPort, Endpoint, GatewayMode, Network};

/// The elements of each set and map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::controller) struct Elements(BTreeMap<String, BTreeSet<String>>);

impl Elements {
    pub(super) const NONE: Self = Self(BTreeMap::new());

    pub(super) fn add(&mut self, set: &str, element: String) {
        self.0.entry(set.to_owned()).or_default().insert(element);
    }

    pub(super) fn of(&self, set: &str) -> impl Iterator<Item = &str> {
        self.0.get(set).into_iter().flatten().map(String::as_str)
    }

    pub(super) fn remove(&mut self, set: &str) {
        self.0.remove(set);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|(set, elements)| elements.iter().map(|e| (set.as_str(), e.as_str())))
    }

    pub(super) fn contains(&self, set: &str, element: &str) -> bool {
        self.0.get(set).is_some_and(|elements| elements.contains(element))
    }

    /// Whether a network has a way out.
    pub(super) fn has_ways(&self) -> bool {
        self.of("out").next().is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A network with a way out, and the device of its gateway on this host.
#[derive(Clone, Copy, Debug)]
pub(in crate::controller) struct Way<'a> {
    pub(in crate::controller) network: &'a Network,
    pub(in crate::controller) device: &'a str,
}

/// An endpoint of such a network that is attached on this host.
#[derive(Clone, Copy, Debug)]
pub(in crate::controller) struct Opened<'a> {
    pub(in crate::controller) endpoint: &'a Endpoint,
    pub(in crate::controller) device: &'a str,
}

/// What follows from them, and from the gateways' devices of networks, with a way out or without, in which engines ask for
/// names.
pub(in crate::controller) fn of<'a>(
    ways: impl IntoIterator<Item = Way<'a>>,
    opened: impl IntoIterator<Item = Opened<'a>>,
    asking: impl IntoIterator<Item = &'a str>,
) -> Elements {
    let mut elements = Elements::default();
    for device in asking {
        elements.add("asking", device.to_owned());
    }
    for Way { network, device } in ways {
        let out = network.policy.way_out;
        elements.add("out", device.to_owned());
        elements.add("within", format!("{device} . {device}"));
        for (v6, masquerade, routed) in
            [(false, "masquerade4", "routed4"), (true, "masquerade6", "routed6")]
        {
            if !network.subnets.iter().any(|subnet| subnet.is_v6() == v6) {
                continue;
            }
            if out.masquerades(v6) {
                elements.add(masquerade, device.to_owned());
            }
            if out.mode(v6) == GatewayMode::Routed {
                elements.add(routed, device.to_owned());
            }
        }
    }
    for Opened { endpoint, device } in opened {
        for bound in endpoint.owner.iter().flat_map(|owner| &owner.ports) {
            let own = endpoint.addresses.iter().map(IpNet::addr);
            if let Some(own) = own.clone().find(|own| own.is_ipv4() == bound.address.is_ipv4()) {
                let (set, element) = port(bound, own, device);
                elements.add(set, element);
            }
        }
    }
    elements
}

fn port(bound: &BoundPort, own: IpAddr, device: &str) -> (&'static str, String) {
    let BoundPort { address, host_port, port, transport } = bound;
    let v6 = address.is_ipv6();
    match host_port {
        None => {
            let set = if v6 { "open6" } else { "open4" };
            (set, format!("{device} . {own} . {transport} . {port}"))
        }
        Some(host_port) if address.is_unspecified() => {
            let map = if v6 { "any6" } else { "any4" };
            (map, format!("{transport} . {host_port} : {own} . {port}"))
        }
        Some(host_port) => {
            let map = if v6 { "at6" } else { "at4" };
            (map, format!("{address} . {transport} . {host_port} : {own} . {port}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        discovery::tests::{endpoint, network},
        model::{Policy, SandboxId, Subnet, WayOut},
    };

    fn network_with(way_out: WayOut, subnets: &[&str]) -> Network {
        let subnet =
            |text: &&str| Subnet::new(text.parse().expect("a subnet"), None, None).expect("usable");
        Network {
            policy: Policy { way_out, ..Policy::default() },
            subnets: subnets.iter().map(subnet).collect(),
            ..network("dev", subnets[0], false)
        }
    }

    fn shown(elements: &Elements) -> Vec<String> {
        elements.all().map(|(set, element)| format!("{set} {element}")).collect()
    }

    #[test]
    fn a_network_is_translated_or_routed_in_the_families_that_it_has() {
        let both = ["10.1.0.0/24", "fd00::/64"];
        let routed6 = WayOut { mode6: GatewayMode::Routed, ..WayOut::default() };
        let as_it_is = WayOut { masquerade: false, ..WayOut::default() };
        let all = ["out nh-1", "within nh-1 . nh-1"];
        for (way_out, subnets, further) in [
            (WayOut::default(), &both[..1], &["masquerade4 nh-1"][..]),
            (WayOut::default(), &both[..], &["masquerade4 nh-1", "masquerade6 nh-1"]),
            (routed6, &both[..], &["masquerade4 nh-1", "routed6 nh-1"]),
            (as_it_is, &both[..], &[]),
        ] {
            let network = network_with(way_out, subnets);
            let elements = of([Way { network: &network, device: "nh-1" }], [], []);
            let mut expected: Vec<&str> = all.iter().chain(further).copied().collect();
            expected.sort_unstable();
            assert_eq!(shown(&elements), expected, "{way_out:?} {subnets:?}");
        }
        assert!(of([], [], []).is_empty());
    }

    #[test]
    fn ports_lead_to_the_endpoint() {
        let network = network_with(WayOut::default(), &["10.1.0.0/24", "fd00::/64"]);
        let addresses = ["10.1.0.2/24", "fd00::2/64"];
        let mut endpoint = endpoint(&network, "web", &[], &addresses, Some(&SandboxId::random()));
        let bound = |address: &str, host_port: u16, port: u16, transport: &str| BoundPort {
            address: address.parse().expect("an address"),
            host_port: host_port.try_into().ok(),
            port: port.try_into().expect("a port"),
            transport: transport.parse().expect("a transport"),
        };
        endpoint.owner.as_mut().expect("an owner").ports = vec![
            bound("0.0.0.0", 8080, 80, "tcp"),
            bound("192.0.2.1", 53, 5353, "udp"),
            bound("::", 8080, 80, "tcp"),
            bound("2001:db8::1", 9, 9, "sctp"),
            bound("0.0.0.0", 0, 81, "tcp"),
            bound("::", 0, 81, "tcp"),
        ];
        let elements = of([], [Opened { endpoint: &endpoint, device: "nh-1" }], []);
        assert_eq!(
            shown(&elements),
            [
                "any4 tcp . 8080 : 10.1.0.2 . 80",
                "any6 tcp . 8080 : fd00::2 . 80",
                "at4 192.0.2.1 . udp . 53 : 10.1.0.2 . 5353",
                "at6 2001:db8::1 . sctp . 9 : fd00::2 . 9",
                "open4 nh-1 . 10.1.0.2 . tcp . 81",
                "open6 nh-1 . fd00::2 . tcp . 81",
            ]
        );
        assert_eq!(shown(&of([], [], ["nh-1"])), ["asking nh-1"]);
    }
}
