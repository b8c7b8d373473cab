//! Connecting sandboxes of this host to networks: a service that is published for one, and attached, in one step.

use super::{
    Controller, Error, Result, find,
    keys::{self, Stored},
    records::Record,
    services,
};
use crate::model::{
    AttachSpec, ConnectSpec, Endpoint, EndpointId, Network, NetworkId, SandboxId, ServiceRef,
    ServiceSpec, ServiceView,
};

impl Controller {
    /// Publishes a service for a sandbox of this host, and attaches it: both, or nothing. It goes with the sandbox.
    pub async fn connect(&self, spec: ConnectSpec) -> Result<ServiceView> {
        let ConnectSpec { publish: spec, attach } = spec;
        let _one = self.operations.lock().await;
        let record = self.own_record(&attach.sandbox, "connect")?;
        let network = self.network_to_publish_on(&spec).await?;
        self.connect_to(&record, &network, &spec, &attach).await
    }

    /// As [`Self::connect`], by a caller that holds the lock and knows the sandbox and the network.
    pub(super) async fn connect_to(
        &self,
        record: &Record,
        network: &Network,
        spec: &ServiceSpec,
        attach: &AttachSpec,
    ) -> Result<ServiceView> {
        let known = |a: &&super::records::Attachment| {
            a.network == network.id && a.interface.service == spec.service.service
        };
        if record.attachments.iter().any(|attachment| known(&attachment)) {
            return Err(Error::conflict(format!(
                "sandbox {} is connected to network {} already, as service {}.{}",
                record.sandbox.name, network.name, spec.service.service, network.name
            )));
        }
        let id = &record.sandbox.id;
        // Noted before it is made, as in `provide`.
        let noted = (network.id.clone(), EndpointId::random());
        self.records.update(id, |record| record.connecting.push(noted.clone()))?;
        let service = ServiceRef { network: Some(network.name.clone()), ..spec.service.clone() };
        let made = async {
            self.publish_as(noted.1.clone(), network, spec, None).await?;
            self.attach_to(id, &service, attach).await
        };
        match made.await {
            Ok(view) => {
                self.records.update(id, |record| {
                    record.connecting.retain(|other| *other != noted);
                    record.published.push(noted);
                })?;
                Ok(view)
            }
            Err(error) => {
                if let Err(left) = self.give_up(id, &noted).await {
                    tracing::warn!(service = %service, error = %left, "cannot undo a failed connection now; trying again");
                }
                Err(error)
            }
        }
    }

    /// Takes a sandbox of this host off a network: what was published for it goes, all else is detached.
    pub async fn disconnect(&self, sandbox: &str, network: &str) -> Result<Vec<ServiceView>> {
        let _one = self.operations.lock().await;
        let record = self.own_record(sandbox, "disconnect")?;
        let network = find::network(&*self.store, &self.config.host, network).await?.value;
        let ends: Vec<&EndpointId> = record
            .attachments
            .iter()
            .filter(|attachment| attachment.network == network.id)
            .map(|attachment| &attachment.interface.endpoint)
            .collect();
        if ends.is_empty() {
            return Err(Error::forbidden(format!(
                "sandbox {} is not connected to network {}",
                record.sandbox.name, network.name
            )));
        }
        let (mut taken, mut failed) = (Vec::new(), None);
        for id in ends {
            match self.take_off(&record, &network.id, id).await {
                Ok(endpoint) => taken.extend(endpoint.map(|e| services::view(e, &network))),
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        failed.map_or(Ok(taken), Err)
    }

    /// Releases one endpoint of a sandbox, removes it if it was published for the sandbox, and waits until nothing of it
    /// is left here. Returns it, unless somebody else took it.
    pub(super) async fn take_off(
        &self,
        record: &Record,
        network: &NetworkId,
        id: &EndpointId,
    ) -> Result<Option<Endpoint>> {
        let sandbox = &record.sandbox.id;
        let key = keys::endpoint(network, id);
        let stored: Option<Stored<Endpoint>> = keys::get(&*self.store, &key).await?;
        let published = record.published.iter().any(|(_, other)| other == id);
        let released = self.let_one_go(sandbox, &key, published).await?;
        if let (Some(revision), Some(stored)) = (released, &stored) {
            self.settle_removal(&stored.value, revision).await?;
        }
        self.records.update(sandbox, |record| {
            record.attachments.retain(|a| a.interface.endpoint != *id);
            record.published.retain(|(_, other)| other != id);
        })?;
        let endpoint = stored.map(|stored| Endpoint { owner: None, ..stored.value });
        Ok(endpoint.filter(|_| released.is_some()))
    }

    /// Removes an endpoint that was to be connected, as far as it came to that, and forgets it.
    pub(super) async fn give_up(
        &self,
        sandbox: &SandboxId,
        noted: &(NetworkId, EndpointId),
    ) -> Result<()> {
        let (network, endpoint) = noted;
        self.let_one_go(sandbox, &keys::endpoint(network, endpoint), true).await?;
        self.records.update(sandbox, |record| {
            record.connecting.retain(|other| other != noted);
            record.attachments.retain(|a| a.interface.endpoint != *endpoint);
        })
    }
}
