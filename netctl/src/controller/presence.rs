//! This host in the cluster: its key under its lease, and the list of all hosts.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Controller, Error, Result, keys};
use crate::{
    model::{Host, HostView},
    store::{self, LeaseId, SharedStore, Txn},
};

/// A host that was not heard of for this long is taken for dead.
const TTL: Duration = Duration::from_secs(15);
/// How often it says that it is alive: a third, so that one lost call does no harm.
const PERIOD: Duration = Duration::from_secs(5);

impl Controller {
    /// The hosts of the cluster, by name.
    pub async fn hosts(&self) -> Result<Vec<HostView>> {
        let mut hosts: Vec<HostView> = keys::list::<Host>(&*self.store, keys::HOSTS)
            .await?
            .into_iter()
            .map(|stored| HostView {
                this: stored.value.name == self.config.host,
                host: stored.value,
            })
            .collect();
        hosts.sort_by(|a, b| a.host.name.cmp(&b.host.name));
        Ok(hosts)
    }
}

/// Refuses a name that a live host with another address has. Says nothing while the store is away.
pub(super) async fn check_name(store: &SharedStore, host: &Host) -> Result<()> {
    match keys::get::<Host>(&**store, &keys::host(&host.name)).await {
        Ok(Some(other)) if other.value.vtep != host.vtep => Err(Error::conflict(format!(
            "host name {} is taken by the host with address {}: give this one another with --host-name",
            host.name, other.value.vtep
        ))),
        Ok(_) => Ok(()),
        Err(error) if error.kind == super::Kind::Unavailable => {
            tracing::warn!(%error, "starting without the store");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Keeps the host's key in the store until cancelled. The key is left to its lease then, so that a daemon that is
/// restarted is not missed in between.
pub(super) async fn keep(store: SharedStore, host: Host, cancel: CancellationToken) {
    let mut lease = None;
    loop {
        match beat(&store, &host, lease).await {
            Ok(held) => lease = Some(held),
            Err(store::Error::LeaseLost { .. }) => {
                tracing::info!("the host's lease has ended; taking another");
                lease = None;
                continue;
            }
            Err(error) => tracing::warn!(%error, "cannot tell the store that this host is alive"),
        }
        if cancel.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_none() {
            return;
        }
    }
}

async fn beat(
    store: &SharedStore,
    host: &Host,
    lease: Option<LeaseId>,
) -> Result<LeaseId, store::Error> {
    if let Some(lease) = lease {
        store.keep_alive(lease).await?;
        return Ok(lease);
    }
    let lease = store.grant(TTL).await?;
    store.commit(Txn::new().put_leased(keys::host(&host.name), keys::write(host), lease)).await?;
    Ok(lease)
}
