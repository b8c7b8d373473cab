//! Pools: the subnets that engines ask for before they make a network.

use ipnet::IpNet;

use super::EngineScope;
use crate::{
    controller::{
        Controller, Error, Kind, Result, find,
        keys::{self, Stored},
        now,
        retry::Attempts,
    },
    ipam,
    model::{EngineNetwork, EnginePool, Name, Network, NetworkId, SCHEMA, Subnet},
    store::{Guard, Outcome, Txn},
};

/// A pool that an engine asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnginePoolSpec {
    /// For whom.
    pub scope: EngineScope,
    /// The subnet; any where there is none.
    pub cidr: Option<IpNet>,
    /// The part of it that the engine wants addresses from.
    pub range: Option<IpNet>,
    /// The network that it is to be of, where people named one.
    pub name: Option<Name>,
    /// Whether it is to be of IPv6.
    pub v6: bool,
}

/// A pool that an engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnginePoolView {
    /// What it is called.
    pub id: String,
    /// The subnet.
    pub cidr: IpNet,
}

impl Controller {
    /// Gives an engine a pool, or the same again: a subnet of a network that is there, or one for a network to be.
    pub async fn request_pool(&self, spec: &EnginePoolSpec) -> Result<EnginePoolView> {
        check(spec)?;
        let of = self.engine_of(spec.scope);
        let mut attempts = Attempts::new("give a pool", &of);
        loop {
            let mut txn = Txn::new();
            let network = self.network_of_pool(spec).await?;
            let cidr = match (&network, spec.cidr) {
                (Some(network), None) => subnet_of_family(network, spec.v6)?,
                (Some(network), Some(cidr)) => subnet_of(network, cidr)?.cidr,
                (None, Some(cidr)) => cidr,
                (None, None) => {
                    let claim = self.another_pool(spec.v6).await?;
                    txn = txn.and(claim.txn);
                    claim.value
                }
            };
            let id = pool_id(cidr, spec);
            let key = keys::engine_pool(&of, &id);
            let before = keys::get::<EnginePool>(&*self.store, &key).await?;
            let known = before.as_ref().and_then(|before| before.value.network.clone());
            let known = match known {
                Some(id) => keys::get::<Network>(&*self.store, &keys::network(&id)).await?,
                None => None,
            };
            let network = known.map(|stored| stored.value.id).or(network.map(|network| network.id));
            let pool = EnginePool {
                schema: SCHEMA,
                cidr,
                range: spec.range,
                name: spec.name.clone(),
                network,
                asked: now(),
            };
            let guard = match &before {
                Some(before) => before.unchanged(),
                None => Guard::Absent(key.clone()),
            };
            let txn = txn.when(guard).put(key, keys::write(&pool));
            if let Outcome::Committed(_) = self.store.commit(txn).await? {
                return Ok(EnginePoolView { id, cidr });
            }
            attempts.again().await?;
        }
    }

    /// Takes a pool back, unless it is one of a network that the engine has; that goes with the network.
    pub async fn release_pool(&self, scope: EngineScope, id: &str) -> Result<()> {
        let of = self.engine_of(scope);
        let key = keys::engine_pool(&of, id);
        while let Some(stored) = keys::get::<EnginePool>(&*self.store, &key).await? {
            let networks =
                keys::list::<EngineNetwork>(&*self.store, &keys::engine_networks(&of)).await?;
            if networks.iter().any(|network| network.value.pools.iter().any(|pool| pool == id)) {
                return Ok(());
            }
            let txn = Txn::new().when(stored.unchanged()).delete(key.clone());
            if let Outcome::Committed(_) = self.store.commit(txn).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A pool that an engine has, as it was told.
    pub(super) async fn pool(&self, of: &str, id: &str) -> Result<Stored<EnginePool>> {
        let found = keys::get(&*self.store, &keys::engine_pool(of, id)).await?;
        found.ok_or_else(|| {
            Error::not_found(format!(
                "there is no pool {id}: remove the network and create it again"
            ))
        })
    }

    /// The network that a pool is of: that of the name, or the only one with the subnet.
    async fn network_of_pool(&self, spec: &EnginePoolSpec) -> Result<Option<Network>> {
        if let Some(name) = &spec.name {
            return self.network_of_engine(name.as_str()).await;
        }
        let Some(cidr) = spec.cidr else { return Ok(None) };
        let mut found = self.networks_with(cidr).await?;
        // Where there are several, the engine may yet say which.
        Ok(found.pop().filter(|_| found.is_empty()))
    }

    /// The network of this name, if it is there, which engines can join.
    pub(super) async fn network_of_engine(&self, name: &str) -> Result<Option<Network>> {
        let network = match find::network(&*self.store, &self.config.host, name).await {
            Ok(stored) => stored.value,
            Err(error) if error.kind == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        self.check_here(&network, "create it")?;
        if let Some(lease) = &network.lease {
            return Err(Error::forbidden(format!(
                "network {} has its addresses from IPAM driver {}, and containers of Docker have theirs from netctl: \
                 choose another network",
                network.name, lease.driver
            )));
        }
        if !self.drivers.get(&network.driver).hands_over() {
            return Err(Error::forbidden(format!(
                "network {} is of driver {}, which containers of Docker cannot join: choose one of driver overlay or bridge",
                network.name, network.driver
            )));
        }
        Ok(Some(network))
    }

    /// The networks that have this subnet and that engines can join.
    pub(super) async fn networks_with(&self, cidr: IpNet) -> Result<Vec<Network>> {
        let networks = find::visible_networks(&*self.store, &self.config.host).await?;
        Ok(networks
            .into_iter()
            .map(|stored| stored.value)
            .filter(|network| network.subnets.iter().any(|subnet| subnet.cidr == cidr))
            .filter(|network| network.lease.is_none())
            .filter(|network| self.drivers.get(&network.driver).hands_over())
            .collect())
    }

    async fn another_pool(&self, v6: bool) -> Result<ipam::Claim<IpNet>> {
        let asked: Vec<IpNet> = keys::list::<EnginePool>(&*self.store, keys::ENGINE_POOLS)
            .await?
            .into_iter()
            .map(|stored| stored.value.cidr)
            .collect();
        let hosts = self.used_by_hosts().await?;
        let defaults = &self.config.default_pools;
        Ok(ipam::free_pool(&*self.store, defaults, v6, &hosts, &asked).await?)
    }

    /// Has the pools of a network, as an engine has it, name that network.
    pub(super) fn with_network(pools: &[Stored<EnginePool>], network: &NetworkId) -> Txn {
        pools.iter().fold(Txn::new(), |txn, stored| {
            let pool = EnginePool { network: Some(network.clone()), ..stored.value.clone() };
            txn.put(stored.key.clone(), keys::write(&pool))
        })
    }
}

fn check(spec: &EnginePoolSpec) -> Result<()> {
    let EnginePoolSpec { cidr, range, v6, .. } = spec;
    let Some(cidr) = cidr else {
        return match range {
            Some(range) => Err(Error::unusable(format!(
                "ip-range {range} is a part of no subnet: give one with --subnet"
            ))),
            None => Ok(()),
        };
    };
    if cidr.addr().is_ipv6() != *v6 {
        let family = if *v6 { "IPv6" } else { "IPv4" };
        return Err(Error::unusable(format!("subnet {cidr} is not of {family}")));
    }
    Subnet::new(*cidr, *range, None).map_err(|error| Error::unusable(error.to_string()))?;
    Ok(())
}

/// What an engine is to call a pool: what makes it the same again when it asks again.
fn pool_id(cidr: IpNet, spec: &EnginePoolSpec) -> String {
    let mut id = cidr.to_string();
    if let Some(range) = spec.range {
        id = format!("{id}/{range}");
    }
    if let Some(name) = &spec.name {
        id = format!("{id}/{name}");
    }
    id
}

/// The first subnet of a family.
fn subnet_of_family(network: &Network, v6: bool) -> Result<IpNet> {
    let found = network.subnets.iter().find(|subnet| subnet.is_v6() == v6);
    found.map(|subnet| subnet.cidr).ok_or_else(|| {
        let family = if v6 { "IPv6" } else { "IPv4" };
        Error::unusable(format!("network {} has no subnet of {family}", network.name))
    })
}

/// The subnet `cidr` of a network.
pub(super) fn subnet_of(network: &Network, cidr: IpNet) -> Result<&Subnet> {
    network.subnets.iter().find(|subnet| subnet.cidr == cidr).ok_or_else(|| {
        let has: Vec<String> =
            network.subnets.iter().map(|subnet| subnet.cidr.to_string()).collect();
        Error::conflict(format!(
            "network {} is there with subnet {}, not {cidr}: give that, or `--ipam-opt netctl.network={}` and no --subnet",
            network.name,
            has.join(" and "),
            network.name
        ))
    })
}
