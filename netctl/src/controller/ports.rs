//! Published ports: which a service may have, and what they become on the host that it is attached on.
//!
//! What is bound stands in the store with the endpoint's owner, and in the host's record of the sandbox, which is what
//! is looked at for ports that are taken. Operations on this host's sandboxes run one at a time, so nobody takes a port
//! between the look and the record; those that a plugin is told of are reserved before. No socket is held: who listens on a published port later is not heard.

mod choose;
mod places;
mod probe;
mod reserved;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    slice,
};

use ipnet::IpNet;

pub(super) use self::reserved::Reserved;
use self::{
    choose::{Refusal, Taken, Wanted, choose},
    places::{check_twice, wanted},
};
use super::{Controller, Error, Result, keys, records::Attachment};
use crate::model::{
    BoundPort, Endpoint, EndpointId, Name, Network, PortRange, PublishedPort, SandboxId,
    ServiceSpec,
};

/// How many ports a service may publish: each is a part of its value in the store, which has bounds.
const MOST: u32 = 1024;

/// Where the kernel says which ports it chooses from, and so may we.
const LOCAL_PORTS: &str = "ipv4/ip_local_port_range";

impl Controller {
    /// Checks that a service that gets these addresses may publish the ports that it is to.
    pub(super) fn check_ports(
        &self,
        network: &Network,
        spec: &ServiceSpec,
        addresses: &[IpNet],
    ) -> Result<()> {
        let ServiceSpec { ports, bridging, vtep, .. } = spec;
        if ports.is_empty() {
            return Ok(());
        }
        let service = &spec.service.service;
        let name = &network.name;
        let count: u32 = ports.iter().map(PublishedPort::count).sum();
        let refusal = if self.drivers.get(&network.driver).is_host() {
            format!("network {name} is the host's own, with all ports of it: leave out --publish")
        } else if addresses.is_empty() {
            format!("network {name} gives no addresses to lead a port to: leave out --publish")
        } else if network.internal {
            format!("network {name} is internal, and not reached from outside: leave out --publish")
        } else if let Some(vtep) = vtep {
            format!(
                "service {service} is to be a station at {vtep}, which is no host's: leave out --publish"
            )
        } else if *bridging {
            format!(
                "service {service} is to bridge onward, and a port is for one station: \
                 leave out --bridging or --publish"
            )
        } else if count > MOST {
            format!("service {service} is to publish {count} ports, of which it can have {MOST}")
        } else {
            return check_twice(service, &wanted(network, service, ports, addresses)?);
        };
        Err(Error::unusable(refusal))
    }

    /// What the ports of an endpoint become on this host. The caller holds the lock, and notes them before it lets go.
    pub(super) async fn bind_ports(
        &self,
        network: &Network,
        endpoint: &Endpoint,
    ) -> Result<Vec<BoundPort>> {
        if endpoint.ports.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(reserved) = self.reserved.of(&endpoint.id) {
            return Ok(reserved);
        }
        let wanted = wanted(network, &endpoint.name, &endpoint.ports, &endpoint.addresses)?;
        self.check_addresses(&endpoint.name, &wanted).await?;
        let netns = self.context.netlink.netns();
        let local = local_ports(&netns.sysctl(LOCAL_PORTS).await?)?;
        let start = random();
        let mut lost = BTreeSet::new();
        loop {
            let holders = self.holders(&endpoint.id, &lost);
            let taken = taken(&holders);
            let wanted = wanted.clone();
            let choice = move || choose(&wanted, &taken, (local, start), probe::is_free);
            let refusal = match netns.run(choice).await? {
                Ok(bound) => return Ok(bound),
                Err(refusal) => refusal,
            };
            let known = lost.len();
            for holder in in_the_way(&refusal, &holders) {
                if self.has_lost(holder).await? {
                    lost.insert(holder.key());
                }
            }
            if lost.len() == known {
                return Err(self.refused(&endpoint.name, &refusal, &holders));
            }
        }
    }

    /// Checks that this host has the addresses that ports are to be reached at.
    async fn check_addresses(&self, service: &Name, wanted: &[Wanted]) -> Result<()> {
        if wanted.iter().all(|one| one.addresses().next().is_none()) {
            return Ok(());
        }
        let own = self.context.netlink.addresses().await?;
        // A whole subnet of the loopback is the host's (RFC 1122, section 3.2.1.3).
        let unknown = |address: &IpAddr| {
            !own.iter().any(|own| {
                own.net.addr() == *address || address.is_loopback() && own.net.contains(address)
            })
        };
        for one in wanted {
            if let Some(address) = one.addresses().find(unknown) {
                return Err(Error::forbidden(format!(
                    "service {service} publishes {} at {address}, which is no address of host {}: \
                     attach it on a host that has it, or publish at another",
                    one.published, self.config.host
                )));
            }
        }
        Ok(())
    }

    /// Who has ports of this host, but for one endpoint and those that were `lost`.
    fn holders(&self, but: &EndpointId, lost: &BTreeSet<(SandboxId, EndpointId)>) -> Vec<Holder> {
        let attached = self.records.all().into_iter().flat_map(|record| {
            let sandbox = record.sandbox.id;
            let holder = move |attachment| Holder { sandbox: sandbox.clone(), attachment };
            record.attachments.into_iter().map(holder)
        });
        let counts = |holder: &Holder| {
            let interface = &holder.attachment.interface;
            !interface.ports.is_empty()
                && interface.endpoint != *but
                && !lost.contains(&holder.key())
        };
        attached.chain(self.reserved.all()).filter(counts).collect()
    }

    /// Whether an endpoint was taken from its sandbox, which this host has only not followed yet: its ports are free as
    /// soon as nothing of it is left here. One that is not settled is not lost: it may come to be attached.
    async fn has_lost(&self, Holder { sandbox, attachment }: &Holder) -> Result<bool> {
        let id = &attachment.interface.endpoint;
        let key = keys::endpoint(&attachment.network, id);
        let stored = keys::get::<Endpoint>(&*self.store, &key).await?;
        let owner = stored.and_then(|stored| stored.value.owner);
        if attachment.unsettled || owner.as_ref().is_some_and(|owner| owner.sandbox == *sandbox) {
            return Ok(false);
        }
        // Another sandbox of this host that has it has a record of its own.
        if owner.is_none_or(|owner| owner.host != self.config.host) {
            self.progress(|progress| !progress.endpoints.contains_key(id)).await?;
        }
        Ok(true)
    }

    fn refused(&self, service: &Name, refusal: &Refusal, holders: &[Holder]) -> Error {
        let host = &self.config.host;
        match refusal {
            Refusal::Taken(taken) => Error::conflict(format!(
                "port {} of host {host} is published by service {} already: publish another, \
                 or detach that service first",
                text(&taken.port),
                holders.get(taken.holder).map(Holder::service).unwrap_or_default()
            )),
            Refusal::Used(port) => Error::conflict(format!(
                "port {} of host {host} is in use by a process there: publish another, or end it first",
                text(port)
            )),
            Refusal::Exhausted { port, of } => Error::forbidden(format!(
                "service {service} is to have one of the ports {of} of host {host} for its {port}, \
                 and none is free: publish another, or detach a service that has one"
            )),
            Refusal::Probe(port, error) => Error::internal(format!(
                "cannot find out whether port {} of host {host} is free: {error}",
                text(port)
            )),
        }
    }
}

/// Who has ports of this host.
#[derive(Clone, Debug)]
struct Holder {
    sandbox: SandboxId,
    attachment: Attachment,
}

impl Holder {
    fn key(&self) -> (SandboxId, EndpointId) {
        (self.sandbox.clone(), self.attachment.interface.endpoint.clone())
    }

    fn service(&self) -> String {
        self.attachment.interface.qualified()
    }
}

fn taken(holders: &[Holder]) -> Vec<Taken> {
    let of = |(number, holder): (usize, &Holder)| {
        let ports = holder.attachment.interface.ports.clone();
        ports.into_iter().map(move |port| Taken { port, holder: number })
    };
    holders.iter().enumerate().flat_map(of).collect()
}

/// Those whose ports may be why others are refused.
fn in_the_way<'a>(refusal: &Refusal, holders: &'a [Holder]) -> &'a [Holder] {
    match refusal {
        Refusal::Taken(taken) => holders.get(taken.holder).map(slice::from_ref).unwrap_or_default(),
        Refusal::Exhausted { .. } => holders,
        Refusal::Used(_) | Refusal::Probe(..) => &[],
    }
}

/// A port of the host, with its address where it is of one alone.
fn text(port: &BoundPort) -> String {
    let BoundPort { address, host_port, transport, .. } = port;
    let host_port = host_port.map_or(0, NonZeroU16::get);
    if address.is_unspecified() {
        format!("{host_port}/{transport}")
    } else {
        format!("{}/{transport}", SocketAddr::new(*address, host_port))
    }
}

/// The range that the kernel's sysctl says.
fn local_ports(text: &str) -> Result<PortRange> {
    let mut words = text.split_whitespace().map(str::parse);
    match (words.next(), words.next()) {
        (Some(Ok(first)), Some(Ok(last))) => PortRange::new(first, last),
        _ => None,
    }
    .ok_or_else(|| {
        Error::internal(format!("net/{LOCAL_PORTS} is {text:?}, which is no range of ports"))
    })
}

/// A number that differs each time.
fn random() -> usize {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).expect("the kernel gives random numbers");
    usize::from(u16::from_ne_bytes(bytes))
}
