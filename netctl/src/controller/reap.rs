//! Giving back what hosts have that are gone for good.
//!
//! A host whose lease has ended is missed at once: names do not lead there any more. What it has stays its own for a
//! while, since it may be cut off only, with all its containers running. After that its endpoints are reaped: those that
//! were published for their sandbox go, with their addresses, as they would have gone with it; those that people
//! published stay, and can be attached elsewhere. What was taken is noted for some days: should the host come back after
//! all, its sandboxes have again what nobody else has by then.
//!
//! For how long a host was missed is measured by this one's own clock, from when it first missed it.

mod after;
mod remembered;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

pub use self::after::ReapAfter;
use self::remembered::{Now, Remembered};
use super::{
    Controller, Result, addresses,
    follow::Mirror,
    holdings::{self, Holding},
    keys, now,
};
use crate::{
    model::{Endpoint, EndpointId, Host, HostName, Network, NetworkId, UnixTime},
    store::{self, Guard, Outcome, Store, Txn},
};

/// How often it is looked, at most and at least.
const PERIOD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// Since when this host has seen what.
#[derive(Default)]
struct Seen {
    /// Which hosts are missed.
    missed: BTreeMap<HostName, Instant>,
    /// What was taken from hosts.
    remembered: Remembered,
}

/// What was taken from a host.
#[derive(Debug, Serialize, Deserialize)]
struct Reaped {
    at: UnixTime,
    endpoint: Endpoint,
}

impl Controller {
    /// Reaps what dead hosts have, and takes back what was reaped of this one.
    pub(super) async fn settle_absence(
        &self,
        hosts: watch::Receiver<Mirror<Host>>,
        missing: &Notify,
    ) -> ! {
        tokio::join!(self.reap(hosts), self.restore_missing(missing)).0
    }

    /// Reaps what dead hosts have, as long as `hosts` follows which are alive.
    async fn reap(&self, hosts: watch::Receiver<Mirror<Host>>) -> ! {
        let mut seen = Seen::default();
        loop {
            let Some(after) = self.config.reap_after.0 else { std::future::pending().await };
            tokio::time::sleep((after / 5).clamp(PERIOD.0, PERIOD.1)).await;
            let Some(alive) = alive(&hosts.borrow()) else { continue };
            // One does it for all; another in its place begins to count anew.
            if alive.first() != Some(&self.config.host) {
                seen = Seen::default();
                continue;
            }
            if let Err(error) = self.reap_missed(&alive, after, &mut seen).await {
                tracing::warn!(%error, "cannot look for what dead hosts have; trying again");
            }
        }
    }

    async fn reap_missed(
        &self,
        alive: &BTreeSet<HostName>,
        after: Duration,
        Seen { missed, remembered }: &mut Seen,
    ) -> Result<()> {
        let mut had: BTreeMap<HostName, Vec<(NetworkId, EndpointId)>> = BTreeMap::new();
        let hosts = store::children(&*self.store, keys::ATTACHMENTS).await?;
        for host in hosts.iter().filter_map(|host| host.parse::<HostName>().ok()) {
            if alive.contains(&host) {
                continue;
            }
            let attached = keys::list::<NetworkId>(&*self.store, &keys::attachments(&host)).await?;
            for stored in attached {
                if let Some((host, endpoint)) = keys::attached(&stored.key) {
                    had.entry(host).or_default().push((stored.value, endpoint));
                }
            }
        }
        missed.retain(|host, _| had.contains_key(host));
        for (host, endpoints) in had {
            let since = *missed.entry(host.clone()).or_insert_with(Instant::now);
            if since.elapsed() < after {
                continue;
            }
            let mut reaped = 0;
            for (network, endpoint) in endpoints {
                reaped +=
                    u32::from(self.reap_one(&host, &keys::endpoint(&network, &endpoint)).await?);
            }
            if reaped > 0 {
                tracing::warn!(%host, endpoints = reaped, "it is gone for good: reaped what it had");
            }
        }
        remembered.forget_old(&*self.store, Now::read()).await
    }

    /// Takes an endpoint from a dead host, and notes what it was; `false` if it has it no more, or is back.
    async fn reap_one(&self, host: &HostName, key: &str) -> Result<bool> {
        let Some(stored) = keys::get::<Endpoint>(&*self.store, key).await? else {
            return Ok(false);
        };
        let Some(owner) = stored.value.owner.as_ref().filter(|owner| owner.host == *host) else {
            return Ok(false);
        };
        let goes = owner.takes_along || stored.value.container.is_some();
        let txn = if goes {
            addresses::removal(&*self.store, &stored).await?
        } else {
            Self::disowned(&stored)
        };
        let reaped = Reaped { at: now(), endpoint: stored.value.clone() };
        let txn = txn
            .when(Guard::Absent(keys::host(host)))
            .put(format!("{}{}", keys::reaped(host), stored.value.id), keys::write(&reaped));
        let noted = if goes { self.note_endpoint_lease(&stored.value).await? } else { None };
        match self.store.commit(txn).await? {
            Outcome::Committed(_) => {
                let Endpoint { id, name, .. } = &stored.value;
                tracing::info!(service = %name, id = id.short(), %host, removed = goes, "reaped");
                self.settle_lease(id.as_str()).await;
                Ok(true)
            }
            Outcome::Conflict => {
                if noted.is_some() {
                    self.leases.forget(stored.value.id.as_str())?;
                }
                Ok(false)
            }
        }
    }

    /// Takes back what was taken from this host while it was away, and is still free, for sandboxes that are still there.
    /// The caller holds the lock.
    pub(super) async fn restore(&self) -> Result<()> {
        let of_this = keys::reaped(&self.config.host);
        for stored in keys::list::<Reaped>(&*self.store, &of_this).await? {
            let Reaped { endpoint, .. } = &stored.value;
            let Endpoint { name, id, owner, .. } = endpoint;
            let forgotten = Txn::new().when(stored.unchanged()).delete(stored.key.clone());
            let wanted = owner.as_ref().is_some_and(|owner| self.knows(&owner.sandbox, id));
            if wanted {
                let again = match self.owned_again(endpoint).await? {
                    Some(txn) => self.store.commit(txn.and(forgotten.clone())).await?,
                    None => Outcome::Conflict,
                };
                if let Outcome::Committed(_) = again {
                    tracing::info!(service = %name, id = id.short(), "taken back: this host was thought to be gone");
                    continue;
                }
                tracing::warn!(
                    service = %name, id = id.short(),
                    "lost: this host was thought to be gone, and others have its name or address now"
                );
            }
            self.store.commit(forgotten).await?;
        }
        Ok(())
    }

    /// Takes back what was taken, whenever the reconcile loop finds some of it missing.
    async fn restore_missing(&self, missing: &Notify) -> ! {
        loop {
            missing.notified().await;
            let one = self.operations.lock().await;
            let restored = self.restore().await;
            drop(one);
            // What is lost can be forgotten now.
            self.drivers.wake().notify_one();
            if let Err(error) = restored {
                tracing::warn!(%error, "cannot take back what was taken from this host; trying again");
                tokio::time::sleep(PERIOD.0).await;
                missing.notify_one();
            }
        }
    }

    /// What makes an endpoint this host's again as it was, if nobody has anything of it by then; nothing where somebody has.
    async fn owned_again(&self, endpoint: &Endpoint) -> Result<Option<Txn>> {
        let mut endpoint = endpoint.clone();
        if let Some(owner) = &mut endpoint.owner {
            owner.vteps = self.context.vteps();
        }
        let key = keys::endpoint(&endpoint.network, &endpoint.id);
        if let Some(stored) = keys::get::<Endpoint>(&*self.store, &key).await? {
            // People published it: it is there still, and free or another's.
            let free = stored.value.owner.is_none();
            return Ok(free.then(|| Self::ownership(&stored, &endpoint)));
        }
        let network = keys::get::<Network>(&*self.store, &keys::network(&endpoint.network)).await?;
        // What a plugin had given it has back, and may have given to others.
        let Some(network) = network.filter(|_| endpoint.lease.is_none()) else { return Ok(None) };
        let txn = Txn::new()
            .when(network.unchanged())
            .when(Guard::Absent(key.clone()))
            .put(key, keys::write(&endpoint));
        let take = |txn: Txn, held: Holding| {
            txn.when(Guard::Absent(held.key.clone())).put(held.key, held.value)
        };
        Ok(Some(holdings::of_endpoint(&endpoint).into_iter().fold(txn, take)))
    }
}

/// The endpoints that were taken from a host while it was away, and that it may have again.
pub(super) async fn taken(store: &dyn Store, host: &HostName) -> Result<BTreeSet<EndpointId>> {
    let reaped = keys::list::<Reaped>(store, &keys::reaped(host)).await?;
    Ok(reaped.into_iter().map(|stored| stored.value.endpoint.id).collect())
}

/// The hosts that are alive; nothing where that is not known.
fn alive(hosts: &Mirror<Host>) -> Option<BTreeSet<HostName>> {
    (hosts.complete && !hosts.damaged)
        .then(|| hosts.entries.values().map(|(host, _)| host.name.clone()).collect())
}
