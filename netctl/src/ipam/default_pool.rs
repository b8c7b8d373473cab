//! Where subnets come from that nobody asked for.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::model::{NetworkId, Subnet};

/// How many subnets of IPv6 are looked at one after another, where those that an identifier spells are taken.
const IN_ORDER: usize = 1 << 16;

/// A part of the address space, and the prefix length of the subnets that it is cut into: `10.0.0.0/8,24`, or as Docker
/// writes it, `base=10.0.0.0/8,size=24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DefaultPool {
    base: IpNet,
    size: u8,
}

/// A text that is no default pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefaultPoolError {
    /// Neither form.
    #[error("default pool {text:?} is none: write BASE,SIZE, as in 10.0.0.0/8,24")]
    Form {
        /// The text.
        text: String,
    },
    /// There are no such subnets in the base.
    #[error("default pool {base},{size}: the size of subnets is within {base_len} and {most}", base_len = .base.prefix_len())]
    Size {
        /// The base.
        base: IpNet,
        /// The prefix length of the subnets.
        size: u8,
        /// The longest prefix that leaves room for a gateway and an endpoint.
        most: u8,
    },
    /// Nobody can have subnets of it.
    #[error("default pool {text}: {reason}")]
    Base {
        /// The text.
        text: String,
        /// Why not.
        reason: String,
    },
}

impl DefaultPool {
    /// What is used where the daemon is given none: of IPv4 pieces of 10.0.0.0/8, of IPv6 locally assigned unique local
    /// addresses (RFC 4193, section 3.2), with the prefix that a link has (RFC 4291, section 2.5.4).
    pub fn defaults() -> Vec<Self> {
        ["10.0.0.0/8,24", "fd00::/8,64"]
            .map(|text| text.parse().expect("a constant that is a default pool"))
            .to_vec()
    }

    fn is_v6(&self) -> bool {
        self.base.addr().is_ipv6()
    }

    /// Its subnets in the order in which a network is to have them. Those of IPv6 begin with the ones that bytes of the
    /// network's own identifier spell: which it is follows from the identifier, and meeting another by chance, also one
    /// of a cluster that this one knows nothing of, is as unlikely as RFC 4193 wants it.
    fn subnets(self, id: &NetworkId) -> Box<dyn Iterator<Item = IpNet>> {
        match self.base {
            IpNet::V4(base) => {
                Box::new(base.subnets(self.size).into_iter().flatten().map(IpNet::V4))
            }
            IpNet::V6(base) => {
                let spelt = move |bytes: &[u8]| {
                    let random =
                        bytes.iter().fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
                    let behind = random.checked_shr(base.prefix_len().into()).unwrap_or(0);
                    let address = Ipv6Addr::from(u128::from(base.addr()) | behind);
                    IpNet::V6(Ipv6Net::new_assert(address, self.size).trunc())
                };
                let spelt: Vec<IpNet> = id.to_bytes().windows(16).map(spelt).collect();
                let in_order = base.subnets(self.size).into_iter().flatten().map(IpNet::V6);
                Box::new(spelt.into_iter().chain(in_order.take(IN_ORDER)))
            }
        }
    }
}

/// The first subnet of a family in `pools` that is `free`.
pub(super) fn choose(
    pools: &[DefaultPool],
    v6: bool,
    id: &NetworkId,
    free: impl Fn(&IpNet) -> bool,
) -> Result<Subnet, Error> {
    let of_family: Vec<&DefaultPool> = pools.iter().filter(|pool| pool.is_v6() == v6).collect();
    if of_family.is_empty() {
        return Err(Error::NoPoolOf { family: if v6 { "IPv6" } else { "IPv4" } });
    }
    let found = of_family.iter().flat_map(|pool| pool.subnets(id)).find(|cidr| free(cidr));
    found.and_then(|cidr| Subnet::new(cidr, None, None).ok()).ok_or_else(|| Error::NoPool {
        pools: of_family.iter().map(|pool| pool.base.to_string()).collect::<Vec<_>>().join(", "),
    })
}

impl FromStr for DefaultPool {
    type Err = DefaultPoolError;

    fn from_str(text: &str) -> Result<Self, DefaultPoolError> {
        let form = || DefaultPoolError::Form { text: text.to_owned() };
        let (base, size) = text.split_once(',').ok_or_else(form)?;
        let (base, size) = match (base.strip_prefix("base="), size.strip_prefix("size=")) {
            (Some(base), Some(size)) => (base, size),
            _ => (base, size),
        };
        let base: IpNet = base.trim().parse().map_err(|_error| form())?;
        let size: u8 = size.trim().parse().map_err(|_error| form())?;
        let most = base.max_prefix_len() - 2;
        if !(base.prefix_len()..=most).contains(&size) {
            return Err(DefaultPoolError::Size { base, size, most });
        }
        // What holds for a subnet as large as the base holds for all in it.
        Subnet::new(base, None, None).map_err(|error| DefaultPoolError::Base {
            text: text.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self { base, size })
    }
}

impl TryFrom<String> for DefaultPool {
    type Error = DefaultPoolError;

    fn try_from(text: String) -> Result<Self, DefaultPoolError> {
        text.parse()
    }
}

impl fmt::Display for DefaultPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.base, self.size)
    }
}

impl From<DefaultPool> for String {
    fn from(pool: DefaultPool) -> Self {
        pool.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(pools: &[&str], v6: bool, taken: &[&str]) -> Result<String, String> {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).expect("few"));
        let pools: Vec<DefaultPool> =
            pools.iter().map(|text| text.parse().expect("a pool")).collect();
        let taken: Vec<IpNet> = taken.iter().map(|text| text.parse().expect("a subnet")).collect();
        let free = |cidr: &IpNet| !taken.iter().any(|t| t.contains(cidr) || cidr.contains(t));
        choose(&pools, v6, &NetworkId::from_bytes(bytes), free)
            .map(|subnet| subnet.cidr.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_free_piece_of_the_first_pool_is_chosen() {
        let pools = ["172.30.0.0/30,30", "172.31.0.0/16,24", "fd00::/8,64"];
        assert_eq!(chosen(&pools, false, &[]).as_deref(), Ok("172.30.0.0/30"));
        let next = chosen(&pools, false, &["172.30.0.0/16", "172.31.0.7/32"]);
        assert_eq!(next.as_deref(), Ok("172.31.1.0/24"));
        let none = "no subnet is left in the default pool 172.30.0.0/30, 172.31.0.0/16: give one with --subnet";
        assert_eq!(chosen(&pools, false, &["172.16.0.0/12"]), Err(none.to_owned()));
        let family = "there is no default pool of IPv6: give a subnet with --subnet, or the daemon a --default-pool";
        assert_eq!(chosen(&pools[..2], true, &[]), Err(family.to_owned()));
    }

    #[test]
    fn the_identifier_spells_a_unique_local_subnet() {
        let of = |pool: &str, taken: &[&str]| chosen(&[pool], true, taken);
        let first = "fd00:102:304:506::/64";
        assert_eq!(of("fd00::/8,64", &["10.0.0.0/8"]).as_deref(), Ok(first));
        assert_eq!(of("fd00::/8,64", &[first]).as_deref(), Ok("fd01:203:405:607::/64"));
        let full = "no subnet is left in the default pool fd00::/8: give one with --subnet";
        assert_eq!(of("fd00::/8,64", &["fd00::/8"]), Err(full.to_owned()));
        assert_eq!(of("2001:db8::/32,48", &[]).as_deref(), Ok("2001:db8:1::/48"));
        // Of two, both spelt ways may be taken while one is free.
        assert_eq!(of("fd00::/63,64", &["fd00::/64"]).as_deref(), Ok("fd00:0:0:1::/64"));
    }

    #[test]
    fn what_is_no_pool_says_why() {
        for text in ["10.0.0.0/8,24", "base=10.0.0.0/8,size=24", "10.0.0.0/8, 24"] {
            assert_eq!(text.parse::<DefaultPool>().expect("one").to_string(), "10.0.0.0/8,24");
        }
        let form = |text: &str| {
            format!("default pool {text:?} is none: write BASE,SIZE, as in 10.0.0.0/8,24")
        };
        for (text, message) in [
            ("", form("")),
            ("10.0.0.0/8", form("10.0.0.0/8")),
            ("10.0.0.0,24", form("10.0.0.0,24")),
            ("10.0.0.0/8,x", form("10.0.0.0/8,x")),
            ("size=24,base=10.0.0.0/8", form("size=24,base=10.0.0.0/8")),
            (
                "10.0.0.0/8,7",
                "default pool 10.0.0.0/8,7: the size of subnets is within 8 and 30".to_owned(),
            ),
            (
                "fd00::/64,127",
                "default pool fd00::/64,127: the size of subnets is within 64 and 126".to_owned(),
            ),
            (
                "10.0.0.1/8,24",
                "default pool 10.0.0.1/8,24: subnet 10.0.0.1/8 has host bits set; did you mean 10.0.0.0/8?"
                    .to_owned(),
            ),
            (
                "224.0.0.0/8,24",
                "default pool 224.0.0.0/8,24: subnet 224.0.0.0/8 is not of unicast addresses"
                    .to_owned(),
            ),
        ] {
            let error = text.parse::<DefaultPool>().expect_err(text).to_string();
            assert_eq!(error, message);
        }
    }
}
