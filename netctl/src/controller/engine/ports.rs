//! Ports that engines publish: not with the endpoint, but once it is its container's way out.

use super::endpoints::unknown;
use crate::{
    controller::{Controller, Error, Result, keys, keys::Stored, retry::Attempts},
    model::{Endpoint, EndpointId, Network, PublishedPort, ServiceRef, ServiceSpec},
    store::{Outcome, Txn},
};

impl Controller {
    /// Publishes these ports of an endpoint of this host's engine, and no others: they are open when this returns, or, where
    /// one of them is not to be had, none is.
    pub async fn publish_engine_ports(
        &self,
        id: &EndpointId,
        ports: &[PublishedPort],
    ) -> Result<()> {
        let known = self.engine_endpoint(id).await?;
        let known = known.filter(|(_, stored)| stored.value.owner.is_some());
        let Some((network, stored)) = known else {
            // What is not there has none.
            return if ports.is_empty() { Ok(()) } else { Err(unknown(id)) };
        };
        if stored.value.ports == ports {
            return Ok(());
        }
        let service = ServiceRef {
            service: stored.value.name.clone(),
            network: Some(network.name.clone()),
            driver: None,
        };
        let spec = ServiceSpec { ports: ports.to_vec(), ..ServiceSpec::of(service) };
        self.check_ports(&network, &spec, &stored.value.addresses)?;
        let _one = self.operations.lock().await;
        let changed = self.change_ports(&network, id, ports).await;
        if changed.is_err()
            && !ports.is_empty()
            && let Err(error) = self.change_ports(&network, id, &[]).await
        {
            tracing::warn!(id = id.short(), %error, "cannot take back ports that were not published");
        }
        changed
    }

    /// The same, by a caller that holds the lock.
    async fn change_ports(
        &self,
        network: &Network,
        id: &EndpointId,
        ports: &[PublishedPort],
    ) -> Result<()> {
        let key = keys::endpoint(&network.id, id);
        let mut attempts = Attempts::new("publish ports of", id.short());
        loop {
            let stored: Option<Stored<Endpoint>> = keys::get(&*self.store, &key).await?;
            let Some(stored) = stored else { return Ok(()) };
            let mut endpoint = Endpoint { ports: ports.to_vec(), ..stored.value.clone() };
            let bound = self.bind_ports(network, &endpoint).await?;
            let Some(owner) = &mut endpoint.owner else {
                return Err(Error::conflict(format!(
                    "service {} is detached: its ports cannot be published",
                    endpoint.name
                )));
            };
            owner.ports.clone_from(&bound);
            // Noted before they are taken, so that no other is given them.
            self.records.update(&owner.sandbox.clone(), |record| {
                for attachment in &mut record.attachments {
                    if attachment.interface.endpoint == *id {
                        attachment.interface.ports.clone_from(&bound);
                    }
                }
            })?;
            let txn = Txn::new().when(stored.unchanged()).put(key.clone(), keys::write(&endpoint));
            if let Outcome::Committed(revision) = self.store.commit(txn).await? {
                return self.settle(&endpoint, revision).await;
            }
            attempts.again().await?;
        }
    }
}
