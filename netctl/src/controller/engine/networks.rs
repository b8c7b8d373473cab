//! Networks of engines: each is one of netctl's, made for it or joined.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::{EngineScope, pools::subnet_of, rename::provisional_name};
use crate::{
    controller::{
        Controller, Error, Kind, Result,
        keys::{self, Stored},
        networks::removal,
        now,
        retry::Attempts,
    },
    ipam::{self, Hold},
    model::{
        EngineNetwork, EngineNetworkId, EnginePool, HostName, Name, Network, NetworkId,
        NetworkSpec, RangeSpec, SCHEMA,
    },
    store::{Guard, Outcome, Txn},
};

/// How many addresses that are kept are given back in one transaction.
const AT_ONCE: usize = 64;

/// One subnet of a network, as an engine says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSubnet {
    /// The subnet.
    pub cidr: IpNet,
    /// Its gateway, where it has one.
    pub gateway: Option<IpAddr>,
    /// Addresses that are somebody else's.
    pub aux: BTreeMap<Name, IpAddr>,
}

/// A network that an engine makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineNetworkSpec {
    /// As the engine calls it.
    pub id: EngineNetworkId,
    /// For whom.
    pub scope: EngineScope,
    /// The network that it is to be, by name or identifier, where people said so.
    pub named: Option<String>,
    /// Its subnets, of pools that the engine asked for.
    pub subnets: Vec<EngineSubnet>,
    /// No way out.
    pub internal: bool,
    /// Options for the driver.
    pub options: BTreeMap<String, String>,
}

impl Controller {
    /// Makes a network for an engine, or has it join the one that it is; the same again is no more.
    pub async fn adopt_network(&self, spec: &EngineNetworkSpec) -> Result<Network> {
        let of = self.engine_of(spec.scope);
        let key = keys::engine_network(&of, &spec.id);
        let mut attempts = Attempts::new("create network", spec.id.short());
        loop {
            let known = keys::get::<EngineNetwork>(&*self.store, &key).await?;
            let known = match &known {
                Some(known) => {
                    let key = keys::network(&known.value.network);
                    keys::get::<Network>(&*self.store, &key).await?
                }
                None => None,
            };
            if let Some(known) = known {
                return Ok(known.value);
            }
            let pools = self.pools_of(&of, spec).await?;
            let record = |network: &NetworkId| EngineNetwork {
                schema: SCHEMA,
                network: network.clone(),
                pools: pools.iter().map(|pool| pool_name(&of, pool)).collect(),
                created: now(),
            };
            let Some(network) = self.network_to_join(spec, &pools).await? else {
                let id = NetworkId::random();
                let txn =
                    Self::with_network(&pools, &id).put(key.clone(), keys::write(&record(&id)));
                let made = self.create_network_as(&id, self.new_network(spec, &pools)?, Some(&txn));
                match made.await {
                    Ok(view) => return Ok(view.network),
                    // The engine of another host may have been faster with the same.
                    Err(error) if error.kind == Kind::Conflict && attempts.lost() == 0 => {
                        if self.network_to_join(spec, &pools).await?.is_none() {
                            return Err(error);
                        }
                    }
                    Err(error) => return Err(error),
                }
                attempts.again().await?;
                continue;
            };
            // A Swarm's manager is not told that it has no way out; its nodes are, before anything is in it.
            let internal = network.value.internal || spec.internal;
            let joined = Network { internal, ..network.value.clone() };
            // The network is put for its revision: who removes the last engine's must see this one.
            let txn = Self::with_network(&pools, &joined.id)
                .when(network.unchanged())
                .put(network.key.clone(), keys::write(&joined))
                .put(key.clone(), keys::write(&record(&joined.id)));
            if let Outcome::Committed(_) = self.store.commit(txn).await? {
                tracing::info!(network = %joined.name, engine_network = spec.id.short(), "joined by an engine");
                return Ok(joined);
            }
            attempts.again().await?;
        }
    }

    /// Has an engine's network go, with all that the engine has in it; and netctl's with it, where it was made for engines
    /// and no other has it.
    pub async fn drop_network(&self, scope: EngineScope, id: &EngineNetworkId) -> Result<()> {
        let of = self.engine_of(scope);
        let key = keys::engine_network(&of, id);
        if scope == EngineScope::Host {
            self.remove_engine_endpoints_of(id).await?;
        }
        let mut attempts = Attempts::new("remove network", id.short());
        loop {
            let Some(record) = keys::get::<EngineNetwork>(&*self.store, &key).await? else {
                return Ok(());
            };
            let id = &record.value.network;
            let others = keys::list::<EngineNetwork>(&*self.store, keys::ENGINE_NETWORKS).await?;
            let mut txn = Txn::new().when(record.unchanged()).delete(key.clone());
            let of_engine = keys::engine_networks(&of);
            for pool in &record.value.pools {
                let used = |other: &&Stored<EngineNetwork>| {
                    other.key != key
                        && other.key.starts_with(&of_engine)
                        && other.value.pools.contains(pool)
                };
                if !others.iter().any(|other| used(&other)) {
                    txn = txn.delete(keys::engine_pool(&of, pool));
                }
            }
            let shared = others.iter().any(|other| other.key != key && other.value.network == *id);
            let network = keys::get::<Network>(&*self.store, &keys::network(id)).await?;
            let network = network.filter(|network| network.value.engine_made);
            let mut removed = None;
            if let Some(network) = network {
                let used = !keys::list_endpoints(&*self.store, id).await?.is_empty();
                if shared || used {
                    // It stays, and is like any other once no engine has it.
                    let stays = Network { engine_made: shared, ..network.value.clone() };
                    txn =
                        txn.when(network.unchanged()).put(network.key.clone(), keys::write(&stays));
                } else {
                    let kept = self.given_back(&network.value).await?;
                    txn = txn.and(removal(&network)).and(kept).and(hints(&network.value, &record));
                    removed = Some(network.value);
                }
            }
            if let Outcome::Committed(revision) = self.store.commit(txn).await? {
                if let Some(network) = removed {
                    tracing::info!(network = %network.name, id = network.id.short(), "removed with its last engine");
                    if let Err(error) = self.drivers.get(&network.driver).remove(&network.id).await
                    {
                        tracing::warn!(network = %network.name, %error, "its driver keeps something of it");
                    }
                }
                if scope == EngineScope::Host {
                    self.progress(|progress| progress.engine >= revision).await?;
                }
                return Ok(());
            }
            attempts.again().await?;
        }
    }

    /// What gives back the addresses that are kept for engines, or are a Swarm's; what is too much for one transaction at
    /// once.
    async fn given_back(&self, network: &Network) -> Result<Txn> {
        loop {
            let addresses = self.store.list(&ipam::addresses_prefix(&network.id)).await?.entries;
            let swarm = self.store.list(&keys::swarm_addresses(&network.id)).await?.entries;
            let kept = addresses.into_iter().filter(|entry| Hold::read(&entry.value).is_some());
            let kept: Vec<_> = kept.chain(swarm).collect();
            let txn = kept.iter().take(AT_ONCE).fold(Txn::new(), |txn, entry| {
                txn.when(Guard::Unchanged(entry.key.clone(), entry.modified))
                    .delete(entry.key.clone())
            });
            if kept.len() <= AT_ONCE {
                return Ok(txn);
            }
            self.store.commit(txn).await?;
        }
    }

    /// Refuses to remove a network that an engine has, unless its host is away.
    pub(in crate::controller) async fn check_no_engine_has(&self, network: &Network) -> Result<()> {
        let all = keys::list::<EngineNetwork>(&*self.store, keys::ENGINE_NETWORKS).await?;
        for other in all.iter().filter(|other| other.value.network == network.id) {
            let rest = other.key.strip_prefix(keys::ENGINE_NETWORKS).unwrap_or_default();
            let host = rest.strip_prefix("host/").and_then(|rest| rest.split('/').next());
            let host = host.and_then(|host| host.parse::<HostName>().ok());
            let place = match &host {
                Some(host) if self.store.get(&keys::host(host)).await?.is_none() => continue,
                Some(host) => format!("on host {host}"),
                None => "in its Swarm".to_owned(),
            };
            return Err(Error::forbidden(format!(
                "network {} is one of Docker's {place}: remove it there first, with `docker network rm`",
                network.name
            )));
        }
        Ok(())
    }

    /// The pools of a network, as the engine asked for them.
    async fn pools_of(
        &self,
        of: &str,
        spec: &EngineNetworkSpec,
    ) -> Result<Vec<Stored<EnginePool>>> {
        let all = keys::list::<EnginePool>(&*self.store, &keys::engine_pools(of)).await?;
        let mut pools = Vec::new();
        for subnet in &spec.subnets {
            let of_subnet = all.iter().filter(|pool| pool.value.cidr == subnet.cidr);
            // The one that it asked for last, where there are several.
            let last =
                of_subnet.max_by_key(|pool| (pool.value.network.is_none(), pool.value.asked));
            pools.push(last.cloned().ok_or_else(|| {
                Error::unusable(format!(
                    "subnet {} is not from netctl, whose networks have addresses that are unique on all hosts: \
                     add `--ipam-driver netctl`",
                    subnet.cidr
                ))
            })?);
        }
        Ok(pools)
    }

    /// The network that an engine's is, where it is there.
    async fn network_to_join(
        &self,
        spec: &EngineNetworkSpec,
        pools: &[Stored<EnginePool>],
    ) -> Result<Option<Stored<Network>>> {
        let named = spec.named.clone();
        let named = named
            .or_else(|| pools.iter().find_map(|pool| Some(pool.value.name.as_ref()?.to_string())));
        let network = match &named {
            Some(name) => self.network_of_engine(name).await?,
            None => self.network_of_subnets(spec, pools).await?,
        };
        let Some(network) = network else { return Ok(None) };
        check_joins(spec, &network)?;
        if spec.internal && !network.internal && !self.is_of_swarm(&spec.id, &network).await? {
            return Err(Error::conflict(format!(
                "network {} is there with a way out: leave --internal out",
                network.name
            )));
        }
        // Read again for its revision; one that went in the meantime is to be made.
        keys::get(&*self.store, &keys::network(&network.id)).await
    }

    /// Whether a Swarm's manager made this network for the one that its nodes call so.
    async fn is_of_swarm(&self, id: &EngineNetworkId, network: &Network) -> Result<bool> {
        let key = keys::engine_network(&self.engine_of(EngineScope::Swarm), id);
        let made = keys::get::<EngineNetwork>(&*self.store, &key).await?;
        Ok(made.is_some_and(|made| made.value.network == network.id))
    }

    /// The only network that has the first of these subnets.
    async fn network_of_subnets(
        &self,
        spec: &EngineNetworkSpec,
        pools: &[Stored<EnginePool>],
    ) -> Result<Option<Network>> {
        for id in pools.iter().filter_map(|pool| pool.value.network.as_ref()) {
            if let Some(stored) = keys::get::<Network>(&*self.store, &keys::network(id)).await? {
                return Ok(Some(stored.value));
            }
        }
        let mut found = Vec::new();
        for subnet in &spec.subnets {
            found = self.networks_with(subnet.cidr).await?;
            if !found.is_empty() {
                break;
            }
        }
        if found.len() > 1 {
            let mut names: Vec<&str> = found.iter().map(|network| network.name.as_str()).collect();
            names.sort_unstable();
            return Err(Error::unusable(format!(
                "networks {} all have that subnet: say which is meant with `--ipam-opt netctl.network=NAME`",
                names.join(" and ")
            )));
        }
        Ok(found.pop())
    }

    fn new_network(
        &self,
        spec: &EngineNetworkSpec,
        pools: &[Stored<EnginePool>],
    ) -> Result<NetworkSpec> {
        let name = match &spec.named {
            Some(name) => name.parse().map_err(|error: crate::model::NameError| {
                Error::unusable(format!("netctl.network={name}: {error}"))
            })?,
            None => match pools.iter().find_map(|pool| pool.value.name.clone()) {
                Some(name) => name,
                None => provisional_name(&spec.id),
            },
        };
        let host = match spec.scope {
            EngineScope::Host => Some(self.config.host.clone()),
            EngineScope::Swarm => None,
        };
        let range = |pool: &Stored<EnginePool>| {
            Some(RangeSpec { host: host.clone(), range: pool.value.range? })
        };
        Ok(NetworkSpec {
            subnets: spec.subnets.iter().map(|subnet| subnet.cidr).collect(),
            ip_ranges: pools.iter().filter_map(range).collect(),
            gateways: spec.subnets.iter().filter_map(|subnet| subnet.gateway).collect(),
            aux_addresses: spec.subnets.iter().flat_map(|subnet| subnet.aux.clone()).collect(),
            internal: spec.internal,
            options: spec.options.clone(),
            ..NetworkSpec::of(name)
        })
    }
}

/// What an engine calls a pool of its own.
fn pool_name(of: &str, pool: &Stored<EnginePool>) -> String {
    pool.key.strip_prefix(&keys::engine_pools(of)).unwrap_or_default().to_owned()
}

/// Whether what an engine says of a network fits one that is there.
fn check_joins(spec: &EngineNetworkSpec, network: &Network) -> Result<()> {
    for EngineSubnet { cidr, gateway, aux: _ } in &spec.subnets {
        let subnet = subnet_of(network, *cidr)?;
        if let Some(gateway) = gateway.filter(|gateway| *gateway != subnet.gateway) {
            return Err(Error::conflict(format!(
                "network {} has the gateway {}, not {gateway}: give `--ipam-opt netctl.network={}`, and no --gateway",
                network.name, subnet.gateway, network.name
            )));
        }
    }
    let differs =
        |(option, value): &(&String, &String)| network.options.get(*option) != Some(value);
    if let Some((option, value)) = spec.options.iter().find(|given| differs(given)) {
        return Err(Error::conflict(format!(
            "network {} is there without option {option}={value}: leave the option out",
            network.name
        )));
    }
    Ok(())
}

/// Forgets the places in ranges that are the engine's alone.
fn hints(network: &Network, record: &Stored<EngineNetwork>) -> Txn {
    let ranges = record.value.pools.iter().filter_map(|pool| {
        let parts: Vec<&str> = pool.split('/').collect();
        let range = parts.get(2..4).map(|range| range.join("/"));
        range.and_then(|range| range.parse::<IpNet>().ok())
    });
    let own = |range: &IpNet| {
        network.subnets.iter().any(|subnet| {
            subnet.range.unwrap_or(subnet.cidr) == *range
                || subnet.host_ranges.values().any(|other| other == range)
        })
    };
    let mut ranges: Vec<IpNet> = ranges.filter(|range| !own(range)).collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges.into_iter().fold(Txn::new(), |txn, range| txn.delete(ipam::last_key(&network.id, range)))
}
