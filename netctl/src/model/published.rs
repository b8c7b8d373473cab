//! Ports that a service is to be reached at by addresses of the host that it is on.

use std::{fmt, iter, net::IpAddr, num::NonZeroU16, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Transport;

/// Ports that follow one another, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: NonZeroU16,
    last: NonZeroU16,
}

impl PortRange {
    /// `None` where it would end before it begins.
    pub fn new(first: NonZeroU16, last: NonZeroU16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The ports, from the lowest on.
    pub fn ports(self) -> impl Iterator<Item = NonZeroU16> + Clone {
        (self.first.get()..=self.last.get()).filter_map(NonZeroU16::new)
    }

    /// Both, where `other` begins behind the last of these.
    pub fn joined(self, other: Self) -> Option<Self> {
        let behind = self.last.checked_add(1) == Some(other.first);
        behind.then_some(Self { first: self.first, last: other.last })
    }

    /// How many they are, from 1 to 65535.
    pub fn count(self) -> u32 {
        u32::from(self.last.get() - self.first.get()) + 1
    }
}

impl From<NonZeroU16> for PortRange {
    fn from(port: NonZeroU16) -> Self {
        Self { first: port, last: port }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { first, last } if first == last => first.fmt(f),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

/// Ports of a service to publish, as Docker has them: `[[HOST_IP:][HOST_PORT[-END]]:]PORT[-END][/PROTO]`, with an IPv6
/// address in brackets.
///
/// There are as many ports of the host as of the service, or none, or several for one of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublishedPort {
    address: Option<IpAddr>,
    host_ports: Option<PortRange>,
    ports: PortRange,
    transport: Transport,
}

impl PublishedPort {
    /// The address of the host; an unspecified one is all of its family, and none is what the network says.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// What they are ports of.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// How many ports of the service they are.
    pub fn count(&self) -> u32 {
        self.ports.count()
    }

    /// Each port of the service, with those of the host that one free is to be chosen of; `None` is any.
    pub fn singles(&self) -> impl Iterator<Item = (NonZeroU16, Option<PortRange>)> {
        let Self { host_ports, ports, .. } = *self;
        let one_each =
            host_ports.filter(|_| ports.count() > 1).into_iter().flat_map(PortRange::ports);
        let mut one_each = one_each.map(PortRange::from);
        ports.ports().zip(iter::from_fn(move || Some(one_each.next().or(host_ports))))
    }
}

/// Why a text is no [`PublishedPort`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishedPortError {
    /// It has too many parts, or brackets where none belong.
    #[error(
        "port {text:?}: write [[HOST_IP:][HOST_PORT[-END]]:]PORT[-END][/PROTO], with an IPv6 address in brackets"
    )]
    Form {
        /// The whole text.
        text: String,
    },
    /// A part of it is no port, nor a range of them.
    #[error("port {text:?}: {part:?} is no port: write a number from 1 to 65535, or FIRST-LAST")]
    Number {
        /// The whole text.
        text: String,
        /// The part.
        part: String,
    },
    /// A range of it has no port.
    #[error("port {text:?}: range {part} ends before it begins")]
    Backwards {
        /// The whole text.
        text: String,
        /// The range.
        part: String,
    },
    /// The ports of the host and of the service do not match.
    #[error(
        "port {text:?}: the host's ports are {host_ports}, the service's {ports}: give as many of both, or one of the service"
    )]
    Counts {
        /// The whole text.
        text: String,
        /// How many ports of the host there are.
        host_ports: u32,
        /// How many of the service.
        ports: u32,
    },
    /// Its address is none.
    #[error("port {text:?}: {address:?} is no IP address")]
    Address {
        /// The whole text.
        text: String,
        /// What stands for an address.
        address: String,
    },
    /// Its address means another host on each link.
    #[error("port {text:?}: {address} is link-local, and does not say of which link: give another")]
    LinkLocal {
        /// The whole text.
        text: String,
        /// The address.
        address: IpAddr,
    },
    /// Nobody knows the protocol.
    #[error("port {text:?}: the protocol must be tcp, udp or sctp")]
    Transport {
        /// The whole text.
        text: String,
    },
}

impl FromStr for PublishedPort {
    type Err = PublishedPortError;

    fn from_str(text: &str) -> Result<Self, PublishedPortError> {
        let form = || PublishedPortError::Form { text: text.to_owned() };
        let (rest, transport) = match text.split_once('/') {
            Some((rest, transport)) => (rest, transport.parse()),
            None => (text, Ok(Transport::default())),
        };
        let transport =
            transport.map_err(|()| PublishedPortError::Transport { text: text.to_owned() })?;
        // The address first, since one of IPv6 has colons of its own.
        let (address, rest) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once("]:").ok_or_else(form)?;
                (Some(address), rest)
            }
            None => (None, rest),
        };
        let parts: Vec<&str> = rest.split(':').collect();
        let (address, host_ports, ports) = match (address, &*parts) {
            (None, [ports]) => (None, "", *ports),
            (None, [address, host_ports, ports]) => (Some(*address), *host_ports, *ports),
            (address, [host_ports, ports]) => (address, *host_ports, *ports),
            _ => return Err(form()),
        };
        let address = address.filter(|address| !address.is_empty());
        // Docker takes port 0 of the host for any.
        let host_ports = Some(host_ports).filter(|part| !matches!(*part, "" | "0"));
        let published = Self {
            address: address.map(|address| host_address(text, address)).transpose()?,
            host_ports: host_ports.map(|part| range(text, part)).transpose()?,
            ports: range(text, ports)?,
            transport,
        };
        match (published.host_ports.map(PortRange::count), published.ports.count()) {
            (Some(host_ports), ports) if ports > 1 && host_ports != ports => {
                Err(PublishedPortError::Counts { text: text.to_owned(), host_ports, ports })
            }
            _ => Ok(published),
        }
    }
}

/// An address of the host in `text`. One of IPv4 stays one, however it is written.
fn host_address(text: &str, address: &str) -> Result<IpAddr, PublishedPortError> {
    let parsed: IpAddr = address.parse().map_err(|_none| PublishedPortError::Address {
        text: text.to_owned(),
        address: address.to_owned(),
    })?;
    match parsed.to_canonical() {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            Err(PublishedPortError::LinkLocal { text: text.to_owned(), address: parsed })
        }
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => Ok(address),
    }
}

/// A port, or a range of them, in `text`.
fn range(text: &str, part: &str) -> Result<PortRange, PublishedPortError> {
    let port = |digits: &str| {
        let only_digits = digits.bytes().all(|c| c.is_ascii_digit());
        digits.parse::<NonZeroU16>().ok().filter(|_| only_digits)
    };
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (Some(first), Some(last)) = (port(first), port(last)) else {
        return Err(PublishedPortError::Number { text: text.to_owned(), part: part.to_owned() });
    };
    PortRange::new(first, last).ok_or_else(|| PublishedPortError::Backwards {
        text: text.to_owned(),
        part: part.to_owned(),
    })
}

impl TryFrom<String> for PublishedPort {
    type Error = PublishedPortError;

    fn try_from(text: String) -> Result<Self, PublishedPortError> {
        text.parse()
    }
}

impl From<PublishedPort> for String {
    fn from(port: PublishedPort) -> Self {
        port.to_string()
    }
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, host_ports, ports, transport } = self;
        match address {
            Some(IpAddr::V4(v4)) => write!(f, "{v4}:")?,
            Some(IpAddr::V6(v6)) => write!(f, "[{v6}]:")?,
            None => {}
        }
        match host_ports {
            Some(host_ports) => write!(f, "{host_ports}:")?,
            None if address.is_some() => f.write_str(":")?,
            None => {}
        }
        write!(f, "{ports}/{transport}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ports_are_read_as_docker_reads_them() {
        for (text, shown) in [
            ("80", "80/tcp"),
            (":80", "80/tcp"),
            ("0:80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            ("8080:80/UDP", "8080:80/udp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            ("127.0.0.1:0:80", "127.0.0.1::80/tcp"),
            (":8080:80", "8080:80/tcp"),
            ("[::]:8080:80/sctp", "[::]:8080:80/sctp"),
            ("[fd00::1]::80", "[fd00::1]::80/tcp"),
            ("[::ffff:192.0.2.1]:8080:80", "192.0.2.1:8080:80/tcp"),
            ("80-82", "80-82/tcp"),
            ("80-80", "80/tcp"),
            ("8000-8002:80-82", "8000-8002:80-82/tcp"),
            ("8000-8010:80", "8000-8010:80/tcp"),
            ("1-65535:1-65535", "1-65535:1-65535/tcp"),
        ] {
            assert_eq!(text.parse::<PublishedPort>().expect(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_port_is_said() {
        let form = "write [[HOST_IP:][HOST_PORT[-END]]:]PORT[-END][/PROTO], with an IPv6 address in brackets";
        for (text, why) in [
            ("", "\"\" is no port: write a number from 1 to 65535, or FIRST-LAST"),
            ("0", "\"0\" is no port: write a number from 1 to 65535, or FIRST-LAST"),
            ("0-5:80", "\"0-5\" is no port: write a number from 1 to 65535, or FIRST-LAST"),
            ("+80", "\"+80\" is no port: write a number from 1 to 65535, or FIRST-LAST"),
            ("65536:80", "\"65536\" is no port: write a number from 1 to 65535, or FIRST-LAST"),
            ("80-81-82", "\"80-81-82\" is no port: write a number from 1 to 65535, or FIRST-LAST"),
            (
                "127.0.0.1:80",
                "\"127.0.0.1\" is no port: write a number from 1 to 65535, or FIRST-LAST",
            ),
            ("8080:", "\"\" is no port: write a number from 1 to 65535, or FIRST-LAST"),
            ("82-80", "range 82-80 ends before it begins"),
            (
                "8000-8002:80-81",
                "the host's ports are 3, the service's 2: give as many of both, or one of the service",
            ),
            (
                "8000:80-81",
                "the host's ports are 1, the service's 2: give as many of both, or one of the service",
            ),
            ("::1:8080:80", form),
            ("[::1]:80", form),
            ("[::1]8080:80", form),
            ("[::1", form),
            ("[::1]:1:2:3", form),
            ("host:8080:80", "\"host\" is no IP address"),
            ("[fe80::1%eth0]:8080:80", "\"fe80::1%eth0\" is no IP address"),
            (
                "[fe80::1]:8080:80",
                "fe80::1 is link-local, and does not say of which link: give another",
            ),
            ("80/icmp", "the protocol must be tcp, udp or sctp"),
            ("80/", "the protocol must be tcp, udp or sctp"),
        ] {
            let error = text.parse::<PublishedPort>().expect_err(text).to_string();
            assert_eq!(error, format!("port {text:?}: {why}"));
        }
    }

    #[test]
    fn each_port_of_a_service_is_told_which_of_the_host_it_may_have() {
        for (text, expected) in [
            ("80", vec!["80 any"]),
            ("80-81", vec!["80 any", "81 any"]),
            ("8080:80", vec!["80 8080"]),
            ("8000-8002:80-82", vec!["80 8000", "81 8001", "82 8002"]),
            ("8000-8010:80", vec!["80 8000-8010"]),
        ] {
            let published: PublishedPort = text.parse().expect(text);
            let shown = |(port, of): (NonZeroU16, Option<PortRange>)| {
                format!("{port} {}", of.map_or("any".to_owned(), |of| of.to_string()))
            };
            assert_eq!(published.singles().map(shown).collect::<Vec<_>>(), expected);
        }
    }

    fn port_range(count: u16) -> impl Strategy<Value = PortRange> {
        (1..=u16::MAX - count + 1).prop_map(move |first| {
            let port = |number| NonZeroU16::new(number).expect("from 1 on");
            PortRange::new(port(first), port(first + (count - 1))).expect("in order")
        })
    }

    fn published() -> impl Strategy<Value = PublishedPort> {
        let transport = prop::sample::select(vec![Transport::Tcp, Transport::Udp, Transport::Sctp]);
        let address = any::<IpAddr>().prop_map(|address| address.to_canonical()).prop_filter(
            "link-local",
            |address| match address {
                IpAddr::V4(_) => true,
                IpAddr::V6(v6) => !v6.is_unicast_link_local(),
            },
        );
        let ranges = prop_oneof![
            (1..50_u16).prop_flat_map(|count| (Just(None), port_range(count))),
            (1..50_u16)
                .prop_flat_map(|count| (port_range(count).prop_map(Some), port_range(count))),
            (1..50_u16).prop_flat_map(|count| (port_range(count).prop_map(Some), port_range(1))),
        ];
        (prop::option::of(address), ranges, transport).prop_map(
            |(address, (host_ports, ports), transport)| PublishedPort {
                address,
                host_ports,
                ports,
                transport,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(published in published()) {
            prop_assert_eq!(published.to_string().parse(), Ok(published));
            let json = serde_json::to_string(&published).expect("it has a text");
            prop_assert_eq!(serde_json::from_str::<PublishedPort>(&json).expect("it is read"), published);
            prop_assert_eq!(u32::try_from(published.singles().count()), Ok(published.count()));
        }
    }
}
