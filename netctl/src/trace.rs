//! `netctl trace`: what would become of a packet, hop by hop, and where and why it would stop.
//!
//! Nothing is sent into a sandbox. What a sandbox would do is told by its own links and routes; what the programs would, by
//! a run of their copy on the pinned maps; and the way to another host by the probes of the doctor. What the kernel holds is
//! compared with what the store says, so that a map that lacks something is told from a service that is not there. The answer
//! is followed likewise: no program remembers what it came for, so it has to find its own way.

mod back;
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
use self::{
    inside::Start,
    packet::Packet,
    parties::{Destination, Sender},
    port::Passed,
    report::Hops,
};
use crate::{
    api::Client,
    controller,
    kernel::{Netlink, Netns, check_privileges},
    model::{
        DaemonNote, FdbView, Host, HostName, InterfaceView, KnownView, MacAddr, Name, NeighView,
        Network, SandboxView, ServiceView,
    },
    moment::unix_now,
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
    /// Whether it is to be one of IPv6, where there is a choice.
    pub ipv6: bool,
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
    store: Store,
}

/// What the store says; or what it has said last of the networks that this host takes part in, while it is away.
struct Store {
    services: Vec<ServiceView>,
    networks: Vec<Network>,
    /// Those that are alive; none where that was never heard.
    hosts: Option<Vec<Host>>,
    /// Says that it is away, and since when, if it is.
    away: Option<String>,
}

/// Says what would become of the packet.
///
/// # Errors
/// The process lacks capabilities, the daemon does not answer, or the question names what is not there.
pub async fn trace(client: &Client, question: &Question) -> Result<Report, Error> {
    check_privileges()?;
    let host = Scene::look(client).await?;
    let sender = parties::sender(&host, &question.source)?;
    let destination = parties::destination(&host, &sender, question)?;
    let mut packet = Packet::new(question, destination.address)?;
    let (mut hops, mut back) = (Hops::default(), Hops::default());
    if let Some(away) = &host.store.away {
        hops.doubt("store", away);
    }
    let went = follow(&host, &sender, &destination, &mut packet, &mut hops).await?;
    if let Some((start, passed)) = went.filter(|_| !hops.stopped()) {
        back::follow(&host, &start, &destination, passed, &packet, &mut back).await?;
    }
    Ok(hops.report(back, &sender, &destination, &packet))
}

/// Follows the packet to its end; how it left, and where it came to, if it came past its port.
async fn follow<'a>(
    host: &'a Scene,
    sender: &Sender<'a>,
    destination: &Destination,
    packet: &mut Packet,
    hops: &mut Hops,
) -> Result<Option<(Start<'a>, Passed)>, Error> {
    let Some(start) = inside::leave(host, sender, destination, packet, hops).await? else {
        return Ok(None);
    };
    let Some(passed) = port::pass(host, &start, destination, packet, hops).await? else {
        return Ok(None);
    };
    beyond::arrive(host, &start, destination, packet, passed, hops).await?;
    Ok(Some((start, passed)))
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
            store: Store::look(client).await?,
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

    /// The interface of this host's sandboxes that is the station of the network.
    fn interface(&self, network: &Name, mac: MacAddr) -> Option<(&SandboxView, &InterfaceView)> {
        let is_it = |own: &&InterfaceView| own.network == *network && own.mac == Some(mac);
        self.sandboxes
            .iter()
            .find_map(|sandbox| Some((sandbox, sandbox.interfaces.iter().find(is_it)?)))
    }

    /// What the store says of who has the address in the network.
    fn known(&self, network: &Network, address: IpAddr) -> Known<'_> {
        let has = |service: &&ServiceView| {
            service.endpoint.network == network.id
                && service.endpoint.addresses.iter().any(|own| own.addr() == address)
        };
        match self.store.services.iter().find(has) {
            None => Known::Nobody,
            Some(service) if service.endpoint.vteps().is_none() => Known::Nowhere(service),
            Some(service) => Known::At(service),
        }
    }
}

/// What the store says of an address.
#[derive(Clone, Copy)]
enum Known<'a> {
    /// Nobody has it.
    Nobody,
    /// A service has it that is attached nowhere.
    Nowhere(&'a ServiceView),
    /// A service has it that is somewhere.
    At(&'a ServiceView),
}

impl<'a> Known<'a> {
    /// The host that it is on, where that is one of netctl.
    fn host(self) -> Option<&'a HostName> {
        match self {
            Self::At(service) => service.endpoint.owner.as_ref().map(|owner| &owner.host),
            Self::Nobody | Self::Nowhere(_) => None,
        }
    }
}

impl Store {
    async fn look(client: &Client) -> Result<Self, Error> {
        if let Some(said) = Self::ask(client).await {
            return Ok(said);
        }
        let KnownView { networks, services, hosts, away_since } = client.known().await?;
        let since = away_since.map_or_else(String::new, |since| {
            format!(" for {} s", unix_now().saturating_sub(since))
        });
        let away = format!(
            "it has not answered{since}: services and hosts are as this host knew them last, of its own networks alone"
        );
        Ok(Self { services, networks, hosts, away: Some(away) })
    }

    async fn ask(client: &Client) -> Option<Self> {
        let networks = client.networks(true).await.ok()?;
        let services = client.services(None).await.ok()?;
        let hosts = client.hosts().await.ok()?.into_iter().map(|view| view.host).collect();
        let networks = networks.into_iter().map(|view| view.network).collect();
        Some(Self { services, networks, hosts: Some(hosts), away: None })
    }
}
