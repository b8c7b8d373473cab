//! What a daemon does first: it finishes what an earlier one was killed in the middle of.

use std::{collections::BTreeMap, path::Path, time::Duration};

use super::{Controller, Result, keys, presence, records::Record};
use crate::{
    backoff::Backoff,
    kernel::{self, Netns},
    model::{Endpoint, EndpointId, Host, NetworkId, SandboxId},
    store::Outcome,
};

/// How long to wait before the store is asked again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

impl Controller {
    /// Brings the host's records and the store to agree, as soon as the store can be reached.
    ///
    /// Sandboxes whose making did not end, or whose namespace is gone (as after a restart of the machine), are taken
    /// down. Endpoints that the store says are attached here, to sandboxes that are not, are released.
    pub(super) async fn recover(&self, host: &Host) {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        while let Err(error) = self.try_recover(host).await {
            tracing::warn!(%error, "cannot look up what this host has in the store; trying again");
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    async fn try_recover(&self, host: &Host) -> Result<()> {
        // Asked before operations are kept waiting: they are to fail at once while the store is away. And what another
        // host of this name has is not this one's to release.
        presence::check_name(&self.store, host).await?;
        let _one = self.operations.lock().await;
        self.finish().await?;
        for record in self.records.all() {
            // Whether a container is there is for its engine to say.
            if !record.sandbox.foreign && is_gone(&record.sandbox.netns) {
                tracing::info!(sandbox = %record.sandbox.name, "its namespace is gone: taking it down");
                // The kernel's side is swept by the reconcile loop's first pass.
                self.let_go(&record).await?;
                self.delete_remains(&record).await?;
            }
        }
        self.restore().await?;
        let mut attached = BTreeMap::new();
        for stored in
            keys::list::<NetworkId>(&*self.store, &keys::attachments(&self.config.host)).await?
        {
            let id = stored.key.rsplit('/').next().and_then(|id| id.parse::<EndpointId>().ok());
            if let Some(id) = id
                && let Some(sandbox) =
                    self.keep_or_release(&keys::endpoint(&stored.value, &id), &id).await?
            {
                attached.insert(id, sandbox);
            }
        }
        for record in self.records.all() {
            let id = &record.sandbox.id;
            self.records.update(id, |record| {
                record.attachments.retain(|a| attached.get(&a.interface.endpoint) == Some(id));
            })?;
        }
        Ok(())
    }

    /// Releases an endpoint of this host whose sandbox does not know it; returns the sandbox of one that stays.
    async fn keep_or_release(&self, key: &str, id: &EndpointId) -> Result<Option<SandboxId>> {
        while let Some(stored) = keys::get::<Endpoint>(&*self.store, key).await? {
            let Some(owner) =
                stored.value.owner.as_ref().filter(|owner| owner.host == self.config.host)
            else {
                return Ok(None);
            };
            let known =
                |record: &Record| record.attachments.iter().any(|a| a.interface.endpoint == *id);
            let sandbox = owner.sandbox.clone();
            let keep = self.records.get(&owner.sandbox).is_some_and(|record| known(&record));
            if keep && self.refresh(&stored).await? {
                return Ok(Some(sandbox));
            }
            // What is of a container goes with that, and what was published for a sandbox with that.
            if !keep && (stored.value.container.is_some() || owner.takes_along) {
                self.let_one_go(&sandbox, key, true).await?;
                return Ok(None);
            }
            if !keep && self.store.commit(Self::disowned(&stored)).await? != Outcome::Conflict {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Puts this host's addresses, which may have changed since, where others look for the endpoint; `false` if another
    /// changed the endpoint in the meantime.
    async fn refresh(&self, stored: &keys::Stored<Endpoint>) -> Result<bool> {
        let mut endpoint = stored.value.clone();
        if let Some(owner) = &mut endpoint.owner {
            owner.vteps = self.vteps;
        }
        Ok(endpoint == stored.value
            || self.store.commit(Self::ownership(stored, &endpoint)).await? != Outcome::Conflict)
    }
}

/// Whether no namespace is there any more, as after a restart of the machine; not where it only cannot be opened now.
pub(super) fn is_gone(netns: &Path) -> bool {
    matches!(
        Netns::open(netns),
        Err(kernel::Error::NetnsMissing { .. } | kernel::Error::NotANetns { .. })
    )
}
