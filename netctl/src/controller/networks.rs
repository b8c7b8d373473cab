//! Networks: create, list, inspect, remove.

mod subnets;

use super::{
    Controller, Error, Result, find, holdings,
    keys::{self, Stored},
    now,
    retry::{Attempts, Tried},
    services,
};
use crate::{
    drivers::{Plan, Scope},
    ipam::{self, PoolWish},
    model::{DriverName, Lease, Name, Network, NetworkId, NetworkSpec, NetworkView, Subnet},
    store::{Guard, Outcome, Txn},
};

/// The driver of a network for which none is given.
pub(super) const DEFAULT_DRIVER: &str = "overlay";
/// Whose the gateway's addresses are, where an endpoint's identifier stands otherwise.
pub(super) const GATEWAY: &str = "gateway";

impl Controller {
    /// Creates a network.
    pub async fn create_network(&self, spec: NetworkSpec) -> Result<NetworkView> {
        self.create_network_as(&NetworkId::random(), spec, None).await
    }

    /// Creates a network under an identifier that the caller has chosen, and so could note before. For a container engine
    /// there is what is put with it.
    pub(super) async fn create_network_as(
        &self,
        id: &NetworkId,
        spec: NetworkSpec,
        for_engine: Option<&Txn>,
    ) -> Result<NetworkView> {
        let driver_name = spec.driver.clone().unwrap_or_else(default_driver);
        let driver = self.drivers.get(&driver_name);
        let plan = driver.plan(&self.context, &spec).await?;
        subnets::of(&spec, &plan)?;
        self.with_pools(id, spec, &plan, async |spec, lease| {
            let wanted = subnets::of(&spec, &plan)?;
            let mut attempts = Attempts::new("create network", &spec.name);
            loop {
                let lease = lease.clone();
                let tried = self
                    .try_create(id, &spec, &driver_name, &plan, &wanted, (lease, for_engine))
                    .await?;
                match tried {
                    Tried::Done(network) => {
                        return Ok(NetworkView { network, services: Vec::new() });
                    }
                    Tried::Lost => attempts.again().await?,
                }
            }
        })
        .await
    }

    async fn try_create(
        &self,
        id: &NetworkId,
        spec: &NetworkSpec,
        driver: &Name,
        plan: &Plan,
        wanted: &[Subnet],
        (lease, for_engine): (Option<Lease>, Option<&Txn>),
    ) -> Result<Tried<Network>> {
        let name = self.name_txn(id, &spec.name, driver, plan.scope).await?;
        let mut network = Network {
            host: (plan.scope != Scope::Cluster).then(|| self.config.host.clone()),
            internal: spec.internal,
            policy: plan.policy,
            options: spec.options.clone(),
            ipam_options: spec.ipam_options.clone(),
            peers: plan.peers.clone(),
            lease,
            labels: spec.labels.clone(),
            engine_made: for_engine.is_some(),
            ..Network::new(id.clone(), spec.name.clone(), driver.clone(), now())
        };
        let claimed = self.claim(&mut network, spec, plan, wanted).await?;
        let others = self.drivers.get(driver);
        network.allotted = others.allot(&network).await?;
        let txn = name
            .and(claimed)
            .put(keys::network(id), keys::write(&network))
            .and(for_engine.cloned().unwrap_or_default());
        others.create(&network).await?;
        let committed = self.store.commit(txn).await;
        others.created(id);
        Ok(match committed? {
            Outcome::Committed(_) => {
                tracing::info!(network = %network.name, id = id.short(), driver = %network.driver, "network created");
                Tried::Done(network)
            }
            Outcome::Conflict => {
                // It may be tried again with other subnets.
                others.remove(id).await?;
                Tried::Lost
            }
        })
    }

    /// Gives a network the subnets, the gateway's address and the VNI that its driver needs; the piece of a transaction that
    /// takes them.
    async fn claim(
        &self,
        network: &mut Network,
        spec: &NetworkSpec,
        plan: &Plan,
        wanted: &[Subnet],
    ) -> Result<Txn> {
        let store = &*self.store;
        let mut txn = Txn::new();
        if plan.addresses {
            let host = self.used_by_hosts().await?;
            let wish = PoolWish {
                id: &network.id,
                name: &spec.name,
                local: network.host.as_ref(),
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
                txn = txn.put(ipam::address_key(&network.id, subnet.gateway), GATEWAY);
            }
            if let Some(first) = network.subnets.first().filter(|_| plan.segment) {
                let claim = ipam::mac(store, network, first.gateway, None, GATEWAY).await?;
                network.gateway_mac = Some(claim.value);
                txn = txn.and(claim.txn);
            }
        }
        if plan.segment {
            let claim = ipam::vni(store, &spec.name, plan.vni).await?;
            network.vni = Some(claim.value);
            txn = txn.and(claim.txn);
        }
        Ok(txn)
    }

    /// The piece of a transaction that takes a network's name. One of the cluster is no host's own, and the other way
    /// round; two hosts may each have one of their own.
    pub(super) async fn name_txn(
        &self,
        id: &NetworkId,
        name: &Name,
        driver: &DriverName,
        scope: Scope,
    ) -> Result<Txn> {
        let (cluster, locals) = (keys::network_name(name), keys::local_names(name));
        let taken = |place: &str| {
            Error::conflict(format!(
                "network {name} is there already{place}: choose another name, or remove it first"
            ))
        };
        let host = &self.config.host;
        let own = keys::local_name(name, host);
        for key in [&cluster, &own] {
            if self.store.get(key).await?.is_some() {
                return Err(taken(""));
            }
        }
        if scope == Scope::Cluster {
            let hosts = self.store.list(&locals).await?.entries;
            if let Some(host) = hosts.iter().find_map(|entry| entry.key.strip_prefix(&locals)) {
                return Err(taken(&format!(" on host {host}")));
            }
            return Ok(Txn::new()
                .when(Guard::Empty(locals))
                .when(Guard::Absent(cluster.clone()))
                .put(cluster, id.as_str()));
        }
        let txn = Txn::new()
            .when(Guard::Absent(cluster))
            .when(Guard::Absent(own.clone()))
            .put(own, id.as_str());
        if scope == Scope::Host {
            return Ok(txn);
        }
        let sole = keys::sole(driver, host);
        if let Some(other) = self.store.get(&sole).await? {
            return Err(Error::conflict(format!(
                "host {host} has network {} of driver {driver} already, and can have no second: use that one",
                String::from_utf8_lossy(&other.value)
            )));
        }
        Ok(txn.when(Guard::Absent(sole.clone())).put(sole, name.as_str()))
    }

    /// The networks of the cluster and of this host, or `all`, those of other hosts too, by name.
    pub async fn networks(&self, all: bool) -> Result<Vec<NetworkView>> {
        let mut networks: Vec<NetworkView> = keys::list_networks(&*self.store)
            .await?
            .into_iter()
            .filter(|stored| all || stored.value.is_on(&self.config.host))
            .map(|stored| NetworkView { network: stored.value, services: Vec::new() })
            .collect();
        networks.sort_by(|a, b| {
            (&a.network.name, &a.network.host).cmp(&(&b.network.name, &b.network.host))
        });
        Ok(networks)
    }

    /// One network by name, id or the beginning of its id, with its services.
    pub async fn network(&self, network: &str) -> Result<NetworkView> {
        let network = find::network(&*self.store, &self.config.host, network).await?.value;
        let services = services::of_network(&*self.store, &network).await?;
        Ok(NetworkView { network, services })
    }

    /// Removes a network that has no services.
    pub async fn remove_network(&self, network: &str) -> Result<NetworkView> {
        let mut attempts = Attempts::new("remove network", network);
        loop {
            let stored = find::network(&*self.store, &self.config.host, network).await?;
            self.check_here_or_gone(&stored.value, "remove it").await?;
            self.check_no_engine_has(&stored.value).await?;
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
            let noted = self.note_network_lease(&stored.value).await?;
            match self.store.commit(removal(&stored)).await? {
                Outcome::Committed(_) => {
                    self.settle_lease(stored.value.id.as_str()).await;
                    tracing::info!(network = %stored.value.name, id = stored.value.id.short(), "network removed");
                    if let Err(error) =
                        self.drivers.get(&stored.value.driver).remove(&stored.value.id).await
                    {
                        tracing::warn!(network = %stored.value.name, %error, "a plugin keeps a network that is gone; telling it again");
                    }
                    return Ok(NetworkView { network: stored.value, services });
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
}

/// Everything that [`Controller::create_network`] put, while no service is there.
pub(super) fn removal(stored: &Stored<Network>) -> Txn {
    let network = &stored.value;
    Txn::new()
        .when(stored.unchanged())
        .when(Guard::Empty(keys::endpoints(&network.id)))
        .delete(stored.key.clone())
        .and(holdings::released(holdings::of_network(network)))
        .and(ipam::forget(network))
}

pub(super) fn default_driver() -> Name {
    DEFAULT_DRIVER.parse().expect("a constant that is a name")
}
