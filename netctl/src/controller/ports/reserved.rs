//! Ports of the host that were chosen for an endpoint before it is attached, since a plugin is told of them before.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Holder;
use crate::{
    controller::{Controller, Result},
    model::{AttachSpec, BoundPort, Endpoint, EndpointId, Network, SandboxId},
};

/// Who will have them. A daemon that dies with some has told nobody but a plugin, which is told the opposite.
#[derive(Debug, Default)]
pub(in crate::controller) struct Reserved(Mutex<BTreeMap<EndpointId, Holder>>);

impl Reserved {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<EndpointId, Holder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<Holder> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn of(&self, endpoint: &EndpointId) -> Option<Vec<BoundPort>> {
        self.lock().get(endpoint).map(|holder| holder.attachment.interface.ports.clone())
    }

    /// Says that from now on the record of its sandbox tells which ports an endpoint has.
    pub(in crate::controller) fn free(&self, endpoint: &EndpointId) {
        self.lock().remove(endpoint);
    }
}

impl Controller {
    /// Has the ports of an endpoint that is about to be attached be its own until [`Reserved::free`], and says which they
    /// are.
    pub(in crate::controller) async fn reserve_ports(
        &self,
        sandbox: &SandboxId,
        network: &Network,
        endpoint: &Endpoint,
        how: &AttachSpec,
    ) -> Result<Vec<BoundPort>> {
        let _one = self.operations.lock().await;
        let record = self.records.find(sandbox.as_str())?;
        let attachment = self.attachment(&record, network, endpoint, how).await?;
        let ports = attachment.interface.ports.clone();
        let holder = Holder { sandbox: sandbox.clone(), attachment };
        self.reserved.lock().insert(endpoint.id.clone(), holder);
        Ok(ports)
    }
}
