//! Addresses from IPAM drivers that are plugins.
//!
//! A plugin is asked before the store is, since what it gives is what the object gets, and told last when an object
//! goes. In between what it gave is noted on disk: to be given back, unless the store has the object that it is for. So
//! it does not matter where an operation fails, or the daemon dies, but in the moment between a plugin's answer and its
//! note.

mod take;

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use super::{Controller, Error, Result, keys};
use crate::{
    model::{Endpoint, EndpointId, Lease, LeasedAddress, Network, NetworkId},
    plugin::{self, Journal},
    store,
};

/// How often it is looked for what is to be given back.
const PERIOD: Duration = Duration::from_secs(2);
/// How long an operation waits until a plugin has back what it gave; after that it is done behind it.
const PATIENCE: Duration = Duration::from_secs(5);
/// What plugins gave and may have to have back.
#[derive(Debug)]
pub(super) struct Leases {
    journal: Journal<Noted>,
    /// Who is at work on what is noted under an identifier holds its lock, from the note to the end.
    locks: Mutex<BTreeMap<String, Lock>>,
}

type Lock = Arc<tokio::sync::Mutex<()>>;
/// That one is at work on it.
pub(super) type Held = OwnedMutexGuard<()>;

/// What was given, and for what.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noted {
    network: NetworkId,
    /// None where it is for the network.
    endpoint: Option<EndpointId>,
    lease: Lease,
}

impl Noted {
    fn id(&self) -> &str {
        self.endpoint.as_ref().map_or(self.network.as_str(), EndpointId::as_str)
    }
}

impl Leases {
    /// # Errors
    /// What was noted cannot be read.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self { journal: Journal::open(dir)?, locks: Mutex::default() })
    }

    fn lock(&self, id: &str) -> Lock {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(id.to_owned()).or_default())
    }

    async fn hold(&self, id: &str) -> Held {
        self.lock(id).lock_owned().await
    }

    fn note(&self, noted: &Noted) -> Result<()> {
        let written = self.journal.put(noted.id(), noted.clone());
        written.map_err(|error| Error::internal(error.to_string()))
    }

    /// Notes what a plugin has to have back once the store has the endpoint no more, where nobody else is at work.
    pub(super) fn note_removal(&self, endpoint: &Endpoint) -> Result<()> {
        let Some(lease) = endpoint.lease.clone() else { return Ok(()) };
        let (network, endpoint) = (endpoint.network.clone(), Some(endpoint.id.clone()));
        self.note(&Noted { network, endpoint, lease })
    }

    /// Forgets what was noted for a removal that another was faster with: it gives back, or has given back already.
    pub(super) fn forget(&self, id: &str) -> Result<()> {
        self.journal.remove(id).map_err(|error| Error::internal(error.to_string()))
    }
}

impl Controller {
    /// Notes what a plugin has to have back once the store has the endpoint no more.
    pub(super) async fn note_endpoint_lease(&self, endpoint: &Endpoint) -> Result<Option<Held>> {
        let of = Some(endpoint.id.clone());
        self.note_lease(&endpoint.network, of, endpoint.lease.as_ref()).await
    }

    /// The same for a network.
    pub(super) async fn note_network_lease(&self, network: &Network) -> Result<Option<Held>> {
        self.note_lease(&network.id, None, network.lease.as_ref()).await
    }

    async fn note_lease(
        &self,
        network: &NetworkId,
        endpoint: Option<EndpointId>,
        lease: Option<&Lease>,
    ) -> Result<Option<Held>> {
        let Some(lease) = lease.cloned() else { return Ok(None) };
        let noted = Noted { network: network.clone(), endpoint, lease };
        let held = self.leases.hold(noted.id()).await;
        self.leases.note(&noted).map(|()| Some(held))
    }

    /// Gives back what is noted under an identifier, unless the store has what it is for. What cannot be done now is
    /// done later. The caller is at work on it.
    pub(super) async fn settle_lease(&self, id: &str) {
        let Some(noted) = self.leases.journal.get(id) else { return };
        if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, self.give_back(noted)).await {
            tracing::warn!(%error, "a plugin does not have back what it gave; trying again");
        }
    }

    /// Keeps giving back what is noted and not held.
    pub(super) async fn settle_leases(&self) -> ! {
        let mut failed: BTreeMap<String, u32> = BTreeMap::new();
        let mut round = 0_u32;
        loop {
            tokio::time::sleep(PERIOD).await;
            round = round.wrapping_add(1);
            // One that failed often is tried ever more seldom.
            let is_due = |id: &String| {
                let pause = failed.get(id).map_or(0, |times| (*times).min(4));
                round.is_multiple_of(1 << pause)
            };
            let due = self.leases.journal.all().into_iter().map(|(id, _)| id).filter(is_due);
            // All at once, so that no plugin waits for another.
            let tried = join_all(due.map(async |id| {
                let settled = self.settle_one(&id).await;
                (id, settled)
            }));
            for (id, settled) in tried.await {
                if let Err(error) = settled {
                    tracing::warn!(%error, "a plugin does not have back what it gave; trying again");
                    *failed.entry(id).or_default() += 1;
                } else {
                    failed.remove(&id);
                }
            }
        }
    }

    /// Settles what nobody is at work on.
    async fn settle_one(&self, id: &str) -> Result<()> {
        let Ok(_held) = self.leases.lock(id).try_lock_owned() else { return Ok(()) };
        let Some(noted) = self.leases.journal.get(id) else { return Ok(()) };
        self.give_back(noted).await
    }

    /// What was given back is noted no more at once, since the plugin may give it to another then.
    async fn give_back(&self, mut noted: Noted) -> Result<()> {
        if !self.is_held(&noted).await? {
            let plugin = self.drivers.plugins().ipam(noted.lease.driver.as_str()).await?;
            while let Some(LeasedAddress { pool, address }) = noted.lease.addresses.last() {
                given_back(plugin.release_address(pool, *address).await)?;
                noted.lease.addresses.pop();
                self.leases.note(&noted)?;
            }
            while let Some(pool) = noted.lease.pools.last() {
                given_back(plugin.release_pool(&pool.id).await)?;
                noted.lease.pools.pop();
                self.leases.note(&noted)?;
            }
        }
        self.leases.forget(noted.id())
    }

    async fn is_held(&self, noted: &Noted) -> Result<bool, store::Error> {
        let key = match &noted.endpoint {
            Some(endpoint) => keys::endpoint(&noted.network, endpoint),
            None => keys::network(&noted.network),
        };
        Ok(self.store.get(&key).await?.is_some())
    }
}

/// A plugin that was started again may not know any more what it gave: then it has it.
fn given_back(answer: Result<(), plugin::Error>) -> Result<(), plugin::Error> {
    match answer {
        Err(error) if error.is_answer() => {
            tracing::warn!(%error, "a plugin does not take back what it gave");
            Ok(())
        }
        other => other,
    }
}
