//! The ports of an endpoint, as plugins are told of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::NonZeroU16,
};

use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, PublishedPort, Transport};

/// A port that an endpoint listens on (`types.TransportPort`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TransportPort {
    /// The number of the IP protocol.
    proto: u8,
    port: NonZeroU16,
}

impl TransportPort {
    fn new(transport: Transport, port: NonZeroU16) -> Self {
        Self { proto: transport.number(), port }
    }
}

/// A port of the host that is to lead to one of an endpoint (`types.PortBinding`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PortBinding {
    proto: u8,
    /// The endpoint's address, which Docker leaves empty.
    #[serde(rename = "IP")]
    ip: String,
    port: NonZeroU16,
    /// Empty for all addresses of the host.
    #[serde(rename = "HostIP")]
    host_ip: String,
    host_port: NonZeroU16,
    host_port_end: NonZeroU16,
}

/// What a plugin is told of an endpoint's ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    exposed: Vec<TransportPort>,
    published: Vec<PortBinding>,
}

/// A setting with a name of Docker's.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Setting<'a> {
    Exposed(&'a [TransportPort]),
    Published(&'a [PortBinding]),
    Text(String),
}

impl Ports {
    /// Those of an endpoint, with the ports of the host that it has there. What is published is exposed too.
    pub fn of(endpoint: &Endpoint) -> Self {
        let mut known = BTreeSet::new();
        let singles: Vec<(&PublishedPort, NonZeroU16)> = endpoint
            .ports
            .iter()
            .flat_map(|published| published.singles().map(move |(port, _)| (published, port)))
            .collect();
        let said = endpoint.exposed.iter().map(|exposed| (exposed.transport, exposed.port));
        let opened = singles.iter().map(|(published, port)| (published.transport(), *port));
        let exposed = said
            .chain(opened)
            .map(|(transport, port)| TransportPort::new(transport, port))
            .filter(|port| known.insert(*port))
            .collect();
        let mut bound = endpoint.owner.iter().flat_map(|owner| &owner.ports);
        let published = singles.iter().filter_map(|&(published, port)| {
            // One of each family stands for all addresses, and one alone for one that is named.
            let places = published.address().map_or(endpoint.addresses.len(), |_| 1);
            let host_port = bound.by_ref().take(places).last()?.host_port?;
            Some(PortBinding {
                proto: published.transport().number(),
                ip: String::new(),
                port,
                host_ip: published.address().as_ref().map(IpAddr::to_string).unwrap_or_default(),
                host_port,
                host_port_end: host_port,
            })
        });
        Self { exposed, published: published.collect() }
    }

    pub(super) fn settings(&self) -> BTreeMap<&'static str, Setting<'_>> {
        BTreeMap::from([
            ("com.docker.network.endpoint.exposedports", Setting::Exposed(&self.exposed)),
            ("com.docker.network.portmap", Setting::Published(&self.published)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        discovery::tests::{endpoint, network},
        model::{BoundPort, SandboxId},
    };

    fn bound(address: &str, host_port: u16, port: u16) -> BoundPort {
        BoundPort {
            address: address.parse().expect("an address"),
            host_port: NonZeroU16::new(host_port),
            port: NonZeroU16::new(port).expect("a port"),
            transport: Transport::Tcp,
        }
    }

    /// As in call 31 of `docker-remote-calls.jsonl`, where Docker's order differs each time.
    #[test]
    fn ports_are_told_as_docker_tells_them() {
        let network = network("far", "10.0.0.0/24", false);
        let sandbox = SandboxId::random();
        let addresses = ["10.0.0.2/24", "fd00::2/64"];
        let mut endpoint = endpoint(&network, "a", &[], &addresses, Some(&sandbox));
        endpoint.exposed = vec!["9999".parse().expect("a port"), "80".parse().expect("a port")];
        let published = ["18080:80", "127.0.0.1:19000-19001:9000-9001", "81"];
        endpoint.ports = published.iter().map(|text| text.parse().expect("a port")).collect();
        endpoint.owner.as_mut().expect("an owner").ports = vec![
            bound("0.0.0.0", 18080, 80),
            bound("::", 18080, 80),
            bound("127.0.0.1", 19000, 9000),
            bound("127.0.0.1", 19001, 9001),
            bound("0.0.0.0", 40000, 81),
            bound("::", 40000, 81),
        ];
        let ports = Ports::of(&endpoint);
        let text = serde_json::to_string(&ports.settings()).expect("JSON");
        let exposed =
            [9999, 80, 9000, 9001, 81].map(|port| format!(r#"{{"Proto":6,"Port":{port}}}"#));
        let published = [
            (80, "", 18080),
            (9000, "127.0.0.1", 19000),
            (9001, "127.0.0.1", 19001),
            (81, "", 40000),
        ]
        .map(|(port, host, at)| {
            format!(
                r#"{{"Proto":6,"IP":"","Port":{port},"HostIP":"{host}","HostPort":{at},"HostPortEnd":{at}}}"#
            )
        });
        let expected = format!(
            r#"{{"com.docker.network.endpoint.exposedports":[{}],"com.docker.network.portmap":[{}]}}"#,
            exposed.join(","),
            published.join(",")
        );
        assert_eq!(text, expected);
    }
}
