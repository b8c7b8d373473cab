//! From what people say of a network's addresses to its subnets.

use std::fmt::Display;

use super::{Error, Result, default_driver};
use crate::{
    drivers::Plan,
    model::{NetworkSpec, RangeSpec, Subnet},
};

/// The most subnets, and the most ranges of hosts: so that all keys of a network fit into one transaction.
const MOST: (usize, usize) = (16, 32);

/// The subnets that are asked for, each with the ranges, the gateway and the auxiliary addresses that lie in it.
pub(super) fn of(spec: &NetworkSpec, plan: &Plan) -> Result<Vec<Subnet>> {
    if !plan.addresses {
        return without(spec).map(|()| Vec::new());
    }
    for (what, given, most) in [
        ("subnets", spec.subnets.len(), MOST.0),
        ("ranges of hosts", spec.ip_ranges.iter().filter(|r| r.host.is_some()).count(), MOST.1),
    ] {
        if given > most {
            let name = &spec.name;
            return Err(unusable(format!(
                "network {name} is to have {given} {what}: it can have {most}"
            )));
        }
    }
    let ranges = |all: bool| {
        let chosen = spec.ip_ranges.iter().filter(move |given| given.host.is_none() == all);
        chosen.cloned().map(Some).collect::<Vec<Option<RangeSpec>>>()
    };
    let (mut ranges, host_ranges) = (ranges(true), ranges(false));
    let mut gateways: Vec<_> = spec.gateways.iter().copied().map(Some).collect();
    let mut subnets = spec
        .subnets
        .iter()
        .map(|cidr| {
            let range = take(&mut ranges, |given: &RangeSpec| cidr.contains(&given.range));
            let gateway = take(&mut gateways, |gateway| cidr.contains(gateway));
            Subnet::new(*cidr, range.map(|given| given.range), gateway).map_err(unusable)
        })
        .collect::<Result<Vec<_>>>()?;
    if let Some(RangeSpec { range, .. }) = ranges.into_iter().flatten().next() {
        return Err(unusable(format!("ip-range {range} lies in no --subnet that has none yet")));
    }
    if let Some(gateway) = gateways.into_iter().flatten().next() {
        return Err(unusable(format!("gateway {gateway} lies in no --subnet that has none yet")));
    }
    for RangeSpec { host, range } in host_ranges.into_iter().flatten() {
        let Some(host) = host else { continue };
        let inside = |subnet: &&mut Subnet| {
            subnet.cidr.contains(&range) && !subnet.host_ranges.contains_key(&host)
        };
        let Some(subnet) = subnets.iter_mut().find(inside) else {
            return Err(unusable(format!(
                "ip-range {host}={range} lies in no --subnet that has none for that host yet"
            )));
        };
        subnet.set_host_range(host, range).map_err(unusable)?;
    }
    for (name, address) in &spec.aux_addresses {
        let Some(subnet) = subnets.iter_mut().find(|subnet| subnet.cidr.contains(address)) else {
            return Err(unusable(format!(
                "auxiliary address {name}={address} lies in no --subnet"
            )));
        };
        subnet.add_aux(name.clone(), *address).map_err(unusable)?;
    }
    Ok(subnets)
}

/// Fails where something is said of addresses that the driver does not give.
fn without(spec: &NetworkSpec) -> Result<()> {
    let given = spec.ipv6
        || !spec.subnets.is_empty()
        || !spec.ip_ranges.is_empty()
        || !spec.gateways.is_empty()
        || !spec.aux_addresses.is_empty()
        || !spec.ipam_options.is_empty();
    if !given {
        return Ok(());
    }
    let driver = spec.driver.clone().unwrap_or_else(default_driver);
    Err(unusable(format!(
        "driver {driver} gives no addresses: leave out --subnet, --ipv6, --ip-range, --gateway, --aux-address and --ipam-opt"
    )))
}

/// Takes the first of what is left that fits.
fn take<T: Clone>(left: &mut [Option<T>], fits: impl Fn(&T) -> bool) -> Option<T> {
    left.iter_mut().find(|given| given.as_ref().is_some_and(&fits)).and_then(Option::take)
}

fn unusable(reason: impl Display) -> Error {
    Error::unusable(reason.to_string())
}
