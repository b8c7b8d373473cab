//! Networks: create, list, inspect, remove.

mod subnets;

use super::{
    Controller, Error, Result, find,
    keys::{self, Stored},
    now,
    retry::{Attempts, Tried},
    services,
};
use crate::{
    drivers::Plan,
    ipam::{self, PoolWish},
    model::{Name, Network, NetworkId, NetworkSpec, NetworkView, SCHEMA, Subnet},
    store::{Guard, Outcome, Txn},
};

/// The driver of a network for which none is given.
pub(super) const DEFAULT_DRIVER: &str = "overlay";

impl Controller {
    /// Creates a network.
    pub async fn create_network(&self, spec: NetworkSpec) -> Result<NetworkView> {
        self.create_network_as(&NetworkId::random(), spec).await
    }

    /// Creates a network under an identifier that the caller has chosen, and so could note before.
    pub(super) async fn create_network_as(
        &self,
        id: &NetworkId,
        spec: NetworkSpec,
    ) -> Result<NetworkView> {
        let driver_name = spec.driver.clone().unwrap_or_else(default_driver);
        let driver = self.drivers.get(&driver_name)?;
        let plan = driver.plan(&self.context, &spec).await?;
        ipam::check_options(&spec.ipam_options)?;
        let wanted = subnets::of(&spec, &plan)?;
        let mut attempts = Attempts::new("create network", &spec.name);
        loop {
            match self.try_create(id, &spec, &driver_name, &plan, &wanted).await? {
                Tried::Done(network) => return Ok(NetworkView { network, services: Vec::new() }),
                Tried::Lost => attempts.again().await?,
            }
        }
    }

    async fn try_create(
        &self,
        id: &NetworkId,
        spec: &NetworkSpec,
        driver: &Name,
        plan: &Plan,
        wanted: &[Subnet],
    ) -> Result<Tried<Network>> {
        let store = &*self.store;
        let name_key = keys::network_name(&spec.name);
        if store.get(&name_key).await?.is_some() {
            return Err(Error::conflict(format!(
                "network {} is there already: choose another name, or remove it first",
                spec.name
            )));
        }
        let mut txn = Txn::new().when(Guard::Absent(name_key.clone())).put(name_key, id.as_str());
        let mut network = Network {
            schema: SCHEMA,
            id: id.clone(),
            name: spec.name.clone(),
            driver: driver.clone(),
            subnets: Vec::new(),
            vni: None,
            gateway_mac: None,
            internal: spec.internal,
            options: spec.options.clone(),
            ipam_options: spec.ipam_options.clone(),
            macs: plan.macs,
            labels: spec.labels.clone(),
            created: now(),
        };
        if plan.addresses {
            let host = self.used_by_hosts().await?;
            let wish = PoolWish {
                id,
                name: &spec.name,
                subnets: wanted.to_vec(),
                dual: spec.ipv6,
                overlap: plan.allow_overlap,
                host: &host,
                defaults: &self.config.default_pools,
            };
            let claim = ipam::pools(store, wish).await?;
            network.subnets = claim.value;
            txn = txn.and(claim.txn);
            for subnet in &network.subnets {
                txn = txn.put(ipam::address_key(id, subnet.gateway), "gateway");
            }
            if let Some(first) = network.subnets.first() {
                let claim = ipam::mac(store, &network, first.gateway, None, "gateway").await?;
                network.gateway_mac = Some(claim.value);
                txn = txn.and(claim.txn);
            }
        }
        if plan.segment {
            let claim = ipam::vni(store, &spec.name, plan.vni).await?;
            network.vni = Some(claim.value);
            txn = txn.and(claim.txn);
        }
        txn = txn.put(keys::network(id), keys::write(&network));
        Ok(match store.commit(txn).await? {
            Outcome::Committed(_) => {
                tracing::info!(network = %network.name, id = id.short(), driver = %network.driver, "network created");
                Tried::Done(network)
            }
            Outcome::Conflict => Tried::Lost,
        })
    }

    /// All networks of the cluster, by name.
    pub async fn networks(&self) -> Result<Vec<NetworkView>> {
        let mut networks: Vec<NetworkView> = keys::list_networks(&*self.store)
            .await?
            .into_iter()
            .map(|stored| NetworkView { network: stored.value, services: Vec::new() })
            .collect();
        networks.sort_by(|a, b| a.network.name.cmp(&b.network.name));
        Ok(networks)
    }

    /// One network by name, id or the beginning of its id, with its services.
    pub async fn network(&self, network: &str) -> Result<NetworkView> {
        let network = find::network(&*self.store, network).await?.value;
        let services = services::of_network(&*self.store, &network).await?;
        Ok(NetworkView { network, services })
    }

    /// Removes a network that has no services.
    pub async fn remove_network(&self, network: &str) -> Result<NetworkView> {
        let mut attempts = Attempts::new("remove network", network);
        loop {
            let stored = find::network(&*self.store, network).await?;
            let services = services::of_network(&*self.store, &stored.value).await?;
            if !services.is_empty() {
                let names: Vec<&str> =
                    services.iter().map(|s| s.endpoint.name.as_str()).take(5).collect();
                return Err(Error::forbidden(format!(
                    "network {} has {} service{} ({}{}): unpublish first",
                    stored.value.name,
                    services.len(),
                    if services.len() == 1 { "" } else { "s" },
                    names.join(", "),
                    if services.len() > names.len() { ", …" } else { "" },
                )));
            }
            match self.store.commit(removal(&stored)).await? {
                Outcome::Committed(_) => {
                    tracing::info!(network = %stored.value.name, id = stored.value.id.short(), "network removed");
                    return Ok(NetworkView { network: stored.value, services });
                }
                Outcome::Conflict => attempts.again().await?,
            }
        }
    }
}

/// Everything that [`Controller::create_network`] put, while no service is there.
fn removal(stored: &Stored<Network>) -> Txn {
    let network = &stored.value;
    let mut txn = Txn::new()
        .when(stored.unchanged())
        .when(Guard::Empty(keys::endpoints(&network.id)))
        .delete(stored.key.clone())
        .delete(keys::network_name(&network.name))
        .and(ipam::release_pools(&network.id, &network.subnets))
        .and(ipam::forget(network));
    for subnet in &network.subnets {
        txn = txn.delete(ipam::address_key(&network.id, subnet.gateway));
    }
    if let Some(mac) = network.gateway_mac {
        txn = txn.delete(ipam::mac_key(&network.id, mac));
    }
    if let Some(vni) = network.vni {
        txn = txn.delete(ipam::vni_key(vni));
    }
    txn
}

pub(super) fn default_driver() -> Name {
    DEFAULT_DRIVER.parse().expect("a constant that is a name")
}
