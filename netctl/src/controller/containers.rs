//! Containers of CNI runtimes: a sandbox comes with the first network that its container joins, and goes with the last.
//!
//! A container is known by what its runtime calls it, and not by its namespace: that may be gone when the container
//! leaves, or be another one after the machine was started again.

use std::path::{Path, PathBuf};

use super::{
    Controller, Error, Kind, Result, keys,
    provide::Provided,
    records::{Attachment, Record},
};
use crate::{
    kernel::{Netns, NetnsId},
    model::{
        CniName, ContainerDevice, JoinSpec, JoinView, LeaveSpec, Name, Network, RetainSpec,
        SandboxSpec, ServiceRef, ServiceSpec, ServiceView,
    },
};

impl Controller {
    /// Joins a container to a network, with its sandbox and the network where they are not there: all, or nothing.
    pub async fn join(&self, spec: JoinSpec) -> Result<JoinView> {
        let _one = self.operations.lock().await;
        let netns = seen(&spec)?;
        if let Some(record) = self.records.of_container(&spec.container) {
            if record.pending.is_none() && id_of(&record.sandbox.netns) == id_of(&netns) {
                return self.join_again(&record, &spec).await;
            }
            // Nobody said that the container had gone, as when its machine was started again.
            self.dismantle(&record).await?;
        }
        let id = self
            .make_sandbox(SandboxSpec {
                name: self.free_sandbox_name(&spec.container),
                netns: Some(netns),
                dns: spec.dns.clone(),
                dns_search: spec.dns_search.clone(),
                dns_options: spec.dns_options.clone(),
                container: Some(spec.container.clone()),
                ..SandboxSpec::default()
            })
            .await?;
        let joined = async {
            if names_process(&spec) {
                self.records.update(&id, |record| record.inhabited = true)?;
            }
            let record = self.records.get(&id).ok_or_else(|| gone(&spec.container))?;
            let Provided { network, .. } = self.provide_network(&id, spec.network.clone()).await?;
            let view = self.join_network(&record, &network, &spec).await?;
            self.complete(&id)?;
            Ok(view)
        };
        match joined.await {
            Ok(view) => Ok(view),
            Err(error) => {
                self.take_back(&id).await;
                Err(error)
            }
        }
    }

    /// Joins a container that has a sandbox already.
    async fn join_again(&self, record: &Record, spec: &JoinSpec) -> Result<JoinView> {
        let id = &record.sandbox.id;
        if record.has_device(spec.device.as_str(), &[]) {
            return Err(Error::conflict(format!(
                "container {} has an interface {} already: choose another name, or have it leave by DEL first",
                spec.container, spec.device
            )));
        }
        let Provided { network, made } = self.provide_network(id, spec.network.clone()).await?;
        let joined = self.join_network(record, &network, spec).await;
        if joined.is_err()
            && made
            && let Err(error) = self.remove_network(network.id.as_str()).await
        {
            tracing::info!(network = %network.name, %error, "a network that was made for a container stays");
        }
        let view = joined?;
        self.records.update(id, |record| {
            let sandbox = &mut record.sandbox;
            if sandbox.dns.is_empty() {
                sandbox.dns.clone_from(&spec.dns);
            }
            if sandbox.dns_search.is_empty() {
                sandbox.dns_search.clone_from(&spec.dns_search);
            }
            if sandbox.dns_options.is_empty() {
                sandbox.dns_options.clone_from(&spec.dns_options);
            }
        })?;
        Ok(view)
    }

    async fn join_network(
        &self,
        record: &Record,
        network: &Network,
        spec: &JoinSpec,
    ) -> Result<JoinView> {
        if network.subnets.is_empty() {
            return Err(Error::unusable(format!(
                "network {} is of driver {}, which gives containers no interface: choose another",
                network.name, network.driver
            )));
        }
        let made = self.connect_by_free_name(record, network, spec).await?;
        let record = self.records.get(&record.sandbox.id);
        let mut attachments = record.into_iter().flat_map(|record| record.attachments);
        let Attachment { interface, gateways, .. } = attachments
            .find(|attachment| attachment.interface.endpoint == made.endpoint.id)
            .ok_or_else(|| gone(&spec.container))?;
        Ok(JoinView { interface, gateways })
    }

    /// Connects a container by the first of its names that is free: a service of another container may have the one that
    /// people gave it.
    async fn connect_by_free_name(
        &self,
        record: &Record,
        network: &Network,
        spec: &JoinSpec,
    ) -> Result<ServiceView> {
        let attach = spec.attach(record.sandbox.id.as_str());
        let mut names = service_names(spec).into_iter().peekable();
        while let Some(name) = names.next() {
            let key = keys::endpoint_name(&network.id, &name);
            let service =
                ServiceRef { service: name, network: Some(network.name.clone()), driver: None };
            let publish = ServiceSpec {
                service,
                container: Some(spec.container.clone()),
                ..spec.service.clone()
            };
            match self.connect_to(record, network, &publish, &attach).await {
                Err(error)
                    if error.kind == Kind::Conflict
                        && names.peek().is_some()
                        && self.store.get(&key).await?.is_some() => {}
                done => return done,
            }
        }
        Err(gone(&spec.container))
    }

    /// Has a container leave a network. What is not there has left.
    pub async fn leave(&self, spec: &LeaveSpec) -> Result<()> {
        let _one = self.operations.lock().await;
        self.leave_one(&spec.configuration, &spec.attachment).await
    }

    /// Has all leave that a network configuration made join, but those that are to stay. Goes on past errors and reports
    /// the first.
    pub async fn retain(&self, spec: &RetainSpec) -> Result<()> {
        let _one = self.operations.lock().await;
        let mut failed = None;
        for attachment in self.records.of_configuration(&spec.configuration) {
            if !spec.keep.contains(&attachment)
                && let Err(error) = self.leave_one(&spec.configuration, &attachment).await
            {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn leave_one(&self, configuration: &CniName, which: &ContainerDevice) -> Result<()> {
        let Some(record) = self.records.of_container(&which.container) else { return Ok(()) };
        let leaves = |attachment: &Attachment| {
            attachment.interface.configuration.as_ref() == Some(configuration)
                && attachment.interface.device.as_deref() == Some(which.device.as_str())
        };
        // What people attached by hand goes with the container.
        let stays = record
            .attachments
            .iter()
            .any(|attachment| attachment.interface.configuration.is_some() && !leaves(attachment));
        if record.pending.is_some() || !stays {
            return self.dismantle(&record).await;
        }
        for attachment in record.attachments.iter().filter(|attachment| leaves(attachment)) {
            self.take_off(&record, &attachment.network, &attachment.interface.endpoint).await?;
        }
        Ok(())
    }

    /// What a container's sandbox is called: the container's identifier as engines show it. None where that is another's.
    fn free_sandbox_name(&self, container: &CniName) -> Option<Name> {
        Name::near(container.as_str(), Name::LONGEST).filter(|name| !self.records.has_name(name))
    }
}

/// The first of the places where a container's namespace may be that has it for this daemon.
fn seen(spec: &JoinSpec) -> Result<PathBuf> {
    let (device, inode) = spec.netns_id;
    let is_it = |path: &&PathBuf| id_of(path) == Some(NetnsId { device, inode });
    spec.netns.iter().find(is_it).cloned().ok_or_else(|| {
        Error::unusable(format!(
            "container {} has its namespace where the daemon cannot see it: run the daemon with the mounts or the process \
             numbers that the runtime has",
            spec.container
        ))
    })
}

/// Whether the runtime knows the container's namespace by a process that is in it.
fn names_process(spec: &JoinSpec) -> bool {
    spec.netns.iter().any(|path| path.starts_with("/proc") && path.ends_with("ns/net"))
}

fn id_of(netns: &Path) -> Option<NetnsId> {
    Netns::open(netns).and_then(|netns| netns.id()).ok()
}

fn gone(container: &CniName) -> Error {
    Error::internal(format!("the sandbox of container {container} is gone"))
}

/// What a container's service may be called, the best first: as asked, with the container behind, with the interface
/// behind that.
fn service_names(spec: &JoinSpec) -> Vec<Name> {
    let wanted = spec.service.service.service.clone();
    let Some(container) = Name::near(spec.container.as_str(), Name::SHORT) else {
        return vec![wanted];
    };
    let mut names = vec![wanted.clone()];
    for end in [container.to_string(), format!("{container}-{}", spec.device)] {
        let room = Name::LONGEST.saturating_sub(end.len() + 1);
        let further = Name::near(wanted.as_str(), room).map(|begin| format!("{begin}-{end}"));
        names.extend(further.and_then(|text| Name::near(&text, Name::LONGEST)));
    }
    names
}
