//! Asking a plugin for what an object is to get.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Noted, given_back};
use crate::{
    controller::{Controller, Error, Result},
    drivers::{Plan, Scope},
    ipam,
    model::{
        DriverName, EndpointId, Lease, LeasedAddress, LeasedPool, Network, NetworkId, NetworkSpec,
        ServiceSpec,
    },
    plugin::{IpamPlugin, PoolRequest, Purpose, RequestedPool},
};

/// How many pools a plugin may offer that the host cannot use.
const OFFERS: usize = 16;

impl Controller {
    /// Has `create` make a network of what its IPAM driver gives; of what the specification says, where that is netctl.
    pub(in crate::controller) async fn with_pools<T>(
        &self,
        id: &NetworkId,
        spec: NetworkSpec,
        plan: &Plan,
        create: impl AsyncFnOnce(NetworkSpec, Option<Lease>) -> Result<T>,
    ) -> Result<T> {
        let Some(driver) = spec.ipam_driver.clone().filter(|driver| !is_own(driver)) else {
            ipam::check_options(&spec.ipam_options)?;
            return create(spec, None).await;
        };
        if !plan.addresses {
            let network = spec.driver.as_ref().map_or_else(String::new, ToString::to_string);
            return Err(Error::unusable(format!(
                "driver {network} gives no addresses: leave out --ipam-driver"
            )));
        }
        let plugin = self.drivers.plugins().ipam(driver.as_str()).await?;
        let _held = self.leases.hold(id.as_str()).await;
        let spaces = plugin.spaces();
        let space = if plan.scope == Scope::Cluster { &spaces.global } else { &spaces.local };
        let lease = Lease::of(driver, space.clone());
        let mut noted = Noted { network: id.clone(), endpoint: None, lease };
        let made = match self.take_pools(&plugin, &mut noted, spec).await {
            Ok(spec) => create(spec, Some(noted.lease)).await,
            Err(error) => Err(error),
        };
        self.settle_lease(id.as_str()).await;
        made
    }

    /// The specification with the subnets and gateways that the plugin gives for it.
    async fn take_pools(
        &self,
        plugin: &IpamPlugin,
        noted: &mut Noted,
        mut spec: NetworkSpec,
    ) -> Result<NetworkSpec> {
        let space = noted.lease.space.clone();
        let mut wanted: Vec<Option<IpNet>> = spec.subnets.iter().copied().map(Some).collect();
        let has = |v6: bool| spec.subnets.iter().any(|subnet| subnet.addr().is_ipv6() == v6);
        let mut families: Vec<bool> = wanted.iter().flatten().map(|s| s.addr().is_ipv6()).collect();
        for v6 in [false, true] {
            if !has(v6) && (spec.ipv6 || !v6 && spec.subnets.is_empty()) {
                wanted.push(None);
                families.push(v6);
            }
        }
        let hosts: Vec<IpNet> =
            self.used_by_hosts().await?.into_iter().map(|(subnet, _)| subnet).collect();
        let mut gateways = Vec::new();
        let mut subnets = Vec::new();
        for (pool, v6) in wanted.into_iter().zip(families) {
            let inside = |address: &&IpAddr| pool.is_some_and(|pool| pool.contains(*address));
            let range = spec
                .ip_ranges
                .iter()
                .filter(|given| given.host.is_none())
                .find(|given| pool.is_some_and(|pool| pool.contains(&given.range)));
            let range = range.map(|given| given.range);
            let request =
                PoolRequest { space: &space, pool, range, options: &spec.ipam_options, v6 };
            let given = self.take_pool(plugin, noted, &request, &hosts).await?;
            let wish = spec.gateways.iter().find(inside).copied();
            let gateway = match given.gateway.filter(|_| wish.is_none()) {
                Some(gateway) => gateway,
                None => self.take_address(plugin, noted, &given, wish, Purpose::Gateway).await?,
            };
            for address in spec.aux_addresses.values().filter(inside) {
                let purpose = Purpose::Endpoint { mac: None };
                self.take_address(plugin, noted, &given, Some(*address), purpose).await?;
            }
            subnets.push(given.subnet);
            gateways.push(gateway);
        }
        spec.subnets = subnets;
        spec.gateways = gateways;
        spec.ipv6 = false;
        Ok(spec)
    }

    /// A pool, which the hosts themselves have no address of where the plugin chose it.
    async fn take_pool(
        &self,
        plugin: &IpamPlugin,
        noted: &mut Noted,
        request: &PoolRequest<'_>,
        hosts: &[IpNet],
    ) -> Result<RequestedPool> {
        let mut useless: Vec<String> = Vec::new();
        loop {
            let given = plugin.request_pool(request).await;
            let (id, subnet) = match &given {
                Ok(pool) => (Some(pool.id.clone()), Some(pool.subnet)),
                Err((id, _)) => (id.clone(), None),
            };
            if let Some(id) = id {
                // One that is unusable has no subnet, and none is asked for.
                let subnet = subnet.or(request.pool).unwrap_or_default();
                noted.lease.pools.push(LeasedPool { id, subnet });
                self.leases.note(noted)?;
            }
            let given = given.map_err(|(_, error)| error)?;
            let overlaps = |host: &&IpNet| {
                host.contains(&given.subnet.addr()) || given.subnet.contains(&host.addr())
            };
            let Some(host) = hosts.iter().find(overlaps).filter(|_| request.pool.is_none()) else {
                // Not before there is another, or they would be offered again.
                for id in useless {
                    given_back(plugin.release_pool(&id).await)?;
                    noted.lease.pools.retain(|pool| pool.id != id);
                }
                self.leases.note(noted)?;
                return Ok(given);
            };
            useless.push(given.id);
            if useless.len() == OFFERS {
                return Err(Error::forbidden(format!(
                    "IPAM driver {} offers {OFFERS} pools that the hosts have addresses of, the last {} beside {host}: \
                     give one with --subnet",
                    noted.lease.driver, given.subnet
                )));
            }
        }
    }

    async fn take_address(
        &self,
        plugin: &IpamPlugin,
        noted: &mut Noted,
        pool: &RequestedPool,
        wanted: Option<IpAddr>,
        purpose: Purpose,
    ) -> Result<IpAddr> {
        let given = plugin.request_address(pool, wanted, purpose).await;
        let address = match &given {
            Ok(address) => Some(*address),
            Err((address, _)) => *address,
        };
        if let Some(address) = address {
            noted.lease.addresses.push(LeasedAddress { pool: pool.id.clone(), address });
            self.leases.note(noted)?;
        }
        Ok(given.map_err(|(_, error)| error)?)
    }

    /// Has `publish` give an endpoint what the network's IPAM driver gives; what is to be chosen, where that is netctl.
    pub(in crate::controller) async fn with_addresses<T>(
        &self,
        id: &EndpointId,
        network: &Network,
        spec: &ServiceSpec,
        publish: impl AsyncFnOnce(&ServiceSpec, Option<Lease>) -> Result<T>,
    ) -> Result<T> {
        let Some(of_network) = &network.lease else { return publish(spec, None).await };
        let plugin = self.drivers.plugins().ipam(of_network.driver.as_str()).await?;
        let _held = self.leases.hold(id.as_str()).await;
        let mut noted = Noted {
            network: network.id.clone(),
            endpoint: Some(id.clone()),
            lease: Lease::of(of_network.driver.clone(), of_network.space.clone()),
        };
        let mut spec = spec.clone();
        let published = match self.take_addresses(&plugin, &mut noted, of_network, &mut spec).await
        {
            Ok(()) => publish(&spec, Some(noted.lease)).await,
            Err(error) => Err(error),
        };
        self.settle_lease(id.as_str()).await;
        published
    }

    async fn take_addresses(
        &self,
        plugin: &IpamPlugin,
        noted: &mut Noted,
        of_network: &Lease,
        spec: &mut ServiceSpec,
    ) -> Result<()> {
        if plugin.capabilities().requires_mac && spec.mac.is_none() {
            spec.mac = Some(ipam::random_mac());
        }
        let purpose = Purpose::Endpoint { mac: spec.mac };
        for v6 in [false, true] {
            let wanted =
                if v6 { spec.address6.map(IpAddr::V6) } else { spec.address.map(IpAddr::V4) };
            // What no pool has is refused as what no network has.
            let Some(pool) = of_network.pool_of(wanted, v6) else { continue };
            let pool = RequestedPool { id: pool.id.clone(), subnet: pool.subnet, gateway: None };
            match self.take_address(plugin, noted, &pool, wanted, purpose).await? {
                IpAddr::V4(address) => spec.address = Some(address),
                IpAddr::V6(address) => spec.address6 = Some(address),
            }
        }
        Ok(())
    }
}

/// Whether the driver is netctl itself, by the name that Docker has for its own.
fn is_own(driver: &DriverName) -> bool {
    driver.as_str() == "default"
}
