//! Waiting until the reconcile loop has done what follows from the store.

use std::time::Duration;

use super::{
    Controller, Error, Result,
    reconcile::{Progress, Service},
};
use crate::{model::Endpoint, store::Revision};

/// How long the kernel may take to follow the store.
const SETTLE: Duration = Duration::from_secs(15);

impl Controller {
    /// Waits until this host has taken notice that an endpoint is no longer its own, so that what is left of the
    /// attachment that was lost is not taken for a part of the next.
    pub(super) async fn settle_loss(&self, endpoint: &Endpoint) -> Result<()> {
        if endpoint.owner.as_ref().is_none_or(|owner| owner.host != self.config.host) {
            self.progress(|progress| !progress.endpoints.contains_key(&endpoint.id)).await?;
        }
        Ok(())
    }

    /// Waits until an endpoint of this host is as it was put in `revision`, or later; or until another took it.
    pub(super) async fn settle(&self, endpoint: &Endpoint, revision: Revision) -> Result<()> {
        let lost = |progress: &Progress| {
            progress.revision >= revision
                && progress.networks.get(&endpoint.network).is_none_or(|seen| *seen >= revision)
                && !progress.endpoints.contains_key(&endpoint.id)
        };
        let served = |progress: &Progress| {
            let (at, service) = progress.endpoints.get(&endpoint.id)?;
            (*at >= revision && *service != Service::Pending).then(|| service.clone())
        };
        let outcome = |progress: &Progress| match served(progress) {
            Some(service) => Some(Some(service)),
            None => lost(progress).then_some(None),
        };
        match self.progress_to(outcome).await? {
            Some(Service::Ready) => Ok(()),
            Some(Service::Failed(reason)) => Err(Error::internal(reason)),
            Some(Service::Pending) | None => Err(Error::conflict(format!(
                "service {} was taken away by another while it was being attached",
                endpoint.name
            ))),
        }
    }

    /// Waits until nothing of an endpoint is left on this host, after the transaction of `revision` that took it away.
    pub(super) async fn settle_removal(
        &self,
        endpoint: &Endpoint,
        revision: Revision,
    ) -> Result<()> {
        if endpoint.owner.as_ref().is_some_and(|owner| owner.host == self.config.host) {
            let gone = |progress: &Progress| {
                progress.revision >= revision && !progress.endpoints.contains_key(&endpoint.id)
            };
            self.progress(gone).await?;
        }
        Ok(())
    }

    /// Waits until the reconcile loop has come that far.
    pub(super) async fn progress(&self, mut reached: impl FnMut(&Progress) -> bool) -> Result<()> {
        self.progress_to(|progress| reached(progress).then_some(())).await
    }

    /// Waits until the reconcile loop has come so far that it can be told.
    async fn progress_to<T>(&self, mut told: impl FnMut(&Progress) -> Option<T>) -> Result<T> {
        let mut progress = self.progress.clone();
        let mut outcome = None;
        loop {
            let reached = progress.wait_for(|progress| {
                outcome = told(progress);
                outcome.is_some()
            });
            let waited = tokio::time::timeout(SETTLE, reached).await.map(|reached| reached.is_ok());
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
            return match waited {
                Ok(_closed) => Err(Error::internal("the daemon is stopping")),
                // A plugin has a time limit of its own.
                Err(_elapsed) if self.progress.borrow().is_pending() => continue,
                Err(_elapsed) => Err(Error::internal(format!(
                    "the host has not followed the store within {} seconds: see the daemon's log",
                    SETTLE.as_secs()
                ))),
            };
        }
    }
}
