//! Events: packets that were dropped, and first packets of flows, in people's words.

use std::{fmt, net::IpAddr, str::FromStr};

use netctl_common::DropReason;
use serde::{Deserialize, Serialize};

use super::{Name, Vni};

/// What a listener is told: one line of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EventView {
    /// A packet was dropped.
    Drop(Box<PacketView>),
    /// The first packet of a flow was forwarded.
    Flow(Box<PacketView>),
    /// Events happened that are not told, of those that the listener wants or of others.
    Lost {
        /// How many.
        events: u64,
        /// Whether it was the listener that was too slow; else there were more than the programs tell.
        slow_listener: bool,
    },
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketView {
    /// When it was seen, in microseconds since the Unix epoch.
    pub at_us: u64,
    /// The program that saw it, as counters have it.
    pub program: String,
    /// The drop reason, or the verdict.
    pub outcome: String,
    /// The same in a sentence.
    pub description: String,
    /// The network, where it is known.
    pub network: Option<Name>,
    /// Its segment.
    pub vni: Option<Vni>,
    /// Who sent it, by what it says.
    pub source: EndView,
    /// Whom it is for, by what it says.
    pub destination: EndView,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, `arp`, and else `ip-` with the protocol's number, or the ether type; empty
    /// where the packet does not say.
    pub protocol: String,
    /// What it is in its protocol, as `syn` or `echo request`; empty where nothing is to be said.
    pub detail: String,
    /// Its length, from the Ethernet header on, as the program saw it; of many segments together.
    pub bytes: u32,
    /// The hosts at the ends of its tunnel, where it was in one.
    pub tunnel: Option<TunnelView>,
    /// The device of this host that it came from.
    pub device: Option<String>,
    /// The service behind that, whatever the packet says.
    pub sender: Option<String>,
    /// The service's sandbox.
    pub sandbox: Option<Name>,
}

/// One end of a packet's way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndView {
    /// The service; `gateway` for the network's own.
    pub service: Option<String>,
    /// The link-layer address, which may be that of a group, or no good.
    pub mac: Option<String>,
    /// The address.
    pub address: Option<IpAddr>,
    /// The port, in protocols that have some.
    pub port: Option<u16>,
}

/// The ends of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelView {
    /// The outer source.
    pub source: IpAddr,
    /// The outer destination.
    pub destination: IpAddr,
}

/// Which events somebody wants; all that is said must be true of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventFilter {
    /// Drops alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drops: bool,
    /// Flows alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flows: bool,
    /// In this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Name>,
    /// From or to this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Name>,
    /// Dropped for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Of this protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// From or to this port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A drop reason by its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(DropReason);

/// Why a text is no [`Reason`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no drop reason {0:?}; `netctl counters --all` lists them")]
pub struct UnknownReason(String);

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let found = DropReason::ALL.iter().find(|reason| reason.as_str() == text);
        found.copied().map(Self).ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

impl TryFrom<String> for Reason {
    type Error = UnknownReason;

    fn try_from(text: String) -> Result<Self, UnknownReason> {
        text.parse()
    }
}

impl From<Reason> for String {
    fn from(Reason(reason): Reason) -> Self {
        reason.as_str().to_owned()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// A protocol, as [`PacketView::protocol`] has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Protocol(String);

/// Why a text is no [`Protocol`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no protocol: write tcp, udp, icmp, icmpv6, sctp, arp, ip-NUMBER, or an ether type such as 0x88cc"
)]
pub struct UnknownProtocol(String);

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        let name = text.to_lowercase();
        let known = ["tcp", "udp", "icmp", "icmpv6", "sctp", "arp"].contains(&name.as_str())
            || name.strip_prefix("ip-").is_some_and(|number| number.parse::<u8>().is_ok())
            || name.strip_prefix("0x").is_some_and(|digits| {
                digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
            });
        if known { Ok(Self(name)) } else { Err(UnknownProtocol(text.to_owned())) }
    }
}

impl TryFrom<String> for Protocol {
    type Error = UnknownProtocol;

    fn try_from(text: String) -> Result<Self, UnknownProtocol> {
        text.parse()
    }
}

impl From<Protocol> for String {
    fn from(Protocol(name): Protocol) -> Self {
        name
    }
}

impl EventFilter {
    /// Whether drops are wanted at all.
    pub fn wants_drops(&self) -> bool {
        self.drops || !self.flows
    }

    /// Whether flows are wanted at all.
    pub fn wants_flows(&self) -> bool {
        (self.flows || !self.drops) && self.reason.is_none()
    }

    /// Whether an event is wanted. What was lost always is.
    pub fn matches(&self, event: &EventView) -> bool {
        let (packet, of_kind) = match event {
            EventView::Drop(packet) => (packet, self.wants_drops()),
            EventView::Flow(packet) => (packet, self.wants_flows()),
            EventView::Lost { .. } => return true,
        };
        let Self { drops: _, flows: _, network, service, reason, protocol, port } = self;
        let ends = [&packet.source, &packet.destination];
        let named = |service: &Name| {
            let is = |name: &Option<String>| name.as_deref() == Some(service.as_str());
            is(&packet.sender) || ends.iter().any(|end| is(&end.service))
        };
        of_kind
            && network.as_ref().is_none_or(|network| packet.network.as_ref() == Some(network))
            && service.as_ref().is_none_or(named)
            && reason.is_none_or(|Reason(reason)| packet.outcome == reason.as_str())
            && protocol.as_ref().is_none_or(|Protocol(protocol)| packet.protocol == *protocol)
            && port.is_none_or(|port| ends.iter().any(|end| end.port == Some(port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> PacketView {
        let end = |service: &str, port| EndView {
            service: Some(service.to_owned()),
            port: Some(port),
            ..EndView::default()
        };
        PacketView {
            at_us: 0,
            program: "from-container".to_owned(),
            outcome: "source-mac".to_owned(),
            description: String::new(),
            network: "dev".parse().ok(),
            vni: Vni::new(7),
            source: end("a", 5000),
            destination: end("b", 80),
            protocol: "tcp".to_owned(),
            detail: String::new(),
            bytes: 60,
            tunnel: None,
            device: None,
            sender: Some("c".to_owned()),
            sandbox: None,
        }
    }

    #[test]
    fn all_that_is_said_must_be_true() {
        let drop = EventView::Drop(Box::new(packet()));
        let flow = EventView::Flow(Box::new(packet()));
        let lost = EventView::Lost { events: 3, slow_listener: false };
        let filter = |query: &str| -> EventFilter {
            let json: serde_json::Value = serde_json::from_str(query).expect("JSON");
            serde_json::from_value(json).expect("a filter")
        };
        for (query, drops, flows) in [
            ("{}", true, true),
            (r#"{"drops": true}"#, true, false),
            (r#"{"flows": true}"#, false, true),
            (r#"{"drops": true, "flows": true}"#, true, true),
            (r#"{"network": "dev"}"#, true, true),
            (r#"{"network": "other"}"#, false, false),
            (r#"{"service": "a"}"#, true, true),
            (r#"{"service": "b", "port": 5000}"#, true, true),
            (r#"{"service": "c"}"#, true, true),
            (r#"{"service": "d"}"#, false, false),
            (r#"{"reason": "source-mac"}"#, true, false),
            (r#"{"reason": "source-address"}"#, false, false),
            (r#"{"protocol": "tcp", "port": 80}"#, true, true),
            (r#"{"protocol": "udp"}"#, false, false),
            (r#"{"port": 81}"#, false, false),
        ] {
            let filter = filter(query);
            assert_eq!(filter.matches(&drop), drops, "{query}");
            assert_eq!(filter.matches(&flow), flows, "{query}");
            assert!(filter.matches(&lost), "{query}");
        }
    }

    #[test]
    fn a_reason_is_one_that_there_is() {
        let error = "nonsense".parse::<Reason>().expect_err("none").to_string();
        assert_eq!(
            error,
            "there is no drop reason \"nonsense\"; `netctl counters --all` lists them"
        );
    }

    #[test]
    fn a_protocol_is_called_as_it_is_shown() {
        for text in ["tcp", "UDP", "icmp", "icmpv6", "sctp", "arp", "ip-47", "0x88CC"] {
            let protocol: Protocol = text.parse().expect(text);
            assert_eq!(String::from(protocol), text.to_lowercase());
        }
        for text in ["", "icmp6", "ip-", "ip-300", "47", "0x88c", "0x+8cc", "0x88ccc"] {
            let error = text.parse::<Protocol>().expect_err(text).to_string();
            assert!(error.ends_with("or an ether type such as 0x88cc"), "{error}");
        }
    }

    #[test]
    fn an_event_is_one_object_of_json() {
        let event = EventView::Drop(Box::new(packet()));
        let json = serde_json::to_value(&event).expect("JSON");
        assert_eq!(json["kind"], "drop");
        assert_eq!(json["source"]["service"], "a");
        assert_eq!(serde_json::from_value::<EventView>(json).expect("an event"), event);
        let lost = EventView::Lost { events: 3, slow_listener: true };
        let json = serde_json::to_string(&lost).expect("JSON");
        assert_eq!(json, r#"{"kind":"lost","events":3,"slow_listener":true}"#);
    }
}
