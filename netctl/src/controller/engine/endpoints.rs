//! Endpoints of engines, whose interfaces are handed over.
//!
//! The sandbox of such an endpoint is a container's network namespace, which its engine alone enters. It is known by the
//! path that the engine says, and is there while something is attached to it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use ipnet::IpNet;

use super::EngineScope;
use crate::{
    controller::{
        Controller, Error, Result, holdings,
        keys::{self, Stored},
        now,
        records::Record,
    },
    drivers::{self, Route},
    ipam::{self, Hold, Holder},
    model::{
        AttachSpec, Endpoint, EndpointId, EngineEndpoint, EngineNetwork, EngineNetworkId,
        ExposedPort, MacAddr, Name, Network, SCHEMA, Sandbox, SandboxId, ServiceRef, ServiceSpec,
    },
    store::{Guard, Op, Outcome, Txn},
};

/// An endpoint that an engine makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEndpointSpec {
    /// As the engine calls it.
    pub id: EndpointId,
    /// Its network, as the engine calls that.
    pub network: EngineNetworkId,
    /// The IPv4 address that the engine was given for it.
    pub address: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub address6: Option<Ipv6Addr>,
    /// Its link-layer address; one is chosen where there is none.
    pub mac: Option<MacAddr>,
    /// Ports that it listens on.
    pub exposed: Vec<ExposedPort>,
}

/// What an engine is to do with an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineAttachment {
    /// The device in the host's namespace that it is to take to the container's.
    pub device: String,
    /// The routers for what no other route leads to; none where the network has no way out.
    pub gateways: Vec<IpAddr>,
    /// Further routes.
    pub routes: Vec<Route>,
    /// Where names are answered, in a network without a way out, from which there is no other way to who is asked.
    pub names: Vec<IpAddr>,
}

impl Controller {
    /// Makes an endpoint for this host's engine; the same again is no more.
    pub async fn make_engine_endpoint(&self, spec: &EngineEndpointSpec) -> Result<Endpoint> {
        let key = keys::engine_endpoint(&self.config.host, &spec.id);
        if keys::get::<EngineEndpoint>(&*self.store, &key).await?.is_some()
            && let Some((_, stored)) = self.engine_endpoint(&spec.id).await?
        {
            return Ok(stored.value);
        }
        let network = self.engine_network(&spec.network).await?;
        let name = provisional_name(&spec.id);
        let service =
            ServiceRef { service: name, network: Some(by_id(network.id.as_str())), driver: None };
        let record = EngineEndpoint {
            schema: SCHEMA,
            network: network.id.clone(),
            engine_network: spec.network.clone(),
            created: now(),
        };
        let txn = Txn::new().put(key, keys::write(&record));
        let service = ServiceSpec {
            address: spec.address,
            address6: spec.address6,
            mac: spec.mac,
            exposed: spec.exposed.clone(),
            ..ServiceSpec::of(service)
        };
        let made = self.publish_as(spec.id.clone(), &network, &service, Some(&txn)).await?;
        Ok(made.endpoint)
    }

    /// Attaches an endpoint of this host's engine to the container whose namespace the engine has at `path`; the same again
    /// is no more. One that the engine had in another container is taken from there; where that is refused, it is that
    /// one's still.
    pub async fn attach_engine_endpoint(
        &self,
        id: &EndpointId,
        path: &Path,
    ) -> Result<EngineAttachment> {
        let _one = self.operations.lock().await;
        let (network, stored) = self.engine_endpoint(id).await?.ok_or_else(|| unknown(id))?;
        let sandbox = self.engine_sandbox(path)?;
        let owner = stored.value.owner.as_ref().filter(|owner| owner.host == self.config.host);
        let attached = match owner {
            Some(owner) if owner.sandbox == sandbox && self.knows(&sandbox, id) => Ok(()),
            owner => {
                let force = owner.is_some_and(|owner| self.knows(&owner.sandbox, id));
                if owner.is_some() && !force {
                    self.release_engine_endpoint(&network, id).await?;
                }
                // Nothing was attached to it, so that it may have been forgotten meanwhile.
                let sandbox = self.engine_sandbox(path)?;
                let service = ServiceRef {
                    service: by_id(id.as_str()),
                    network: Some(by_id(network.id.as_str())),
                    driver: None,
                };
                let to = AttachSpec { force, ..AttachSpec::to(sandbox.as_str()) };
                self.attach_to(&sandbox, &service, &to).await.map(drop)
            }
        };
        self.tidy()?;
        attached?;
        let (gateways, routes) = drivers::ways(&network, &stored.value);
        let names = network.subnets.iter().map(|subnet| subnet.gateway);
        let names = names.filter(|_| gateways.is_empty()).collect();
        Ok(EngineAttachment { device: drivers::handed(id), gateways, routes, names })
    }

    /// Takes an endpoint of this host's engine from its container, with its interface; one that is in none is no error.
    pub async fn detach_engine_endpoint(&self, id: &EndpointId) -> Result<()> {
        let Some((network, _)) = self.engine_endpoint(id).await? else { return Ok(()) };
        let _one = self.operations.lock().await;
        self.release_engine_endpoint(&network, id).await
    }

    /// Removes an endpoint of this host's engine, in a container or not; one that is not there is no error.
    pub async fn remove_engine_endpoint(&self, id: &EndpointId) -> Result<()> {
        let record = keys::engine_endpoint(&self.config.host, id);
        loop {
            let Some(noted) = keys::get::<EngineEndpoint>(&*self.store, &record).await? else {
                return Ok(());
            };
            let mut txn = Txn::new().when(noted.unchanged()).delete(record.clone());
            let found = self.engine_endpoint(id).await?;
            // What another host has taken is that host's now.
            let elsewhere = |stored: &Stored<Endpoint>| {
                stored.value.owner.as_ref().is_some_and(|owner| owner.host != self.config.host)
            };
            if let Some((network, stored)) = found.filter(|(_, stored)| !elsewhere(stored)) {
                if stored.value.owner.is_some() {
                    let _one = self.operations.lock().await;
                    self.release_engine_endpoint(&network, id).await?;
                    continue;
                }
                txn = txn.and(self.engine_removal(&stored).await?);
            }
            if let Outcome::Committed(_) = self.store.commit(txn).await? {
                tracing::info!(id = id.short(), "endpoint of an engine removed");
                return Ok(());
            }
        }
    }

    /// Removes what an engine has in one of its networks.
    pub(super) async fn remove_engine_endpoints_of(&self, network: &EngineNetworkId) -> Result<()> {
        let prefix = keys::engine_endpoints(&self.config.host);
        for stored in keys::list::<EngineEndpoint>(&*self.store, &prefix).await? {
            if stored.value.engine_network == *network
                && let Some(id) = stored.key.strip_prefix(&prefix).and_then(|id| id.parse().ok())
            {
                self.remove_engine_endpoint(&id).await?;
            }
        }
        Ok(())
    }

    /// The network that an engine's is.
    pub(super) async fn engine_network(&self, id: &EngineNetworkId) -> Result<Network> {
        let key = keys::engine_network(&self.engine_of(EngineScope::Host), id);
        let network = match keys::get::<EngineNetwork>(&*self.store, &key).await? {
            Some(known) => {
                keys::get::<Network>(&*self.store, &keys::network(&known.value.network)).await?
            }
            None => None,
        };
        network.map(|stored| stored.value).ok_or_else(|| {
            Error::not_found(format!(
                "network {} of Docker is none that netctl knows: remove it and create it again",
                id.short()
            ))
        })
    }

    /// An endpoint that this host's engine has made, with its network.
    pub(super) async fn engine_endpoint(
        &self,
        id: &EndpointId,
    ) -> Result<Option<(Network, Stored<Endpoint>)>> {
        let key = keys::engine_endpoint(&self.config.host, id);
        let Some(noted) = keys::get::<EngineEndpoint>(&*self.store, &key).await? else {
            return Ok(None);
        };
        let network = &noted.value.network;
        let stored = keys::get::<Endpoint>(&*self.store, &keys::endpoint(network, id)).await?;
        let network = keys::get::<Network>(&*self.store, &keys::network(network)).await?;
        Ok(network.map(|network| network.value).zip(stored))
    }

    /// Has this host let go of an endpoint. The caller holds the lock.
    async fn release_engine_endpoint(&self, network: &Network, id: &EndpointId) -> Result<()> {
        let key = keys::endpoint(&network.id, id);
        while let Some(stored) = keys::get::<Endpoint>(&*self.store, &key).await? {
            let owner = stored.value.owner.as_ref();
            if owner.is_none_or(|owner| owner.host != self.config.host)
                || self.release(&stored).await?.is_some()
            {
                break;
            }
        }
        let of = |record: &Record| {
            let has = record.attachments.iter().any(|a| a.interface.endpoint == *id);
            has.then(|| record.sandbox.id.clone())
        };
        for sandbox in self.records.each(of).into_iter().flatten() {
            self.forget(&sandbox, id)?;
        }
        self.tidy()?;
        // Where a daemon died in between, the loop removes it only once it has seen all that it adopts.
        Ok(drivers::remove_ports(&self.context, [id]).await?)
    }

    /// What removes an endpoint. Its addresses stay a Swarm's where they are one's.
    async fn engine_removal(&self, stored: &Stored<Endpoint>) -> Result<Txn> {
        let Endpoint { network, addresses, .. } = &stored.value;
        let mut released = holdings::released(holdings::of_endpoint(&stored.value));
        for address in addresses.iter().map(IpNet::addr) {
            let marker = keys::swarm_address(network, address);
            let Some(entry) = self.store.get(&marker).await? else { continue };
            let key = ipam::address_key(network, address);
            released.ops.retain(|op| !matches!(op, Op::Delete(deleted) if *deleted == key));
            let hold = Hold { holder: Holder::Swarm, since: now() };
            released =
                released.when(Guard::Unchanged(marker, entry.modified)).put(key, hold.to_string());
        }
        Ok(Txn::new().when(stored.unchanged()).delete(stored.key.clone()).and(released))
    }

    /// The sandbox that a container's namespace is, by the path that its engine says.
    fn engine_sandbox(&self, path: &Path) -> Result<SandboxId> {
        let is = |record: &Record| {
            let sandbox = &record.sandbox;
            (sandbox.foreign && sandbox.netns == path).then(|| sandbox.id.clone())
        };
        if let Some(known) = self.records.each(is).into_iter().flatten().next() {
            return Ok(known);
        }
        let id = SandboxId::random();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.and_then(|name| format!("docker-{name}").parse::<Name>().ok());
        let sandbox = Sandbox {
            schema: SCHEMA,
            id: id.clone(),
            name: name.unwrap_or_else(|| id.short().parse().expect("digits are a name")),
            netns: path.to_owned(),
            owned: false,
            host_stack: false,
            foreign: true,
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            hostname: None,
            extra_hosts: Vec::new(),
            sysctls: Vec::new(),
            container: None,
            created: now(),
        };
        self.records.insert(Record {
            sandbox,
            published: Vec::new(),
            attachments: Vec::new(),
            connecting: Vec::new(),
            pending: None,
            inhabited: false,
            elsewhere: false,
        })?;
        Ok(id)
    }

    pub(in crate::controller) fn knows(&self, sandbox: &SandboxId, id: &EndpointId) -> bool {
        let known = |record: &Record| {
            record.attachments.iter().any(|a| a.interface.endpoint == *id && !a.unsettled)
        };
        self.records.get(sandbox).is_some_and(|record| known(&record))
    }

    /// Forgets containers that nothing is attached to any more. The caller holds the lock.
    fn tidy(&self) -> Result<()> {
        let empty =
            |record: &Record| record.is_empty_of_engine().then(|| record.sandbox.id.clone());
        let mut all = self.records.each(empty).into_iter().flatten();
        all.try_for_each(|sandbox| self.records.remove(&sandbox))
    }
}

/// What an endpoint is called until it is known what its container is called.
fn provisional_name(id: &EndpointId) -> Name {
    format!("docker-{}", id.short()).parse().expect("letters and digits are a name")
}

/// An identifier where a name may stand.
fn by_id(id: &str) -> Name {
    ServiceRef::part(id).expect("an identifier is a part of a reference")
}

pub(super) fn unknown(id: &EndpointId) -> Error {
    Error::not_found(format!(
        "endpoint {} is none that Docker has made on this host: start the container again",
        id.short()
    ))
}
