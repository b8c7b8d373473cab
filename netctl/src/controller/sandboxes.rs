//! Sandboxes: create, run, list, inspect, remove.

use std::path::PathBuf;

use super::{
    Controller, Error, Result, addresses, files, find, keys, netns_names, now,
    provide::Provided,
    records::{Pending, Record},
};
use crate::{
    kernel::{self, Netns},
    model::{
        AttachSpec, Endpoint, EndpointId, Name, NetworkSpec, RunSpec, SCHEMA, Sandbox, SandboxId,
        SandboxSpec, SandboxView, ServiceRef, ServiceSpec,
    },
    store::{Outcome, Revision},
};

impl Controller {
    /// Creates a sandbox.
    pub async fn create_sandbox(&self, spec: SandboxSpec) -> Result<SandboxView> {
        let _one = self.operations.lock().await;
        let id = self.make_sandbox(spec).await?;
        self.complete(&id)
    }

    /// Creates a sandbox with services, networks included, all or nothing.
    pub async fn run(&self, spec: RunSpec) -> Result<SandboxView> {
        let _one = self.operations.lock().await;
        let host_stack = spec.sandbox.host_stack || self.needs_host(&spec.publish).await?;
        let id = self.make_sandbox(SandboxSpec { host_stack, ..spec.sandbox }).await?;
        let done = async {
            for service in &spec.publish {
                self.provide(&id, service).await?;
            }
            self.complete(&id)
        };
        match done.await {
            Ok(view) => Ok(view),
            Err(error) => {
                self.take_back(&id).await;
                Err(error)
            }
        }
    }

    pub(super) async fn make_sandbox(&self, spec: SandboxSpec) -> Result<SandboxId> {
        let id = SandboxId::random();
        let name = match spec.name {
            Some(name) => name,
            None => id.short().parse().expect("hexadecimal digits are a name"),
        };
        let given = self.given(&name, spec.netns, spec.pid, spec.host_stack)?;
        let bound = self.config.netns_dir.join(id.as_str());
        let sandbox = Sandbox {
            schema: SCHEMA,
            id: id.clone(),
            name,
            netns: match &given {
                Some(Given { lasting: Some(path), .. }) => path.clone(),
                _ => bound,
            },
            owned: given.is_none(),
            host_stack: given.as_ref().is_some_and(|given| given.host_stack),
            foreign: false,
            dns: spec.dns,
            dns_search: spec.dns_search,
            dns_options: spec.dns_options,
            hostname: spec.hostname,
            extra_hosts: spec.extra_hosts,
            sysctls: spec.sysctls,
            container: spec.container,
            created: now(),
        };
        if sandbox.host_stack && !sandbox.sysctls.is_empty() {
            return Err(Error::unusable(format!(
                "sandbox {} is the host's own network stack: set the host's sysctls with sysctl(8)",
                sandbox.name
            )));
        }
        if let Some(sysctl) = sandbox.sysctls.iter().find(|sysctl| sysctl.is_of_interface()) {
            return Err(Error::unusable(format!(
                "sysctl {sysctl} is of an interface: give it to `netctl service attach`"
            )));
        }
        self.records.insert(Record {
            sandbox: sandbox.clone(),
            published: Vec::new(),
            attachments: Vec::new(),
            connecting: Vec::new(),
            pending: Some(Pending::default()),
            inhabited: false,
            elsewhere: false,
        })?;
        if let Err(error) = self.furnish(&sandbox, given).await {
            self.take_back(&id).await;
            return Err(error);
        }
        Ok(id)
    }

    /// Whether one of these services is on a network, made already or not, whose endpoints are the host's own stack.
    async fn needs_host(&self, services: &[ServiceSpec]) -> Result<bool> {
        for ServiceSpec { service, .. } in services {
            let Some(name) = &service.network else { continue };
            let driver = match find::network(&*self.store, &self.config.host, name.as_str()).await {
                Ok(network) => Some(network.value.driver),
                Err(error) if error.kind == super::Kind::NotFound => service.driver.clone(),
                Err(error) => return Err(error),
            };
            if let Some(driver) = driver
                && self.drivers.get(&driver).is_host()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes or holds a sandbox's namespace, names it for others, and sets it as it was asked.
    async fn furnish(&self, sandbox: &Sandbox, given: Option<Given>) -> Result<()> {
        let netns = match given {
            None => Netns::create(&sandbox.netns).await?,
            Some(Given { netns, lasting: None, .. }) => {
                netns.bind(&sandbox.netns).await?;
                netns
            }
            Some(Given { netns, .. }) => netns,
        };
        let dir = &self.config.netns_dir;
        netns_names::link(dir, sandbox).map_err(|error| {
            Error::internal(format!("cannot name a namespace in {}: {error}", dir.display()))
        })?;
        for sysctl in &sandbox.sysctls {
            netns
                .set_sysctl(sysctl.path(), sysctl.value())
                .await
                .map_err(|error| Error::unusable(error.to_string()))?;
        }
        Ok(())
    }

    /// The namespace that a sandbox is to be, where one is given.
    fn given(
        &self,
        name: &Name,
        path: Option<PathBuf>,
        pid: Option<u32>,
        host_stack: bool,
    ) -> Result<Option<Given>> {
        let own = self.context.netlink.netns();
        let unusable = |error: kernel::Error| Error::unusable(error.to_string());
        let (netns, lasting) = match (path, pid) {
            (None, None) if host_stack => (own.clone(), None),
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(Error::unusable(
                    "a sandbox has one namespace: give its path or a process",
                ));
            }
            // What is below /proc goes with its process, whose number another gets then.
            (Some(path), None) => (
                Netns::open(&path).map_err(unusable)?,
                Some(path).filter(|path| !path.starts_with("/proc")),
            ),
            (None, Some(pid)) => {
                let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
                let netns = Netns::open(&path).map_err(|error| {
                    if matches!(error, kernel::Error::NetnsMissing { .. }) {
                        return Error::unusable(format!("there is no process {pid}"));
                    }
                    unusable(error)
                })?;
                (netns, None)
            }
        };
        let id = netns.id()?;
        let is_own = id == own.id()?;
        if host_stack && !is_own {
            return Err(Error::unusable(format!(
                "sandbox {name} is to be the host's own network stack, which is not what was given: \
                 leave the namespace out",
            )));
        }
        // The host's own stack may be shared: nothing is put into it.
        let taken = |record: &Record| {
            Netns::open(&record.sandbox.netns).and_then(|netns| netns.id()).ok() == Some(id)
        };
        if !is_own && let Some(record) = self.records.all().into_iter().find(taken) {
            return Err(Error::forbidden(format!(
                "the namespace is that of sandbox {} already",
                record.sandbox.name
            )));
        }
        Ok(Some(Given { netns, lasting, host_stack: is_own }))
    }

    /// Ends the making of a sandbox: from now on it stays, whatever happens to the daemon.
    pub(super) fn complete(&self, id: &SandboxId) -> Result<SandboxView> {
        self.records.update(id, |record| record.pending = None)?;
        self.sandbox(id.as_str())
    }

    /// Publishes and attaches one service for a new sandbox, and makes its network if it is not there.
    async fn provide(&self, id: &SandboxId, spec: &ServiceSpec) -> Result<()> {
        let service = &spec.service;
        let network = service.network.clone().ok_or_else(|| {
            Error::unusable(format!(
                "service {service} names no network: write {service}.NETWORK[.DRIVER]"
            ))
        })?;
        let wanted = NetworkSpec { driver: service.driver.clone(), ..NetworkSpec::of(network) };
        let Provided { network, .. } = self.provide_network(id, wanted).await?;
        let service = ServiceRef { driver: None, ..service.clone() };
        let spec = ServiceSpec { service: service.clone(), ..spec.clone() };
        // Noted before it is made: a daemon that is killed in between leaves nothing that nobody knows of.
        let endpoint = EndpointId::random();
        let noted = (network.id.clone(), endpoint.clone());
        self.records.update(id, |record| record.published.push(noted))?;
        self.publish_as(endpoint, &network, &spec, None).await?;
        self.attach_to(id, &service, &AttachSpec::to(id.as_str())).await.map(drop)
    }

    /// Undoes the making of a sandbox, as far as it came.
    pub(super) async fn take_back(&self, id: &SandboxId) {
        let Some(record) = self.records.get(id) else { return };
        if let Err(error) = self.dismantle(&record).await {
            tracing::warn!(sandbox = %record.sandbox.name, %error, "cannot undo a failed operation now");
        }
    }

    /// The sandboxes of this host, by name.
    pub fn sandboxes(&self) -> Vec<SandboxView> {
        let mut views: Vec<SandboxView> =
            self.records.made().into_iter().map(|record| self.view(record)).collect();
        views.sort_by(|a, b| a.sandbox.name.cmp(&b.sandbox.name));
        views
    }

    /// One sandbox by name, id or the beginning of its id.
    pub fn sandbox(&self, sandbox: &str) -> Result<SandboxView> {
        Ok(self.view(self.records.find(sandbox)?))
    }

    /// Removes a sandbox with what was published for it, and detaches the rest.
    pub async fn remove_sandbox(&self, sandbox: &str) -> Result<SandboxView> {
        let _one = self.operations.lock().await;
        let record = self.own_record(sandbox, "remove")?;
        let view = self.view(record.clone());
        self.dismantle(&record).await?;
        Ok(view)
    }

    /// Takes down a sandbox and all that belongs to it.
    pub(super) async fn dismantle(&self, record: &Record) -> Result<()> {
        // Should the daemon be killed in the middle, the next one goes on with it.
        let id = &record.sandbox.id;
        self.records.update(id, |record| {
            record.pending.get_or_insert_default();
        })?;
        let gone = self.let_go(record).await;
        if gone.is_err() {
            self.records.update(id, |now| now.pending.clone_from(&record.pending))?;
        }
        if let Some(revision) = gone? {
            let ours =
                |id: &EndpointId| record.attachments.iter().any(|a| a.interface.endpoint == *id);
            self.progress(|progress| {
                progress.revision >= revision && !progress.endpoints.keys().any(ours)
            })
            .await?;
        }
        self.delete_remains(record).await
    }

    /// Releases in the store what is attached to a sandbox, and unpublishes what was published for it. Returns the
    /// revision of the last change. It goes on past errors and reports the first; where the store is away it ends there.
    pub(super) async fn let_go(&self, record: &Record) -> Result<Option<Revision>> {
        let published = record
            .published
            .iter()
            .chain(&record.connecting)
            .map(|(network, endpoint)| (network, endpoint, true));
        let attached =
            record.attachments.iter().map(|a| (&a.network, &a.interface.endpoint, false));
        let (mut last, mut failed) = (None, None);
        for (network, endpoint, unpublish) in published.chain(attached) {
            let key = keys::endpoint(network, endpoint);
            match self.let_one_go(&record.sandbox.id, &key, unpublish).await {
                Ok(revision) => last = last.max(revision),
                Err(error) if error.kind == super::Kind::Unavailable => return Err(error),
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        failed.map_or(Ok(last), Err)
    }

    /// Releases or unpublishes one endpoint, unless somebody else has it, however often others change it meanwhile.
    pub(super) async fn let_one_go(
        &self,
        sandbox: &SandboxId,
        key: &str,
        unpublish: bool,
    ) -> Result<Option<Revision>> {
        while let Some(stored) = keys::get::<Endpoint>(&*self.store, key).await? {
            let owner = stored.value.owner.as_ref().map(|owner| &owner.sandbox);
            let txn = match owner {
                Some(owner) if owner != sandbox => return Ok(None),
                None if !unpublish => return Ok(None),
                _ if unpublish => addresses::removal(&*self.store, &stored).await?,
                _ => Self::disowned(&stored),
            };
            let noted =
                if unpublish { self.note_endpoint_lease(&stored.value).await? } else { None };
            // Only what was attached is followed by this host, and can be waited for.
            let followed = owner.is_some();
            if let Outcome::Committed(revision) = self.store.commit(txn).await? {
                self.settle_lease(stored.value.id.as_str()).await;
                return Ok(followed.then_some(revision));
            }
            if noted.is_some() {
                self.leases.forget(stored.value.id.as_str())?;
            }
        }
        Ok(None)
    }

    /// Removes what is left of a sandbox once nothing is attached to it.
    pub(super) async fn delete_remains(&self, record: &Record) -> Result<()> {
        let sandbox = &record.sandbox;
        netns_names::unlink(&self.config.netns_dir, sandbox).map_err(|error| {
            Error::internal(format!(
                "cannot take back the names of sandbox {}: {error}",
                sandbox.name
            ))
        })?;
        if record.is_bound() {
            Netns::remove(&sandbox.netns)?;
        }
        for network in record.pending.iter().flat_map(|pending| &pending.networks) {
            match self.remove_network(network.as_str()).await {
                Err(error) if error.kind == super::Kind::Forbidden => {
                    tracing::info!(network = network.short(), %error, "others use the network by now: it stays");
                }
                Err(error) if error.kind != super::Kind::NotFound => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        self.records.remove(&record.sandbox.id)?;
        tracing::info!(sandbox = %record.sandbox.name, "sandbox removed");
        Ok(())
    }

    fn view(&self, record: Record) -> SandboxView {
        // The host's own stack goes with the host's own files.
        let dir = if record.sandbox.host_stack {
            PathBuf::from("/etc")
        } else {
            self.records.files_dir(&record.sandbox.id)
        };
        SandboxView {
            host: self.config.host.clone(),
            interfaces: record
                .attachments
                .into_iter()
                .map(|attachment| attachment.interface)
                .collect(),
            resolv_conf: dir.join(files::RESOLV_CONF),
            hosts: dir.join(files::HOSTS),
            sandbox: record.sandbox,
        }
    }
}

/// A namespace that was given for a sandbox.
struct Given {
    netns: Netns,
    /// Where it stays; none where it has to be bound to stay.
    lasting: Option<PathBuf>,
    /// Whether it is the host's own.
    host_stack: bool,
}
