//! The addresses that a host takes tunnels on.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

/// A host's addresses on the underlay, at most one of each family and at least one; in JSON a list, IPv4 first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<IpAddr>", into = "Vec<IpAddr>")]
pub struct Vteps {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

/// A list that is not of one address or two of different families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host has one tunnel address, or one of each family")]
pub struct VtepsError;

impl Vteps {
    /// `None` where there is neither.
    pub fn new(v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> Option<Self> {
        (v4.is_some() || v6.is_some()).then_some(Self { v4, v6 })
    }

    /// The one of IPv4.
    pub fn v4(&self) -> Option<Ipv4Addr> {
        self.v4
    }

    /// The one of IPv6.
    pub fn v6(&self) -> Option<Ipv6Addr> {
        self.v6
    }

    /// All of them, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }

    /// Which of another host's addresses a host with these sends to: that of the first family that both have, so that
    /// both choose alike. `None` where they have none in common.
    pub fn towards(&self, other: &Self) -> Option<IpAddr> {
        let v4 = || self.v4.and(other.v4).map(IpAddr::V4);
        let v6 = || self.v6.and(other.v6).map(IpAddr::V6);
        v4().or_else(v6)
    }
}

impl TryFrom<Vec<IpAddr>> for Vteps {
    type Error = VtepsError;

    fn try_from(addresses: Vec<IpAddr>) -> Result<Self, VtepsError> {
        let (mut v4, mut v6) = (None, None);
        for address in addresses {
            let doubled = match address {
                IpAddr::V4(address) => v4.replace(address).is_some(),
                IpAddr::V6(address) => v6.replace(address).is_some(),
            };
            if doubled {
                return Err(VtepsError);
            }
        }
        Self::new(v4, v6).ok_or(VtepsError)
    }
}

impl From<Vteps> for Vec<IpAddr> {
    fn from(vteps: Vteps) -> Self {
        vteps.iter().collect()
    }
}

impl From<IpAddr> for Vteps {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self { v4: Some(address), v6: None },
            IpAddr::V6(address) => Self { v4: None, v6: Some(address) },
        }
    }
}

impl fmt::Display for Vteps {
    /// Separated by a comma.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.iter().map(|address| address.to_string()).collect();
        f.pad(&all.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vteps(json: &str) -> Vteps {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn both_ends_choose_the_same_family() {
        let four = vteps(r#"["192.0.2.1"]"#);
        let six = vteps(r#"["2001:db8::2"]"#);
        let both = vteps(r#"["2001:db8::3", "192.0.2.3"]"#);
        for (one, other, chosen) in [
            (four, both, Some("192.0.2.3")),
            (both, four, Some("192.0.2.1")),
            (six, both, Some("2001:db8::3")),
            (both, six, Some("2001:db8::2")),
            (both, both, Some("192.0.2.3")),
            (four, six, None),
            (six, four, None),
        ] {
            let address = one.towards(&other).map(|address| address.to_string());
            assert_eq!(address.as_deref(), chosen, "{one} towards {other}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for json in ["[]", r#"["192.0.2.1", "192.0.2.2"]"#, r#"["2001:db8::1", "2001:db8::2"]"#] {
            assert!(serde_json::from_str::<Vteps>(json).is_err(), "{json}");
        }
        let both = vteps(r#"["2001:db8::3", "192.0.2.3"]"#);
        assert_eq!(both.to_string(), "192.0.2.3,2001:db8::3");
        assert_eq!(serde_json::to_string(&both).expect("text"), r#"["192.0.2.3","2001:db8::3"]"#);
    }
}
