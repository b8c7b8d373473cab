//! What an endpoint is given when it is published, and what becomes of it when it goes: the place where it is decided
//! where a network's addresses come from.

use std::{borrow::Cow, net::IpAddr};

use ipnet::IpNet;

use super::{Controller, Error, Result, holdings, keys, keys::Stored};
use crate::{
    ipam::{self, AddressWish, Claim},
    model::{Endpoint, EndpointId, Host, MacAddr, Network, ServiceSpec, Subnet},
    store::{Store, Txn},
};

/// What an endpoint is given.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Its addresses, IPv4 first.
    pub(super) addresses: Vec<IpNet>,
    /// Its link-layer address.
    pub(super) mac: Option<MacAddr>,
}

impl Controller {
    /// Claims what an endpoint is to be given: nothing where the network gives no addresses. `attempt` counts the tries
    /// that were lost. One `for_engine` has the addresses that its engine was given for it, and no others.
    pub(super) async fn claim_addresses(
        &self,
        network: &Network,
        spec: &ServiceSpec,
        id: &EndpointId,
        attempt: u32,
        for_engine: bool,
    ) -> Result<Claim<Given>> {
        let wanted: Vec<IpAddr> =
            spec.address.map(IpAddr::V4).into_iter().chain(spec.address6.map(IpAddr::V6)).collect();
        if network.subnets.is_empty() {
            if !wanted.is_empty() || spec.mac.is_some() || spec.bridging {
                return Err(Error::unusable(format!(
                    "network {} gives no addresses: leave out --ip, --ip6, --mac and --bridging",
                    network.name
                )));
            }
            return Ok(Claim::default());
        }
        self.check_own_part(network, &wanted)?;
        let mut of = Cow::Borrowed(network);
        if for_engine {
            let has = |subnet: &Subnet| wanted.iter().any(|address| subnet.cidr.contains(address));
            of.to_mut().subnets.retain(has);
        }
        let wish = AddressWish {
            network: &of,
            host: &self.config.host,
            name: Some(&spec.service.service),
            wanted: &wanted,
            held: for_engine,
            owner: id.as_str(),
            attempt,
        };
        let addresses = self.allocator.addresses(&*self.store, wish).await?;
        let Some(first) = addresses.value.first().map(IpNet::addr) else {
            return Ok(Claim::default());
        };
        if spec.mac.is_none() && self.drivers.get(&network.driver).chooses_macs() {
            let given = |addresses, ()| Given { addresses, mac: None };
            return Ok(addresses.with(Claim::default(), given));
        }
        let mac = ipam::mac(&*self.store, network, first, spec.mac, id.as_str()).await?;
        Ok(addresses.with(mac, |addresses, mac| Given { addresses, mac: Some(mac) }))
    }

    /// Where hosts share no store, nothing but its range says on which of them an address is.
    fn check_own_part(&self, network: &Network, wanted: &[IpAddr]) -> Result<()> {
        if network.peers.is_empty() {
            return Ok(());
        }
        for subnet in &network.subnets {
            let own = subnet.range_of(&self.config.host);
            let other =
                |address: &&IpAddr| subnet.cidr.contains(*address) && !own.contains(*address);
            if let Some(address) = wanted.iter().find(other) {
                return Err(Error::unusable(format!(
                    "address {address} is not in {own}, this host's part of network {}, whose hosts share no store: \
                     choose one of those",
                    network.name
                )));
            }
        }
        Ok(())
    }

    /// Checks that an endpoint may be a station behind `vtep`, where it is to be one.
    pub(super) async fn check_station(&self, network: &Network, spec: &ServiceSpec) -> Result<()> {
        let Some(vtep) = spec.vtep else { return Ok(()) };
        let service = &spec.service.service;
        if !self.drivers.get(&network.driver).has_stations() {
            return Err(Error::unusable(format!(
                "network {} is of driver {}, which has no stations outside: leave out --vtep",
                network.name, network.driver
            )));
        }
        if spec.bridging {
            return Err(Error::unusable(format!(
                "service {service} is to be a station at {vtep}, which has no sandbox: leave out --bridging"
            )));
        }
        let unicast = match vtep {
            IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_multicast() && v4.octets()[0] != 0,
            IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unicast_link_local(),
        };
        if !unicast || vtep.is_loopback() || vtep.is_unspecified() {
            return Err(Error::unusable(format!(
                "tunnel address {vtep} of service {service} is not one that a host can have"
            )));
        }
        let hosts = keys::list::<Host>(&*self.store, keys::HOSTS).await?;
        if let Some(host) = hosts.iter().find(|host| host.value.vteps.iter().any(|own| own == vtep))
        {
            return Err(Error::conflict(format!(
                "tunnel address {vtep} is that of host {}: attach the service to a sandbox there",
                host.value.name
            )));
        }
        Ok(())
    }
}

/// Everything that publishing and attaching put, given back.
pub(super) async fn removal(store: &dyn Store, stored: &Stored<Endpoint>) -> Result<Txn> {
    let endpoint = &stored.value;
    Ok(Txn::new()
        .when(stored.unchanged())
        .delete(stored.key.clone())
        .and(holdings::released(holdings::of_endpoint(endpoint)))
        .and(ipam::remember(store, &endpoint.network, &endpoint.name, &endpoint.addresses).await?))
}
