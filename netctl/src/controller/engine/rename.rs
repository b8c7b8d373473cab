//! The names of networks that were made for engines, which do not say them when they make one.

use std::collections::BTreeSet;

use super::EngineScope;
use crate::{
    controller::{
        Controller, Result, holdings,
        keys::{self, Stored},
        retry::Attempts,
    },
    model::{EngineNetwork, EngineNetworkId, Name, Network},
    store::{Guard, Outcome, Txn},
};

const PROVISIONAL: &str = "docker-";

/// What a network is called until it is known what its engine calls it.
pub(super) fn provisional_name(id: &EngineNetworkId) -> Name {
    format!("{PROVISIONAL}{}", id.short()).parse().expect("letters and digits are a name")
}

fn is_provisional(network: &Network) -> bool {
    network.engine_made && network.name.as_str().starts_with(PROVISIONAL)
}

impl Controller {
    /// Gives a network that was made for this host's engine the engine's name for it. It keeps the name that it has where
    /// people chose that, or the other is taken, or none that netctl could have.
    pub async fn name_engine_network(&self, id: &EngineNetworkId, name: &str) -> Result<()> {
        let Ok(name) = name.parse::<Name>() else { return Ok(()) };
        let key = keys::engine_network(&self.engine_of(EngineScope::Host), id);
        let mut attempts = Attempts::new("name network", id.short());
        while let Some(known) = keys::get::<EngineNetwork>(&*self.store, &key).await? {
            let key = keys::network(&known.value.network);
            let Some(stored) = keys::get::<Network>(&*self.store, &key).await? else { break };
            let network = &stored.value;
            if !is_provisional(network) {
                break;
            }
            let taken = [keys::network_name(&name), keys::local_name(&name, &self.config.host)];
            for key in &taken {
                if self.store.get(key).await?.is_some() {
                    tracing::info!(network = %network.name, %name, "the engine's name for it is taken");
                    return Ok(());
                }
            }
            let renamed = Network { name: name.clone(), ..network.clone() };
            // The engine's is put again, so that this host hears of it at once.
            let txn = renaming(&stored, &renamed)
                .when(known.unchanged())
                .put(known.key.clone(), keys::write(&known.value));
            if let Outcome::Committed(_) = self.store.commit(txn).await? {
                tracing::info!(network = %network.name, %name, "named as its engine does");
                break;
            }
            attempts.again().await?;
        }
        Ok(())
    }
}

/// What changes a network's name, wherever it stands.
fn renaming(stored: &Stored<Network>, renamed: &Network) -> Txn {
    let name = keys::name_of(renamed);
    let mut txn = Txn::new()
        .when(stored.unchanged())
        .when(Guard::Absent(name))
        .when(Guard::Empty(keys::local_names(&renamed.name)))
        .put(stored.key.clone(), keys::write(renamed));
    let (before, after) = (holdings::of_network(&stored.value), holdings::of_network(renamed));
    let stays: BTreeSet<&str> = after.iter().map(|holding| &*holding.key).collect();
    for gone in before.iter().filter(|holding| !stays.contains(&*holding.key)) {
        txn = txn.delete(gone.key.clone());
    }
    for new in after.iter().filter(|holding| !before.contains(holding)) {
        txn = txn.put(new.key.clone(), new.value.clone());
    }
    txn
}
