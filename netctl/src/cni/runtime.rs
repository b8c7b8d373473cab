//! `runtimeConfig`: what a runtime says of one container by the capabilities that a configuration declares.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    args::Arguments,
    config::{Head, part},
    error::{Code, Error, Result},
};
use crate::model::{MacAddr, Name, PublishedPort};

/// The capabilities that netctl has, which `netctl cni install` declares.
pub const CAPABILITIES: [&str; 4] = ["portMappings", "ips", "mac", "aliases"];

/// What a container is to have.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) address: Option<Ipv4Addr>,
    pub(super) address6: Option<Ipv6Addr>,
    pub(super) mac: Option<MacAddr>,
    pub(super) ports: Vec<PublishedPort>,
    pub(super) aliases: Vec<Name>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    port_mappings: Vec<Map<String, Value>>,
    ips: Vec<String>,
    mac: Option<String>,
    aliases: Aliases,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Default, Deserialize)]
struct Outer {
    #[serde(default, rename = "runtimeConfig")]
    runtime: Option<Wire>,
}

/// A list of names, as the conventions have it, or one for each network, as podman has it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a list of names, or one for each network")]
enum Aliases {
    List(Vec<String>),
    OfNetworks(BTreeMap<String, Vec<String>>),
}

impl Default for Aliases {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Wanted {
    pub(super) fn read(configuration: &Value, head: &Head, arguments: Arguments) -> Result<Self> {
        let wire = part::<Outer>(configuration)?.runtime.unwrap_or_default();
        if let Some((key, value)) = wire.others.first_key_value() {
            let known = CAPABILITIES.join(", ");
            let why = format!(
                "field runtimeConfig.{key} is {value}: netctl has the capabilities {known}, declare no others"
            );
            return Err(Error::new(Code::UnsupportedField, why));
        }
        let (ips, from) = if wire.ips.is_empty() {
            (arguments.ips, "CNI_ARGS: IP")
        } else {
            (wire.ips, "field runtimeConfig.ips of the network configuration")
        };
        let (address, address6) = addresses(&ips, from)?;
        let aliases = match wire.aliases {
            Aliases::List(names) => names,
            Aliases::OfNetworks(mut names) => names.remove(head.name.as_str()).unwrap_or_default(),
        };
        let aliases =
            aliases.iter().map(|alias| alias.parse().map_err(|why| invalid("aliases", &why)));
        let (mac, from) = match wire.mac.filter(|mac| !mac.is_empty()) {
            Some(mac) => (Some(mac), "field runtimeConfig.mac of the network configuration"),
            None => (arguments.mac, "CNI_ARGS: MAC"),
        };
        let address_of = |mac: String| {
            let why = |why| format!("{from}: {mac:?} is {why}");
            mac.parse().map_err(|error| Error::new(Code::Configuration, why(error)))
        };
        Ok(Self {
            address,
            address6,
            mac: mac.map(address_of).transpose()?,
            ports: wire.port_mappings.iter().map(port).collect::<Result<_>>()?,
            aliases: aliases.collect::<Result<_>>()?,
        })
    }
}

fn invalid(field: &str, why: &dyn std::fmt::Display) -> Error {
    let sentence = format!("field runtimeConfig.{field} of the network configuration: {why}");
    Error::new(Code::Configuration, sentence)
}

/// At most one address of each family; what stands behind a slash is the network's to say.
fn addresses(texts: &[String], from: &str) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>)> {
    let unusable = |why| Err(Error::new(Code::Configuration, format!("{from}: {why}")));
    let (mut v4, mut v6) = (None, None);
    for text in texts {
        let address = text.split('/').next().unwrap_or_default();
        let twice = match address.parse() {
            Ok(IpAddr::V4(address)) => v4.replace(address).is_some(),
            Ok(IpAddr::V6(address)) => v6.replace(address).is_some(),
            Err(_) => return unusable(format!("{text:?} is no IP address")),
        };
        if twice {
            return unusable(format!("{text} is a second address of its family: give one of each"));
        }
    }
    Ok((v4, v6))
}

/// A port mapping. Its names are told apart without regard to case, since podman writes `hostPort` and containerd
/// `HostPort`.
fn port(mapping: &Map<String, Value>) -> Result<PublishedPort> {
    let field = |name: &str| {
        let found = mapping.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        found.map(|(_, value)| text(value)).filter(|text| !text.is_empty())
    };
    let address = field("hostIP").map_or_else(String::new, |address| {
        if address.contains(':') { format!("[{address}]:") } else { format!("{address}:") }
    });
    let host_port = field("hostPort").unwrap_or_default();
    let port = field("containerPort").unwrap_or_default();
    let transport = field("protocol").unwrap_or_else(|| "tcp".to_owned());
    let text = format!("{address}{host_port}:{port}/{transport}");
    text.parse().map_err(|why| invalid("portMappings", &why))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(mapping: &Value) -> Result<PublishedPort> {
        port(mapping.as_object().expect("a test's own object"))
    }

    #[test]
    fn port_mappings_are_read_in_any_case() {
        for (mapping, expected) in [
            (json!({"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}), "8080:80/tcp"),
            (
                json!({"HostPort": 18080, "ContainerPort": 80, "Protocol": "TCP", "HostIP": ""}),
                "18080:80/tcp",
            ),
            (
                json!({"hostPort": 5353, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1"}),
                "127.0.0.1:5353:53/udp",
            ),
            (json!({"hostPort": 1, "containerPort": 2, "hostIP": "fd00::1"}), "[fd00::1]:1:2/tcp"),
            (json!({"hostPort": 0, "containerPort": 2}), "2/tcp"),
        ] {
            assert_eq!(read(&mapping).expect("a mapping").to_string(), expected);
        }
        for bad in [json!({"hostPort": 1}), json!({"containerPort": 70000}), json!({})] {
            assert_eq!(read(&bad).expect_err("none").code(), Code::Configuration);
        }
    }
}
