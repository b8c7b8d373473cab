//! Options that such networks have in common, under our names and Docker's.

use std::net::IpAddr;

use super::super::{Error, options::Options};
use crate::model::{GatewayMode, NetworkSpec, Policy, WayOut};

/// The smallest MTU that IPv4 allows a link to have (RFC 791), in bytes.
pub(in crate::drivers) const MIN_MTU: u32 = 68;
/// The smallest MTU that IPv6 allows a link to have (RFC 8200, section 5), in bytes.
pub(in crate::drivers) const MIN_MTU6: u32 = 1280;

const MTU: &[&str] = &["mtu", "com.docker.network.driver.mtu"];
const ALLOW_OVERLAP: &[&str] = &["allow-overlap"];
const PORT_SECURITY: &[&str] = &["port-security"];
const ICC: &[&str] = &["icc", "com.docker.network.bridge.enable_icc"];
const MASQUERADE: &[&str] = &["masquerade", "com.docker.network.bridge.enable_ip_masquerade"];
const HOST_BINDING: &[&str] = &["host-binding", "com.docker.network.bridge.host_binding_ipv4"];
const GATEWAY_MODE: &[&str] = &["gateway-mode"];
const GATEWAY_MODE4: &[&str] =
    &["gateway-mode-ipv4", "com.docker.network.bridge.gateway_mode_ipv4"];
const GATEWAY_MODE6: &[&str] =
    &["gateway-mode-ipv6", "com.docker.network.bridge.gateway_mode_ipv6"];

/// What the options said.
#[derive(Clone, Copy, Debug)]
pub(in crate::drivers) struct Taken {
    pub(in crate::drivers) policy: Policy,
    /// Whether the network's subnets may overlap with those of others.
    pub(in crate::drivers) allow_overlap: bool,
}

/// Takes the options, and checks them.
pub(in crate::drivers) fn take(
    options: &mut Options<'_>,
    spec: &NetworkSpec,
) -> Result<Taken, Error> {
    let ipv6 = spec.ipv6 || spec.subnets.iter().any(|subnet| subnet.addr().is_ipv6());
    let mtu = options.take::<u32>(MTU)?;
    mtu.map_or(Ok(()), |mtu| check_mtu(mtu, ipv6))?;
    let allow_overlap = options.switch(ALLOW_OVERLAP, false)?;
    let open = !options.switch(PORT_SECURITY, true)?;
    let isolated = !options.switch(ICC, true)?;
    let way_out = take_way_out(options)?;
    Ok(Taken { policy: Policy { mtu, open, isolated, way_out }, allow_overlap })
}

fn take_way_out(options: &mut Options<'_>) -> Result<WayOut, Error> {
    let masquerade = options.switch(MASQUERADE, true)?;
    let both = options.take::<GatewayMode>(GATEWAY_MODE)?.unwrap_or_default();
    let mode4 = options.take(GATEWAY_MODE4)?.unwrap_or(both);
    let mode6 = options.take(GATEWAY_MODE6)?.unwrap_or(both);
    let host_binding =
        options.take::<IpAddr>(HOST_BINDING)?.filter(|address| !address.is_unspecified());
    if let Some(address) = host_binding.filter(IpAddr::is_multicast) {
        return Err(Error::Value {
            option: HOST_BINDING[0].to_owned(),
            value: address.to_string(),
            reason: "no host has a group's address: give one of the host's".to_owned(),
        });
    }
    Ok(WayOut { masquerade, mode4, mode6, host_binding })
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
