//! Published ports as people read them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::model::{BoundPort, Endpoint, PortRange, Transport};

/// What the ports of a service are bound to; what was asked for where it is not attached.
pub(super) fn shown(endpoint: &Endpoint) -> Vec<String> {
    match &endpoint.owner {
        Some(owner) => folded(&owner.ports),
        None => endpoint.ports.iter().map(ToString::to_string).collect(),
    }
}

/// Ports of a host in Docker's form, `192.0.2.1:8000-8002->80-82/tcp`. Those that follow one another are one.
///
/// Without an address are those of all addresses of both families; without a port of the host too those that are reached
/// at the service's own address.
pub(super) fn folded(bound: &[BoundPort]) -> Vec<String> {
    let mut runs: Vec<Run> = Vec::new();
    for run in bound.iter().filter_map(|port| Run::of(port, bound)) {
        match runs.iter_mut().find_map(|before| Some((before.with(&run)?, before))) {
            Some((both, before)) => *before = both,
            None => runs.push(run),
        }
    }
    runs.iter().map(ToString::to_string).collect()
}

/// Ports that follow one another, on both sides alike.
#[derive(Clone, Copy)]
struct Run {
    address: Option<IpAddr>,
    host_ports: Option<PortRange>,
    ports: PortRange,
    transport: Transport,
}

impl Run {
    /// A port by itself; `None` for one of IPv6 that is the same as one of IPv4 among `all`.
    fn of(port: &BoundPort, all: &[BoundPort]) -> Option<Self> {
        let BoundPort { address, host_port, port: own, transport } = *port;
        let other = match address {
            IpAddr::V4(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        };
        let both = address.is_unspecified() && all.contains(&BoundPort { address: other, ..*port });
        if both && address.is_ipv6() {
            return None;
        }
        Some(Self {
            address: host_port.map(|_| address).filter(|_| !both),
            host_ports: host_port.map(PortRange::from),
            ports: own.into(),
            transport,
        })
    }

    /// Both, where the other begins where this one ends.
    fn with(&self, other: &Self) -> Option<Self> {
        let alike = (self.address, self.transport) == (other.address, other.transport);
        let host_ports = match (self.host_ports, other.host_ports) {
            (Some(host_ports), Some(further)) => Some(host_ports.joined(further)?),
            (None, None) => None,
            _ => return None,
        };
        let ports = self.ports.joined(other.ports)?;
        alike.then_some(Self { host_ports, ports, ..*self })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, host_ports, ports, transport } = self;
        match address {
            Some(IpAddr::V4(v4)) => write!(f, "{v4}:")?,
            Some(IpAddr::V6(v6)) => write!(f, "[{v6}]:")?,
            None => {}
        }
        if let Some(host_ports) = host_ports {
            write!(f, "{host_ports}->")?;
        }
        write!(f, "{ports}/{transport}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> BoundPort {
        let (address, rest) = text.rsplit_once(' ').expect("an address");
        let (host_port, port) = rest.split_once('>').expect("two ports");
        BoundPort {
            address: address.parse().expect("an address"),
            host_port: host_port.parse().ok(),
            port: port.parse().expect("a port"),
            transport: Transport::Tcp,
        }
    }

    #[test]
    fn ports_are_folded() {
        for (ports, expected) in [
            (&["0.0.0.0 8080>80"][..], &["0.0.0.0:8080->80/tcp"][..]),
            (&[":: 8080>80"], &["[::]:8080->80/tcp"]),
            (&["0.0.0.0 8080>80", ":: 8080>80"], &["8080->80/tcp"]),
            (&["0.0.0.0 8080>80", ":: 8081>80"], &["0.0.0.0:8080->80/tcp", "[::]:8081->80/tcp"]),
            (
                &["192.0.2.1 80>80", "fd00::1 80>80"],
                &["192.0.2.1:80->80/tcp", "[fd00::1]:80->80/tcp"],
            ),
            (
                &[
                    "0.0.0.0 8000>80",
                    ":: 8000>80",
                    "0.0.0.0 8001>81",
                    ":: 8001>81",
                    "0.0.0.0 8002>82",
                    ":: 8002>82",
                ],
                &["8000-8002->80-82/tcp"],
            ),
            (
                &["0.0.0.0 8000>80", "0.0.0.0 8002>81"],
                &["0.0.0.0:8000->80/tcp", "0.0.0.0:8002->81/tcp"],
            ),
            (
                &["0.0.0.0 8000>80", "0.0.0.0 8001>80"],
                &["0.0.0.0:8000->80/tcp", "0.0.0.0:8001->80/tcp"],
            ),
            (&["0.0.0.0 >80", ":: >80"], &["80/tcp"]),
            (&["0.0.0.0 >80", "0.0.0.0 >81"], &["80-81/tcp"]),
            (&["0.0.0.0 8080>80", ":: >80"], &["0.0.0.0:8080->80/tcp", "80/tcp"]),
        ] {
            let bound: Vec<BoundPort> = ports.iter().map(|text| bound(text)).collect();
            assert_eq!(folded(&bound), expected);
        }
        let udp = BoundPort { transport: Transport::Udp, ..bound("0.0.0.0 53>53") };
        assert_eq!(
            folded(&[udp, bound("0.0.0.0 54>54")]),
            ["0.0.0.0:53->53/udp", "0.0.0.0:54->54/tcp"]
        );
    }
}
