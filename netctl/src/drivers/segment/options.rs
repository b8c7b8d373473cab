//! Options that such networks have in common.

use super::super::{
    Error,
    options::{Options, Switch},
};
use crate::model::{Network, NetworkSpec};

/// The smallest MTU that IPv4 allows a link to have (RFC 791), in bytes.
pub(in crate::drivers) const MIN_MTU: u32 = 68;
/// The smallest MTU that IPv6 allows a link to have (RFC 8200, section 5), in bytes.
pub(in crate::drivers) const MIN_MTU6: u32 = 1280;

const MTU: &[&str] = &["mtu", "com.docker.network.driver.mtu"];
const ALLOW_OVERLAP: &[&str] = &["allow-overlap"];
const PORT_SECURITY: &[&str] = &["port-security"];

/// Takes the options, and checks them; returns whether the network's subnets may overlap with those of others.
pub(in crate::drivers) fn take(
    options: &mut Options<'_>,
    spec: &NetworkSpec,
) -> Result<bool, Error> {
    let ipv6 = spec.ipv6 || spec.subnets.iter().any(|subnet| subnet.addr().is_ipv6());
    options.take::<u32>(MTU)?.map_or(Ok(()), |mtu| check_mtu(mtu, ipv6))?;
    let allow_overlap = options.take::<bool>(ALLOW_OVERLAP)?.unwrap_or(false);
    options.take::<Switch>(PORT_SECURITY)?;
    Ok(allow_overlap)
}

/// The MTU that a network asks for, in bytes.
pub(in crate::drivers) fn mtu(network: &Network) -> Option<u32> {
    MTU.iter().find_map(|name| network.options.get(*name)?.parse().ok())
}

/// Whether its endpoints may send from any IP address.
pub(in crate::drivers) fn is_open(network: &Network) -> bool {
    let asked = PORT_SECURITY.iter().find_map(|name| network.options.get(*name)?.parse().ok());
    asked == Some(Switch::Off)
}

fn check_mtu(mtu: u32, ipv6: bool) -> Result<(), Error> {
    let (least, of) = if ipv6 { (MIN_MTU6, "an MTU for IPv6") } else { (MIN_MTU, "an MTU") };
    if (least..=65_535).contains(&mtu) {
        return Ok(());
    }
    Err(Error::Value {
        option: MTU[0].to_owned(),
        value: mtu.to_string(),
        reason: format!("{of} is within {least} and 65535 bytes"),
    })
}
