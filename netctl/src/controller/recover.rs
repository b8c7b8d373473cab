//! What a daemon does first: it finishes what an earlier one was killed in the middle of.

use std::{collections::BTreeSet, time::Duration};

use super::{Controller, Result, keys, records::Record};
use crate::{
    kernel::Netns,
    model::{Endpoint, EndpointId, NetworkId},
    store::Outcome,
};

/// How long to wait before the store is asked again.
const PAUSE: Duration = Duration::from_millis(500);

impl Controller {
    /// Brings the host's records and the store to agree, as soon as the store can be reached.
    ///
    /// Sandboxes whose making did not end, or whose namespace is gone (as after a restart of the machine), are taken
    /// down. Endpoints that the store says are attached here, to sandboxes that are not, are released.
    pub(super) async fn recover(&self) {
        while let Err(error) = self.try_recover().await {
            tracing::warn!(%error, "cannot look up what this host has in the store; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_recover(&self) -> Result<()> {
        // Asked before operations are kept waiting: they are to fail at once while the store is away.
        self.store.get(&keys::host(&self.config.host)).await?;
        let _one = self.operations.lock().await;
        for record in self.records.all() {
            if record.pending.is_some() || !Netns::is_mounted(&record.sandbox.netns) {
                tracing::info!(sandbox = %record.sandbox.name, "taking down a sandbox that was left unfinished");
                // The kernel's side is swept by the reconcile loop's first pass.
                self.let_go(&record).await?;
                self.bury(&record).await?;
            }
        }
        let mut attached = BTreeSet::new();
        for stored in
            keys::list::<NetworkId>(&*self.store, &keys::attachments(&self.config.host)).await?
        {
            let id = stored.key.rsplit('/').next().and_then(|id| id.parse::<EndpointId>().ok());
            if let Some(id) = id
                && self.keep_or_release(&keys::endpoint(&stored.value, &id), &id).await?
            {
                attached.insert(id);
            }
        }
        for record in self.records.all() {
            self.records.update(&record.sandbox.id, |record| {
                record
                    .attachments
                    .retain(|attachment| attached.contains(&attachment.interface.endpoint));
            })?;
        }
        Ok(())
    }

    /// Releases an endpoint of this host whose sandbox does not know it; says whether it stays attached.
    async fn keep_or_release(&self, key: &str, id: &EndpointId) -> Result<bool> {
        while let Some(stored) = keys::get::<Endpoint>(&*self.store, key).await? {
            let Some(owner) =
                stored.value.owner.as_ref().filter(|owner| owner.host == self.config.host)
            else {
                return Ok(false);
            };
            let known =
                |record: &Record| record.attachments.iter().any(|a| a.interface.endpoint == *id);
            if self.records.get(&owner.sandbox).is_some_and(|record| known(&record)) {
                return self.refresh(&stored).await;
            }
            if self.give_up(&stored).await? {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Puts this host's address, which may have changed since, where others look for the endpoint.
    async fn refresh(&self, stored: &keys::Stored<Endpoint>) -> Result<bool> {
        let mut endpoint = stored.value.clone();
        if let Some(owner) = &mut endpoint.owner {
            owner.vtep = self.underlay.address.into();
        }
        if endpoint != stored.value {
            self.store.commit(Self::ownership(stored, &endpoint)).await?;
        }
        Ok(true)
    }

    /// Clears the owner of an endpoint; `false` if another changed it in the meantime.
    async fn give_up(&self, stored: &keys::Stored<Endpoint>) -> Result<bool> {
        let mut endpoint = stored.value.clone();
        endpoint.owner = None;
        Ok(self.store.commit(Self::ownership(stored, &endpoint)).await? != Outcome::Conflict)
    }
}
