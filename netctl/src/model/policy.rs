//! What a network lets its endpoints do, as its driver reads it from the options.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a network lets its endpoints do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The MTU of its interfaces that was asked for, in bytes; what fits where none was.
    pub mtu: Option<u32>,
    /// Its endpoints may send from any IP address.
    pub open: bool,
    /// Its endpoints reach the host and what is behind it, and not each other.
    pub isolated: bool,
    /// Where they reach what is outside, and are reached from there; it means nothing where the network is internal.
    pub way_out: WayOut,
}

/// How a network's endpoints reach what is outside of it, and are reached from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayOut {
    /// Whether what leaves for the outside gets an address of the host as its source, in [`GatewayMode::Nat`].
    pub masquerade: bool,
    /// How it is with IPv4.
    pub mode4: GatewayMode,
    /// How it is with IPv6.
    pub mode6: GatewayMode,
    /// The address of the host that ports are published on where the publisher names none; all of them where this is
    /// `None`, and of one family alone otherwise.
    pub host_binding: Option<IpAddr>,
}

impl Default for WayOut {
    fn default() -> Self {
        Self {
            masquerade: true,
            mode4: GatewayMode::default(),
            mode6: GatewayMode::default(),
            host_binding: None,
        }
    }
}

impl WayOut {
    /// How it is with the family of IPv6, or else with that of IPv4.
    pub fn mode(&self, v6: bool) -> GatewayMode {
        if v6 { self.mode6 } else { self.mode4 }
    }

    /// Whether sources are translated in the family of IPv6, or else in that of IPv4.
    pub fn masquerades(&self, v6: bool) -> bool {
        self.masquerade && self.mode(v6) == GatewayMode::Nat
    }
}

/// Whether the outside knows a network's addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GatewayMode {
    /// It does not: endpoints are reached by the host's addresses alone, at the ports that are published.
    #[default]
    Nat,
    /// It has routes to them: nothing is translated, and endpoints are reached by their own addresses at the ports that
    /// are published.
    Routed,
}

impl FromStr for GatewayMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "nat" => Ok(Self::Nat),
            "routed" => Ok(Self::Routed),
            _ => Err("it is nat or routed"),
        }
    }
}

impl fmt::Display for GatewayMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nat => "nat",
            Self::Routed => "routed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_translated_where_the_outside_does_not_know_them() {
        let out = WayOut { mode6: GatewayMode::Routed, ..WayOut::default() };
        assert!(out.masquerades(false) && !out.masquerades(true));
        assert!(!WayOut { masquerade: false, ..out }.masquerades(false));
    }
}
