//! `netctl trace`: what would become of a packet, hop by hop, and where and why it would stop.
//!
//! Nothing is sent into a sandbox. What a sandbox would do is told by its own links and routes; what the programs would, by
//! a run of their copy on the pinned maps; and the way to another host by the probes of the doctor. What the kernel holds is
//! compared with what the store says, so that a map that lacks something is told from a service that is not there.

mod beyond;
mod error;
mod inside;
mod outside;
mod packet;
mod parties;
mod port;
mod report;

use std::{net::IpAddr, path::Path};

pub use self::{
    error::Error,
    packet::Protocol,
    report::{Hop, Report, Verdict},
};
use self::{packet::Packet, parties::Sender, report::Hops};
use crate::{
    api::Client,
    controller,
    kernel::{Netlink, Netns, check_privileges},
    model::{DaemonNote, FdbView, Host, MacAddr, NeighView, Network, SandboxView, ServiceView},
};

/// The packet that is asked about.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who sends it: a service, a sandbox or an address of this host.
    pub source: String,
    /// Whom it is for: a service, or an address.
    pub destination: String,
    /// What it is.
    pub protocol: Protocol,
    /// The port that it is for, where the protocol has ports.
    pub port: u16,
    /// How many bytes the IP packet has; as few as it needs where none is given, and of a ping as many as usual.
    pub size: Option<u32>,
}

/// What all hops are judged by.
struct Scene {
    netlink: Netlink,
    note: DaemonNote,
    sandboxes: Vec<SandboxView>,
    fdb: Vec<FdbView>,
    neigh: Vec<NeighView>,
    /// What the store says; none where it does not answer.
    store: Option<Store>,
}

/// What the store says.
struct Store {
    services: Vec<ServiceView>,
    networks: Vec<Network>,
    hosts: Vec<Host>,
}

/// Says what would become of the packet.
///
/// # Errors
/// The process lacks capabilities, the daemon does not answer, or the question names what is not there.
pub async fn trace(client: &Client, question: &Question) -> Result<Report, Error> {
    check_privileges()?;
    let host = Scene::look(client).await?;
    let sender = parties::sender(&host, &question.source)?;
    let destination = parties::destination(&host, &sender, &question.destination)?;
    let mut hops = Hops::default();
    let packet = follow(&host, &sender, &destination, question, &mut hops).await?;
    Ok(hops.report(&sender, &destination, &packet))
}

async fn follow(
    host: &Scene,
    sender: &Sender<'_>,
    destination: &parties::Destination,
    question: &Question,
    hops: &mut Hops,
) -> Result<Packet, Error> {
    let mut packet = Packet::new(question, destination.address)?;
    let Some(start) = inside::leave(host, sender, destination, &mut packet, hops).await? else {
        return Ok(packet);
    };
    let Some(passed) = port::pass(host, &start, destination, &packet, hops).await? else {
        return Ok(packet);
    };
    beyond::arrive(host, &start, destination, &packet, passed, hops).await?;
    Ok(packet)
}

impl Scene {
    async fn look(client: &Client) -> Result<Self, Error> {
        let run_dir = client.socket().parent().unwrap_or(Path::new("/"));
        let sandboxes = client.sandboxes().await?;
        let note = controller::noted(run_dir).ok_or_else(|| Error::NoNote(run_dir.to_owned()))?;
        Ok(Self {
            netlink: Netlink::open(&Netns::current()?).await?,
            note,
            sandboxes,
            fdb: client.fdb().await?,
            neigh: client.neigh().await?,
            store: Store::look(client).await,
        })
    }

    /// The station that has the address in the network of this name, as the maps say.
    fn neighbour(&self, network: &Network, address: IpAddr) -> Option<MacAddr> {
        let own = |row: &&NeighView| Some(row.vni) == network.vni && row.address == address;
        self.neigh.iter().find(own).map(|row| row.mac)
    }

    /// Where the station is, as the maps say.
    fn station(&self, network: &Network, mac: MacAddr) -> Option<&FdbView> {
        self.fdb.iter().find(|row| Some(row.vni) == network.vni && row.mac == Some(mac))
    }

    /// What the store says of who has the address in the network.
    fn known(&self, network: &Network, address: IpAddr) -> Known<'_> {
        let Some(store) = &self.store else { return Known::Silent };
        let has = |service: &&ServiceView| {
            service.endpoint.network == network.id
                && service.endpoint.addresses.iter().any(|own| own.addr() == address)
        };
        match store.services.iter().find(has) {
            None => Known::Nobody,
            Some(service) if service.endpoint.vteps().is_none() => Known::Nowhere(service),
            Some(service) => Known::At(service),
        }
    }
}

/// What the store says of an address.
#[derive(Clone, Copy)]
enum Known<'a> {
    /// The store does not answer.
    Silent,
    /// Nobody has it.
    Nobody,
    /// A service has it that is attached nowhere.
    Nowhere(&'a ServiceView),
    /// A service has it that is somewhere.
    At(&'a ServiceView),
}

impl Store {
    async fn look(client: &Client) -> Option<Self> {
        let networks = client.networks(true).await.ok()?;
        Some(Self {
            services: client.services(None).await.ok()?,
            networks: networks.into_iter().map(|view| view.network).collect(),
            hosts: client.hosts().await.ok()?.into_iter().map(|view| view.host).collect(),
        })
    }
}
