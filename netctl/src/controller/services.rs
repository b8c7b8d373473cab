//! Services: publish, list, inspect, unpublish.

use std::collections::BTreeMap;

use super::{
    Controller, Error, Result,
    addresses::removal,
    find,
    keys::{self, Stored},
    now,
    retry::{Attempts, Tried},
};
use crate::{
    model::{
        Endpoint, EndpointId, Lease, Name, Network, NetworkId, ServiceRef, ServiceSpec, ServiceView,
    },
    store::{Guard, Outcome, Store, Txn},
};

impl Controller {
    /// Publishes a service.
    pub async fn publish(&self, spec: ServiceSpec) -> Result<ServiceView> {
        let network = self.network_to_publish_on(&spec).await?;
        self.publish_as(EndpointId::random(), &network, &spec, None).await
    }

    pub(super) async fn network_to_publish_on(&self, spec: &ServiceSpec) -> Result<Network> {
        find::without_driver(&spec.service)?;
        let Some(network) = spec.service.network.clone() else {
            return Err(Error::unusable(format!(
                "service {} names no network: write {}.NETWORK",
                spec.service, spec.service
            )));
        };
        let network = find::network(&*self.store, &self.config.host, network.as_str()).await?;
        self.check_here(&network.value, "publish")?;
        Ok(network.value)
    }

    /// Publishes a service under an identifier that the caller has chosen, and so could note before. For a container engine
    /// there is what is put with it.
    pub(super) async fn publish_as(
        &self,
        id: EndpointId,
        network: &Network,
        spec: &ServiceSpec,
        for_engine: Option<&Txn>,
    ) -> Result<ServiceView> {
        self.with_addresses(&id, network, spec, async |spec, lease| {
            let mut attempts = Attempts::new("publish", &spec.service);
            loop {
                let found = keys::get::<Network>(&*self.store, &keys::network(&network.id)).await?;
                let network = found.ok_or_else(|| find::no_network(network.name.as_str()))?;
                let lease = lease.clone();
                let lost = attempts.lost();
                match self.try_publish(&id, spec, &network, lease, lost, for_engine).await? {
                    Tried::Done(endpoint) => return Ok(view(endpoint, &network.value)),
                    Tried::Lost => attempts.again().await?,
                }
            }
        })
        .await
    }

    async fn try_publish(
        &self,
        id: &EndpointId,
        spec: &ServiceSpec,
        stored: &Stored<Network>,
        lease: Option<Lease>,
        attempt: u32,
        for_engine: Option<&Txn>,
    ) -> Result<Tried<Endpoint>> {
        let store = &*self.store;
        let network = &stored.value;
        let name = &spec.service.service;
        let name_key = keys::endpoint_name(&network.id, name);
        if store.get(&name_key).await?.is_some() {
            return Err(Error::conflict(format!(
                "service {name} is published on network {} already: choose another name, or unpublish it first",
                network.name
            )));
        }
        self.check_station(network, spec).await?;
        let claim = self.claim_addresses(network, spec, id, attempt, for_engine.is_some()).await?;
        self.check_ports(network, spec, &claim.value.addresses)?;
        let endpoint = Endpoint {
            aliases: spec.aliases.clone(),
            exposed: spec.exposed.clone(),
            ports: spec.ports.clone(),
            mac: claim.value.mac,
            addresses: claim.value.addresses.clone(),
            bridging: spec.bridging,
            vtep: spec.vtep,
            lease,
            container: spec.container.clone(),
            ..Endpoint::new(id.clone(), network.id.clone(), name.clone(), now())
        };
        // The network's guard makes removing it and publishing on it exclude each other.
        let txn = Txn::new()
            .when(stored.unchanged())
            .when(Guard::Absent(name_key.clone()))
            .put(name_key, id.as_str())
            .and(claim.txn.clone())
            .and(for_engine.cloned().unwrap_or_default())
            .put(keys::endpoint(&network.id, id), keys::write(&endpoint));
        Ok(match store.commit(txn).await? {
            Outcome::Committed(_) => {
                tracing::info!(service = %name, network = %network.name, id = id.short(), "service published");
                Tried::Done(endpoint)
            }
            Outcome::Conflict => Tried::Lost,
        })
    }

    /// Removes a service; one that is attached only if `force`.
    pub async fn unpublish(&self, service: &ServiceRef, force: bool) -> Result<ServiceView> {
        let mut attempts = Attempts::new("unpublish", service);
        loop {
            let (network, stored) = find::service(&*self.store, &self.config.host, service).await?;
            self.check_here_or_gone(&network.value, "unpublish").await?;
            if let Some(owner) = &stored.value.owner
                && !force
            {
                return Err(Error::forbidden(format!(
                    "service {}.{} is attached to sandbox {} on host {}: detach it first, or use --force",
                    stored.value.name,
                    network.value.name,
                    owner.sandbox.short(),
                    owner.host
                )));
            }
            let noted = self.note_endpoint_lease(&stored.value).await?;
            match self.store.commit(removal(&*self.store, &stored).await?).await? {
                Outcome::Committed(revision) => {
                    self.settle_lease(stored.value.id.as_str()).await;
                    tracing::info!(
                        service = %stored.value.name, network = %network.value.name, id = stored.value.id.short(), force,
                        "service unpublished"
                    );
                    self.settle_removal(&stored.value, revision).await?;
                    return Ok(view(stored.value, &network.value));
                }
                Outcome::Conflict => {
                    if noted.is_some() {
                        self.leases.forget(stored.value.id.as_str())?;
                    }
                    attempts.again().await?;
                }
            }
        }
    }

    /// All services of the cluster and of this host's networks, or of one network, by network and name.
    pub async fn services(&self, network: Option<&str>) -> Result<Vec<ServiceView>> {
        let store = &*self.store;
        if let Some(network) = network {
            let network = find::network(store, &self.config.host, network).await?;
            return of_network(store, &network.value).await;
        }
        // Endpoints first: a network outlives its endpoints, so none is without one.
        let endpoints = keys::list::<Endpoint>(store, keys::ENDPOINTS).await?;
        let names: BTreeMap<NetworkId, Name> = find::visible_networks(store, &self.config.host)
            .await?
            .into_iter()
            .map(|stored| (stored.value.id, stored.value.name))
            .collect();
        let mut services: Vec<ServiceView> = endpoints
            .into_iter()
            .filter_map(|stored| {
                let network_name = names.get(&stored.value.network)?.clone();
                Some(ServiceView {
                    endpoint: stored.value,
                    network_name,
                    plugin_info: BTreeMap::new(),
                })
            })
            .collect();
        services.sort_by(|a, b| {
            (&a.network_name, &a.endpoint.name).cmp(&(&b.network_name, &b.endpoint.name))
        });
        Ok(services)
    }

    /// One service, with what its driver says of it here.
    pub async fn service(&self, service: &ServiceRef) -> Result<ServiceView> {
        let (network, stored) = find::service(&*self.store, &self.config.host, service).await?;
        let endpoint = stored.value;
        let is_here = endpoint.owner.as_ref().is_some_and(|owner| owner.host == self.config.host);
        let plugin_info = if is_here {
            self.drivers.get(&network.value.driver).info(&endpoint.id).await
        } else {
            BTreeMap::new()
        };
        Ok(ServiceView { plugin_info, ..view(endpoint, &network.value) })
    }
}

pub(super) async fn of_network(store: &dyn Store, network: &Network) -> Result<Vec<ServiceView>> {
    let mut services: Vec<ServiceView> = keys::list_endpoints(store, &network.id)
        .await?
        .into_iter()
        .map(|stored| view(stored.value, network))
        .collect();
    services.sort_by(|a, b| a.endpoint.name.cmp(&b.endpoint.name));
    Ok(services)
}

pub(super) fn view(endpoint: Endpoint, network: &Network) -> ServiceView {
    ServiceView { endpoint, network_name: network.name.clone(), plugin_info: BTreeMap::new() }
}
