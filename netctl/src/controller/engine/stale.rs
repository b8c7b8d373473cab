//! What an engine has by the store's account, for who compares it with the engine's own.

use std::net::IpAddr;

use ipnet::IpNet;

use super::EngineScope;
use crate::{
    controller::{Controller, Result, keys},
    ipam::{self, Hold},
    model::{
        EndpointId, EngineEndpoint, EngineNetwork, EngineNetworkId, EnginePool, NetworkId, UnixTime,
    },
    store::{Guard, Txn},
};

/// What this host's engine has, each with when it was made or last asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineHolds {
    /// Its networks.
    pub networks: Vec<(EngineNetworkId, UnixTime)>,
    /// Its endpoints.
    pub endpoints: Vec<(EndpointId, UnixTime)>,
    /// Its pools that no network of it has.
    pub pools: Vec<(String, IpNet, UnixTime)>,
    /// Addresses that are kept for it, and that no endpoint has.
    pub addresses: Vec<(NetworkId, IpAddr, UnixTime)>,
}

impl Controller {
    /// What this host's engine has.
    pub async fn engine_holds(&self) -> Result<EngineHolds> {
        let store = &*self.store;
        let of = self.engine_of(EngineScope::Host);
        let mut holds = EngineHolds::default();
        let prefix = keys::engine_endpoints(&self.config.host);
        for stored in keys::list::<EngineEndpoint>(store, &prefix).await? {
            let id = stored.key.strip_prefix(&prefix).and_then(|id| id.parse().ok());
            holds.endpoints.extend(id.map(|id| (id, stored.value.created)));
        }
        let prefix = keys::engine_networks(&of);
        let networks = keys::list::<EngineNetwork>(store, &prefix).await?;
        let mut looked: Vec<&NetworkId> = Vec::new();
        for stored in &networks {
            let id = stored.key.strip_prefix(&prefix).and_then(|id| id.parse().ok());
            let Some(id): Option<EngineNetworkId> = id else { continue };
            let network = &stored.value.network;
            holds.networks.push((id, stored.value.created));
            if !looked.contains(&network) {
                looked.push(network);
                holds.addresses.extend(self.kept_addresses(network).await?);
            }
        }
        let prefix = keys::engine_pools(&of);
        for stored in keys::list::<EnginePool>(store, &prefix).await? {
            let Some(id) = stored.key.strip_prefix(&prefix) else { continue };
            let used =
                networks.iter().any(|network| network.value.pools.iter().any(|pool| pool == id));
            if !used {
                holds.pools.push((id.to_owned(), stored.value.cidr, stored.value.asked));
            }
        }
        Ok(holds)
    }

    async fn kept_addresses(
        &self,
        network: &NetworkId,
    ) -> Result<Vec<(NetworkId, IpAddr, UnixTime)>> {
        let prefix = ipam::addresses_prefix(network);
        let own = self.holder(EngineScope::Host);
        let entries = self.store.list(&prefix).await?.entries;
        let kept = entries.into_iter().filter_map(|entry| {
            let hold = Hold::read(&entry.value).filter(|hold| hold.holder == own)?;
            let address = entry.key.strip_prefix(&prefix)?.parse().ok()?;
            Some((network.clone(), address, hold.since))
        });
        Ok(kept.collect())
    }

    /// Takes back an address that was kept for this host's engine since then.
    pub async fn release_kept(
        &self,
        network: &NetworkId,
        address: IpAddr,
        since: UnixTime,
    ) -> Result<()> {
        let key = ipam::address_key(network, address);
        let hold = Hold { holder: self.holder(EngineScope::Host), since };
        if let Some(entry) = self.store.get(&key).await?
            && Hold::read(&entry.value).as_ref() == Some(&hold)
        {
            let txn = Txn::new().when(Guard::Unchanged(key.clone(), entry.modified)).delete(key);
            self.store.commit(txn).await?;
        }
        Ok(())
    }
}
