//! What engines call their networks and containers, which is known only after they were made.

use std::collections::BTreeMap;

use super::{EngineScope, networks};
use crate::{
    controller::{Controller, Kind, Result, holdings, keys, retry::Attempts},
    drivers::Scope,
    model::{Endpoint, EndpointId, EngineNetwork, EngineNetworkId, Name, Network},
    store::{Guard, Outcome, Txn},
};

impl Controller {
    /// Has a network that was made for an engine, and has no name yet but for the time being, called as the engine calls it.
    /// Where the name is another's, it stays as it is. One that is none of netctl's is no error.
    pub async fn name_engine_network(&self, id: &EngineNetworkId, name: &Name) -> Result<()> {
        let mut attempts = Attempts::new("name network", name);
        loop {
            let mut known = None;
            for scope in [EngineScope::Host, EngineScope::Swarm] {
                let key = keys::engine_network(&self.engine_of(scope), id);
                known = known.or(keys::get::<EngineNetwork>(&*self.store, &key).await?);
            }
            let Some(known) = known else { return Ok(()) };
            let key = keys::network(&known.value.network);
            let Some(stored) = keys::get::<Network>(&*self.store, &key).await? else {
                return Ok(());
            };
            let old = &stored.value;
            if !old.engine_made || !networks::is_provisional(&old.name) {
                return Ok(());
            }
            let scope = if old.host.is_some() { Scope::Host } else { Scope::Cluster };
            let claim = match self.name_txn(&old.id, name, &old.driver, scope).await {
                Ok(claim) => claim,
                Err(error) if error.kind == Kind::Conflict => {
                    tracing::info!(network = %old.name, %name, "Docker's name for the network is taken");
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let new = Network { name: name.clone(), ..old.clone() };
            let txn = Txn::new()
                .when(stored.unchanged())
                .put(key, keys::write(&new))
                .delete(keys::name_of(old))
                .and(claim)
                .and(renamed(old, &new));
            if let Outcome::Committed(_) = self.store.commit(txn).await? {
                tracing::info!(network = %name, id = old.id.short(), "named by an engine");
                return Ok(());
            }
            attempts.again().await?;
        }
    }

    /// Has an endpoint of this host's engine called as the engine calls its container: by its name, or where that is another's
    /// by an alias like the others, which may be several endpoints'. One that the engine has not made is no error.
    pub async fn name_engine_endpoint(
        &self,
        id: &EndpointId,
        name: Option<&Name>,
        aliases: &[Name],
    ) -> Result<()> {
        let mut attempts = Attempts::new("name endpoint", id.short());
        loop {
            let Some((network, stored)) = self.engine_endpoint(id).await? else { return Ok(()) };
            let old = &stored.value;
            let mut txn = Txn::new().when(stored.unchanged());
            let mut new = Endpoint { aliases: aliases.to_vec(), ..old.clone() };
            if let Some(name) = name {
                let (held, wanted) = (
                    keys::endpoint_name(&network.id, &old.name),
                    keys::endpoint_name(&network.id, name),
                );
                if held == wanted {
                    new.name = name.clone();
                } else if self.store.get(&wanted).await?.is_none() {
                    new.name = name.clone();
                    txn = txn
                        .when(Guard::Absent(wanted.clone()))
                        .put(wanted, id.as_str())
                        .delete(held);
                } else {
                    new.aliases.insert(0, name.clone());
                }
            }
            if new == *old {
                return Ok(());
            }
            let txn = txn.put(stored.key.clone(), keys::write(&new));
            if let Outcome::Committed(_) = self.store.commit(txn).await? {
                tracing::info!(
                    service = %new.name, network = %network.name, id = id.short(), "named by an engine"
                );
                return Ok(());
            }
            attempts.again().await?;
        }
    }
}

/// What has the keys of a network name it by its new name.
fn renamed(old: &Network, new: &Network) -> Txn {
    let before: BTreeMap<String, Vec<u8>> =
        holdings::of_network(old).into_iter().map(|held| (held.key, held.value)).collect();
    let differs = |held: &holdings::Holding| {
        held.required && before.get(&held.key).is_some_and(|value| *value != held.value)
    };
    let held = holdings::of_network(new).into_iter().filter(differs);
    held.fold(Txn::new(), |txn, held| txn.put(held.key, held.value))
}
