//! Giving sandboxes the interfaces of their endpoints.

use std::collections::BTreeMap;

use super::{Reconciler, failures::Failures, look::Own, pass::Work};
use crate::{
    drivers::{self, Joined, Place},
    kernel::Netns,
    model::{EndpointId, SandboxId},
};

/// An endpoint's interface that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Built {
    pub(super) sandbox: SandboxId,
    pub(super) joined: Joined,
}

impl Built {
    /// The host's side of it, by index.
    pub(super) fn port_index(&self) -> Option<u32> {
        self.joined.port.as_ref().map(|port| port.index)
    }
}

impl Reconciler {
    /// Has each endpoint of this host have its interface.
    pub(super) async fn join(
        &mut self,
        own: &BTreeMap<EndpointId, Own>,
        work: &Work,
        failures: &mut Failures,
    ) {
        for id in &work.endpoints {
            let built = self.built.get(id);
            let Some(own) = own.get(id) else {
                self.unbuild(id);
                continue;
            };
            match built {
                Some(built) if built.sandbox != own.sandbox => self.unbuild(id),
                Some(_) if !work.suspects.contains(id) => continue,
                _ => {}
            }
            if let Some(swept) = &mut self.swept {
                swept.endpoints.insert(id.clone());
            }
            match self.join_one(own).await {
                Ok(joined) => self.build(own, joined),
                Err(Undone::Pending) => failures.pending(id),
                // What stood before is left to stand: the failure may be the host's, and pass.
                Err(Undone::Failed(reason)) => failures.endpoint(id, reason),
            }
        }
    }

    /// Notes that an interface stands.
    fn build(&mut self, Own { endpoint, sandbox, .. }: &Own, joined: Joined) {
        let id = &endpoint.id;
        let built = Built { sandbox: sandbox.clone(), joined };
        let before = self.built.get(id);
        if before == Some(&built) {
            return;
        }
        if before.is_some_and(|before| before.joined.port.is_some()) && built.joined.port.is_none()
        {
            tracing::info!(
                service = %endpoint.name, id = id.short(),
                "its interface went with a container: it waits for the engine to say so"
            );
        }
        self.unbuild(id);
        self.rebuilt.insert(id.clone());
        self.built.insert(id.clone(), built);
    }

    /// Notes that an interface does not stand, or is not known to.
    pub(super) fn unbuild(&mut self, id: &EndpointId) {
        let Some((id, built)) = self.built.remove_entry(id) else { return };
        self.rebuilt.insert(id);
        if let Some(index) = built.port_index() {
            self.raised.remove(&index);
        }
    }

    async fn join_one(&self, own: &Own) -> Result<Joined, Undone> {
        let endpoint = &own.endpoint;
        let followed = self.followed.get(&endpoint.network).ok_or("its network is not followed")?;
        let record = self.records.get(&own.sandbox).ok_or("its sandbox is not on this host")?;
        let attachment = record
            .attachments
            .iter()
            .find(|attachment| attachment.interface.endpoint == endpoint.id)
            .ok_or("its sandbox does not know it")?;
        let device = attachment.interface.device.as_deref().unwrap_or_default();
        if followed.presence.is_none() {
            return Err(Undone::Pending);
        }
        let driver = self.drivers.get(&followed.network.driver);
        if record.sandbox.foreign {
            let fresh = attachment.unsettled;
            return Ok(driver.hand_over(&self.context, &followed.network, endpoint, fresh).await?);
        }
        let path = &record.sandbox.netns;
        let netns = Netns::open(path).map_err(|error| error.to_string())?;
        let insides = &self.insides;
        let place = Place { netns: &netns, insides, path, device, named: attachment.named };
        let joined = driver.join(&self.context, &followed.network, endpoint, place).await?;
        let device = joined.device.as_deref().unwrap_or(device);
        if attachment.interface.device.as_deref() != Some(device) && joined.device.is_some() {
            let renamed = self.records.update(&own.sandbox, |record| {
                for attachment in &mut record.attachments {
                    if attachment.interface.endpoint == endpoint.id {
                        attachment.interface.device = Some(device.to_owned());
                    }
                }
            });
            renamed.map_err(|error| error.to_string())?;
        }
        for sysctl in &attachment.sysctls {
            netns
                .set_sysctl(&sysctl.path_of(device), sysctl.value())
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(joined)
    }
}

/// Why an endpoint has not joined.
enum Undone {
    Pending,
    Failed(String),
}

impl From<drivers::Error> for Undone {
    fn from(error: drivers::Error) -> Self {
        if matches!(error, drivers::Error::Pending) {
            Self::Pending
        } else {
            Self::Failed(error.to_string())
        }
    }
}

impl From<String> for Undone {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl From<&str> for Undone {
    fn from(reason: &str) -> Self {
        Self::Failed(reason.to_owned())
    }
}
