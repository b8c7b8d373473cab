//! Attaching services to sandboxes of this host, and detaching them.
//!
//! Who owns an endpoint is decided in the store, by compare-and-set; the kernel follows. An operation here changes the
//! store and then waits until the reconcile loop has done what follows from it.

use std::sync::Arc;

use super::{
    Controller, Error, Result, find,
    keys::{self, Stored},
    records::{Attachment, Record},
    retry::Attempts,
    services,
};
use crate::{
    drivers::Driver,
    kernel::{Netlink, Netns},
    model::{
        self, AttachSpec, BoundPort, Endpoint, EndpointId, InterfaceView, Network, NetworkId,
        Owner, SandboxId, ServiceRef, ServiceView,
    },
    store::{Outcome, Revision, Txn},
};

impl Controller {
    /// Attaches a service to a sandbox of this host; one that is attached elsewhere only by force.
    pub async fn attach(&self, service: &ServiceRef, how: &AttachSpec) -> Result<ServiceView> {
        let ready = self.prepare(service, how).await?;
        let _one = self.operations.lock().await;
        let attached = async {
            let record = self.own_record(&how.sandbox, "attach services to")?;
            self.attach_to(&record.sandbox.id, service, how).await
        };
        let attached = attached.await;
        if let Some((driver, endpoint)) = ready {
            driver.prepared(&endpoint);
            self.reserved.free(&endpoint);
        }
        attached
    }

    /// Has the driver make ready what it can before others are kept waiting. What is not free, or does not fit, is left to
    /// [`Self::attach_to`], which says why.
    async fn prepare(
        &self,
        service: &ServiceRef,
        how: &AttachSpec,
    ) -> Result<Option<(Arc<dyn Driver>, EndpointId)>> {
        let sandbox = self.records.find(&how.sandbox)?.sandbox;
        let (network, stored) = find::service(&*self.store, &self.config.host, service).await?;
        let (network, mut endpoint) = (network.value, stored.value);
        let fits = self.check_here(&network, "attach").is_ok()
            && self.check_stack(&sandbox.id, &network, &endpoint).is_ok();
        if !fits || endpoint.owner.is_some() || endpoint.vtep.is_some() {
            return Ok(None);
        }
        let driver = self.drivers.get(&network.driver);
        if driver.leads_ports() && !endpoint.ports.is_empty() {
            let ports = self.reserve_ports(&sandbox.id, &network, &endpoint, how).await?;
            endpoint.owner = Some(self.owner(&sandbox.id, ports));
        }
        let prepared = driver.prepare(&self.context, &network, &endpoint, &sandbox.netns).await;
        if prepared.is_err() {
            self.reserved.free(&endpoint.id);
        }
        prepared?;
        Ok(Some((driver, endpoint.id)))
    }

    /// As [`Self::attach`], by a caller that holds the lock and knows the sandbox.
    pub(super) async fn attach_to(
        &self,
        sandbox: &SandboxId,
        service: &ServiceRef,
        how: &AttachSpec,
    ) -> Result<ServiceView> {
        if let Some(alias) = model::ambiguous(&how.aliases) {
            return Err(Error::unusable(format!(
                "alias {alias} stands for several services: give each alias of an attachment once"
            )));
        }
        let mut attempts = Attempts::new("attach", service);
        loop {
            let (network, stored) = find::service(&*self.store, &self.config.host, service).await?;
            self.check_here(&network.value, "attach")?;
            self.check_stack(sandbox, &network.value, &stored.value)?;
            self.settle_loss(&stored.value).await?;
            let record = self
                .records
                .get(sandbox)
                .ok_or_else(|| Error::not_found(format!("sandbox {} is gone", sandbox.short())))?;
            check_owner(&record, &network.value, &stored.value, how.force)?;
            self.forget_strays(&stored.value)?;
            let attachment = self.attachment(&record, &network.value, &stored.value, how).await?;
            let mut endpoint = stored.value.clone();
            let ports = attachment.interface.ports.clone();
            let takes_along = record.takes_along(&endpoint.id);
            endpoint.owner = Some(Owner { takes_along, ..self.owner(sandbox, ports) });
            self.records.update(sandbox, |record| record.attachments.push(attachment))?;
            let done = match self.store.commit(Self::ownership(&stored, &endpoint)).await {
                Ok(Outcome::Committed(revision)) => self.settle(&endpoint, revision).await,
                Ok(Outcome::Conflict) => {
                    self.forget(sandbox, &endpoint.id)?;
                    attempts.again().await?;
                    continue;
                }
                Err(error) => Err(error.into()),
            };
            if let Err(error) = done {
                self.drivers.get(&network.value.driver).prepared(&endpoint.id);
                self.take_back_attachment(sandbox, &endpoint).await;
                return Err(error);
            }
            self.records.update(sandbox, |record| {
                for attachment in &mut record.attachments {
                    attachment.unsettled &= attachment.interface.endpoint != endpoint.id;
                }
            })?;
            // Whom it was taken from needs it no more, now that it is this one's for good.
            let former = stored.value.owner.filter(|owner| owner.host == self.config.host);
            if let Some(former) = former
                && let Err(error) = self.forget(&former.sandbox, &endpoint.id)
            {
                tracing::warn!(%error, "a sandbox still has what was taken from it in its record");
            }
            tracing::info!(
                service = %endpoint.name, network = %network.value.name, sandbox = %record.sandbox.name, "attached"
            );
            return Ok(services::view(endpoint, &network.value));
        }
    }

    /// Detaches a service from a sandbox of this host.
    pub async fn detach(&self, sandbox: &str, service: &ServiceRef) -> Result<ServiceView> {
        let _one = self.operations.lock().await;
        let record = self.own_record(sandbox, "detach services from")?;
        let mut attempts = Attempts::new("detach", service);
        loop {
            let (network, stored) = find::service(&*self.store, &self.config.host, service).await?;
            if stored.value.owner.as_ref().is_none_or(|owner| owner.sandbox != record.sandbox.id) {
                return Err(Error::forbidden(format!(
                    "service {}.{} is not attached to sandbox {}",
                    stored.value.name, network.value.name, record.sandbox.name
                )));
            }
            if let Some(endpoint) = self.release(&stored).await? {
                self.forget(&record.sandbox.id, &endpoint.id)?;
                tracing::info!(
                    service = %endpoint.name, network = %network.value.name, sandbox = %record.sandbox.name, "detached"
                );
                return Ok(services::view(endpoint, &network.value));
            }
            attempts.again().await?;
        }
    }

    /// Clears the owner of an endpoint of this host and waits until its interface is gone; nothing if another changed
    /// the endpoint in the meantime.
    pub(super) async fn release(&self, stored: &Stored<Endpoint>) -> Result<Option<Endpoint>> {
        match self.store.commit(Self::disowned(stored)).await? {
            Outcome::Committed(revision) => {
                self.settle_removal(&stored.value, revision).await?;
                Ok(Some(Endpoint { owner: None, ..stored.value.clone() }))
            }
            Outcome::Conflict => Ok(None),
        }
    }

    /// What changes an endpoint's owner, with the index that its host watches.
    pub(super) fn ownership(stored: &Stored<Endpoint>, changed: &Endpoint) -> Txn {
        let mut txn =
            Txn::new().when(stored.unchanged()).put(stored.key.clone(), keys::write(changed));
        let new = changed.owner.as_ref().map(|owner| &owner.host);
        if let Some(old) = &stored.value.owner
            && Some(&old.host) != new
        {
            txn = txn.delete(keys::attachment(&old.host, &changed.id));
        }
        if let Some(host) = new {
            txn = txn.put(keys::attachment(host, &changed.id), keys::write(&changed.network));
        }
        txn
    }

    /// What clears an endpoint's owner.
    pub(super) fn disowned(stored: &Stored<Endpoint>) -> Txn {
        Self::ownership(stored, &Endpoint { owner: None, ..stored.value.clone() })
    }

    fn owner(&self, sandbox: &SandboxId, ports: Vec<BoundPort>) -> Owner {
        let host = self.config.host.clone();
        Owner {
            host,
            sandbox: sandbox.clone(),
            vteps: self.context.vteps(),
            ports,
            takes_along: false,
        }
    }

    /// Takes back an attachment that did not come to be, and waits until the kernel has followed.
    async fn take_back_attachment(&self, sandbox: &SandboxId, endpoint: &Endpoint) {
        let undone = async {
            match self.undo(sandbox, &endpoint.network, &endpoint.id).await? {
                // How it fares there is no matter of this one's.
                Some((revision, Some(_former))) => {
                    drop(self.settle(endpoint, revision).await);
                    Ok(())
                }
                Some((revision, None)) => self.settle_removal(endpoint, revision).await,
                None => Ok(()),
            }
        };
        if let Err(error) = undone.await {
            tracing::warn!(service = %endpoint.name, %error, "cannot undo a failed attachment now; trying again");
        }
    }

    /// Takes an endpoint from a sandbox that was to have it, whether it came to that or not, and forgets it there. It is
    /// again with the sandbox of this host that it was to be taken from, if there is one, or else released. Returns the
    /// revision of that, if there was something to take, and who has it again.
    pub(super) async fn undo(
        &self,
        sandbox: &SandboxId,
        network: &NetworkId,
        endpoint: &EndpointId,
    ) -> Result<Option<(Revision, Option<Owner>)>> {
        let key = keys::endpoint(network, endpoint);
        let mut taken = None;
        while let Some(stored) = keys::get::<Endpoint>(&*self.store, &key).await? {
            let ours = stored.value.owner.as_ref().is_some_and(|owner| owner.sandbox == *sandbox);
            let former = self.former(sandbox, endpoint).filter(|_| ours);
            let txn = if ours {
                let owner = former.clone();
                Self::ownership(&stored, &Endpoint { owner, ..stored.value.clone() })
            } else {
                // It is put as it is, for its new revision: a transaction of ours that has not been answered may still
                // be under way, and must lose.
                Txn::new().when(stored.unchanged()).put(key.clone(), keys::write(&stored.value))
            };
            if let Outcome::Committed(revision) = self.store.commit(txn).await? {
                taken = ours.then_some((revision, former));
                break;
            }
        }
        self.forget(sandbox, endpoint)?;
        Ok(taken)
    }

    /// Has no record but the owner's have an endpoint: what is left of a loss would be taken for whom it is taken from.
    fn forget_strays(&self, endpoint: &Endpoint) -> Result<()> {
        let owner = endpoint.owner.as_ref().map(|owner| &owner.sandbox);
        let settled = |of: &Attachment| of.interface.endpoint == endpoint.id && !of.unsettled;
        let strays = self.records.each(|record| {
            let id = &record.sandbox.id;
            (Some(id) != owner && record.attachments.iter().any(settled)).then(|| id.clone())
        });
        strays.iter().flatten().try_for_each(|sandbox| self.forget(sandbox, &endpoint.id))
    }

    /// What the owner of an endpoint was that a sandbox was to take from another of this host: that keeps its attachment until
    /// it is known what becomes of it.
    fn former(&self, taker: &SandboxId, endpoint: &EndpointId) -> Option<Owner> {
        let had = |record: &Record| {
            let settled = |of: &&Attachment| of.interface.endpoint == *endpoint && !of.unsettled;
            let had = record.attachments.iter().find(settled)?;
            let owner = self.owner(&record.sandbox.id, had.interface.ports.clone());
            let takes_along = record.takes_along(endpoint);
            (record.sandbox.id != *taker).then_some(Owner { takes_along, ..owner })
        };
        self.records.each(had).into_iter().flatten().next()
    }

    /// The host's own stack and what others join do not go together.
    fn check_stack(
        &self,
        sandbox: &SandboxId,
        network: &Network,
        endpoint: &Endpoint,
    ) -> Result<()> {
        let Some(Record { sandbox, .. }) = self.records.get(sandbox) else { return Ok(()) };
        let service = format!("{}.{}", endpoint.name, network.name);
        match (sandbox.host_stack, self.drivers.get(&network.driver).is_host()) {
            (true, false) => Err(Error::forbidden(format!(
                "sandbox {} is the host's own network stack, which joins no other network: \
                 attach service {service} to another sandbox",
                sandbox.name
            ))),
            (false, true) => Err(Error::forbidden(format!(
                "service {service} is for the host's own network stack, which sandbox {} is not: \
                 make one with `netctl sandbox create --host`",
                sandbox.name
            ))),
            _ => Ok(()),
        }
    }

    pub(super) async fn attachment(
        &self,
        record: &Record,
        network: &Network,
        endpoint: &Endpoint,
        how: &AttachSpec,
    ) -> Result<Attachment> {
        if let Some(sysctl) = how.sysctls.iter().find(|sysctl| !sysctl.is_of_interface()) {
            return Err(Error::unusable(format!(
                "sysctl {sysctl} is of the whole sandbox: name the interface as IFNAME, or give it to \
                 `netctl sandbox create`"
            )));
        }
        // A namespace that others made may have interfaces of its own; and who chooses a name may choose one of them.
        let links = if record.sandbox.foreign || record.sandbox.owned && how.device.is_none() {
            Vec::new()
        } else {
            Netlink::open(&Netns::open(&record.sandbox.netns)?).await?.links().await?
        };
        let device = match &how.device {
            Some(_) if endpoint.addresses.is_empty() => {
                return Err(Error::unusable(format!(
                    "network {} gives no interface that could have a name: leave out --ifname",
                    network.name
                )));
            }
            Some(device) if record.has_device(device.as_str(), &links) => {
                return Err(Error::conflict(format!(
                    "sandbox {} has an interface {device} already: choose another name",
                    record.sandbox.name
                )));
            }
            Some(device) => Some(device.to_string()),
            // How it is called there is the engine's choice.
            None if record.sandbox.foreign => None,
            None => (!endpoint.addresses.is_empty()).then(|| record.free_device(&links)),
        };
        Ok(Attachment {
            unsettled: true,
            network: network.id.clone(),
            gateways: network.subnets.iter().map(|subnet| subnet.gateway).collect(),
            interface: InterfaceView {
                device,
                service: endpoint.name.clone(),
                endpoint: endpoint.id.clone(),
                network: network.name.clone(),
                mac: endpoint.mac,
                addresses: endpoint.addresses.clone(),
                gw_priority: how.gw_priority,
                aliases: how.aliases.clone(),
                ports: self.bind_ports(network, endpoint).await?,
                configuration: how.configuration.clone(),
            },
            named: how.device.is_some(),
            sysctls: how.sysctls.clone(),
        })
    }

    /// A sandbox that is netctl's to `verb`, and not a container engine's.
    pub(super) fn own_record(&self, sandbox: &str, verb: &str) -> Result<Record> {
        let record = self.records.find(sandbox)?;
        if record.sandbox.foreign {
            return Err(Error::forbidden(format!(
                "sandbox {} is a container's, which netctl cannot {verb}: use `docker`",
                record.sandbox.name
            )));
        }
        Ok(record)
    }

    pub(super) fn forget(&self, sandbox: &SandboxId, endpoint: &EndpointId) -> Result<()> {
        self.records.update(sandbox, |record| {
            record.attachments.retain(|a| a.interface.endpoint != *endpoint);
        })
    }
}

fn check_owner(record: &Record, network: &Network, endpoint: &Endpoint, force: bool) -> Result<()> {
    if let Some(vtep) = endpoint.vtep {
        return Err(Error::forbidden(format!(
            "service {}.{} is a station at {vtep}, which is no host of netctl's: it cannot be attached",
            endpoint.name, network.name
        )));
    }
    let Some(owner) = &endpoint.owner else { return Ok(()) };
    if owner.sandbox == record.sandbox.id {
        return Err(Error::conflict(format!(
            "service {}.{} is attached to sandbox {} already",
            endpoint.name, network.name, record.sandbox.name
        )));
    }
    if force {
        return Ok(());
    }
    Err(Error::forbidden(format!(
        "service {}.{} is attached to sandbox {} on host {}: detach it there first, or use --force",
        endpoint.name,
        network.name,
        owner.sandbox.short(),
        owner.host
    )))
}
