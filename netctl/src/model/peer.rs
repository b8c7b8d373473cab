//! Hosts that share no store.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What a host that shares no store with this one has of a network, as both were told: `10.1.2.0/24@192.0.2.2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Peer {
    /// The addresses that it gives to its endpoints.
    pub range: IpNet,
    /// Its tunnel address.
    pub vtep: IpAddr,
}

/// A text that is no peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no peer: write RANGE@VTEP, as in 10.1.2.0/24@192.0.2.2")]
pub struct PeerError {
    text: String,
}

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let parts = text.split_once('@');
        let peer = parts.and_then(|(range, vtep)| {
            let range =
                range.trim().parse().ok().filter(|range: &IpNet| range.trunc() == *range)?;
            Some(Self { range, vtep: vtep.trim().parse().ok()? })
        });
        peer.ok_or_else(|| PeerError { text: text.to_owned() })
    }
}

impl TryFrom<String> for Peer {
    type Error = PeerError;

    fn try_from(text: String) -> Result<Self, PeerError> {
        text.parse()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.range, self.vtep)
    }
}

impl From<Peer> for String {
    fn from(peer: Peer) -> Self {
        peer.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_range_and_a_tunnel_address() {
        for text in ["10.1.2.0/24@192.0.2.2", "fd00::100/120@2001:db8::2", "fd00::/120@192.0.2.2"] {
            assert_eq!(text.parse::<Peer>().expect(text).to_string(), text);
        }
        for text in ["", "10.1.2.0/24", "@192.0.2.2", "10.1.2.1/24@192.0.2.2", "10.1.2.0/24@h2"] {
            let said = text.parse::<Peer>().expect_err(text).to_string();
            let expected =
                format!("{text:?} is no peer: write RANGE@VTEP, as in 10.1.2.0/24@192.0.2.2");
            assert_eq!(said, expected);
        }
    }
}
