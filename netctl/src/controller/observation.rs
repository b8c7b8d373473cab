//! What this host does and how it is doing, in numbers, all at one moment.
//!
//! Looking takes no lock that an operation holds for long, asks the store nothing and enters no sandbox: it reads what
//! the reconcile loop last left, asks the owner of the maps once, and the kernel by a socket of its own.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use tokio::sync::watch;

use super::{
    Controller, Result,
    follow::Mirror,
    pulse::{Pulse, Sync},
    reconcile::Reconciler,
};
use crate::{
    counts::Distribution,
    dataplane::Usage,
    kernel::{Carried, Netlink, Netns, Peer},
    model::{
        CarriedView, Endpoint, EndpointId, Host, HostName, Name, Network, NetworkId, SandboxId,
        TrafficView,
    },
    store::{Connection, Measures},
};

/// What is on this host, as the reconcile loop last left it.
#[derive(Clone, Debug, Default)]
pub(super) struct Inventory {
    /// The networks that have an endpoint here.
    pub(super) networks: BTreeMap<NetworkId, FollowedNetwork>,
    /// The endpoints that are here.
    pub(super) endpoints: BTreeMap<EndpointId, Served>,
}

/// A network that has an endpoint here.
#[derive(Clone, Debug)]
pub(super) struct FollowedNetwork {
    pub(super) network: Arc<Network>,
    /// Its endpoints, wherever they are.
    pub(super) endpoints: watch::Receiver<Mirror<Endpoint>>,
    /// The end in the host's stack of what leads to its gateway, by index.
    pub(super) gateway: Option<u32>,
    /// The data plane's end of what leads to its gateway, by index.
    pub(super) port: Option<u32>,
}

/// An endpoint that is here.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) sandbox: SandboxId,
    /// The host's side of its interface, by index, where it has one.
    pub(super) port: Option<u32>,
}

/// Where the numbers are.
#[derive(Debug)]
pub(super) struct Observer {
    /// A socket of its own: operations do not wait for those who look.
    netlink: Netlink,
    pub(super) measures: Arc<Measures>,
    pulse: Arc<Pulse>,
    pub(super) inventory: watch::Receiver<Inventory>,
    pub(super) hosts: watch::Receiver<Mirror<Host>>,
    /// When it began to look.
    pub(super) began: Instant,
}

impl Observer {
    pub(super) async fn new(measures: Arc<Measures>, reconciler: &Reconciler) -> Result<Self> {
        Ok(Self {
            netlink: Netlink::open(&Netns::current()?).await?,
            measures,
            pulse: reconciler.pulse(),
            inventory: reconciler.inventory(),
            hosts: reconciler.hosts(),
            began: Instant::now(),
        })
    }

    /// What becomes of calls to the store.
    pub(super) fn measures(&self) -> &Measures {
        &self.measures
    }
}

/// The numbers.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What endpoints and gateways of this host carried.
    pub activity: Activity,
    /// The networks that have an endpoint here.
    pub networks: Vec<NetworkCount>,
    /// How many sandboxes there are here.
    pub sandboxes: usize,
    /// How many hosts are alive; `None` before that is known.
    pub hosts: Option<usize>,
    /// What the data plane did and holds.
    pub usage: Usage,
    /// Whether the store answers.
    pub connection: Option<Connection>,
    /// How long calls to the store took, by verb.
    pub calls: Vec<(&'static str, Distribution)>,
    /// How many calls to the store failed, by sort.
    pub failed_calls: Vec<(&'static str, u64)>,
    /// How the host keeps up with the store.
    pub sync: Sync,
    /// How many queries for names came to which end.
    pub queries: Vec<(&'static str, u64)>,
    /// How long answers took that nobody else was asked for.
    pub answering: Distribution,
}

/// How many endpoints a network has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkCount {
    /// Its name.
    pub name: Name,
    /// Those that are attached here.
    pub local: usize,
    /// Those that are attached on other hosts.
    pub remote: usize,
}

/// What was carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// By each endpoint of this host, as its sandbox sees it, by network and name.
    pub endpoints: Vec<TrafficView>,
    /// From each network's gateway on this host into the network.
    pub gateways: Vec<GatewayTraffic>,
}

/// What a network's gateway on this host has sent into the network: from the host itself, and from outside.
///
/// What comes in by it is not counted by itself: `bpf_redirect` to a device's own ingress passes all of its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayTraffic {
    /// The network.
    pub network: Name,
    /// What was sent.
    pub sent: CarriedView,
}

impl From<Carried> for CarriedView {
    fn from(Carried { packets, bytes, dropped }: Carried) -> Self {
        Self { packets, bytes, dropped }
    }
}

impl Controller {
    /// All numbers.
    ///
    /// # Errors
    /// The data plane or the kernel does not answer.
    pub async fn observe(&self) -> Result<Observation> {
        let Observer { measures, pulse, inventory, hosts, .. } = &self.observer;
        let activity = self.activity().await?;
        let usage = self.dataplane.usage().await?;
        let hosts = {
            let hosts = hosts.borrow();
            hosts.complete.then(|| hosts.entries.len())
        };
        Ok(Observation {
            activity,
            networks: counts(&inventory.borrow(), &self.config.host),
            sandboxes: self
                .records
                .each(|record| record.pending.is_none())
                .iter()
                .filter(|made| **made)
                .count(),
            hosts,
            usage,
            connection: measures.connection(),
            calls: measures.durations().collect(),
            failed_calls: measures.errors().collect(),
            sync: pulse.read(),
            queries: self.names.ends().to_vec(),
            answering: self.names.answering(),
        })
    }

    /// What the endpoints and gateways of this host carried.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn activity(&self) -> Result<Activity> {
        let Observer { netlink, inventory, .. } = &self.observer;
        let Inventory { networks, endpoints } = inventory.borrow().clone();
        let links = netlink.traffic().await?;
        let links: BTreeMap<u32, _> = links.into_iter().map(|link| (link.index, link)).collect();
        let mut activity = Activity::default();
        for Served { endpoint, sandbox, port } in endpoints.into_values() {
            let Some(network) = networks.get(&endpoint.network) else { continue };
            let peer: Option<Peer> = port.and_then(|port| links.get(&port)?.peer);
            let Some(peer) = peer else { continue };
            // It may have gone since the loop looked.
            let Some(traffic) = netlink.traffic_of(peer).await? else { continue };
            activity.endpoints.push(TrafficView {
                network: network.network.name.clone(),
                service: endpoint.name.clone(),
                id: endpoint.id.clone(),
                sandbox,
                received: traffic.received.into(),
                sent: traffic.sent.into(),
            });
        }
        activity.endpoints.sort_by(|a, b| (&a.network, &a.service).cmp(&(&b.network, &b.service)));
        for network in networks.into_values() {
            let Some(link) = network.port.and_then(|port| links.get(&port)) else { continue };
            let sent = link.traffic.received.into();
            activity.gateways.push(GatewayTraffic { network: network.network.name.clone(), sent });
        }
        activity.gateways.sort_by(|a, b| a.network.cmp(&b.network));
        Ok(activity)
    }
}

/// The networks by name, as `host` sees them.
fn counts(inventory: &Inventory, host: &HostName) -> Vec<NetworkCount> {
    let count = |network: &FollowedNetwork| {
        let all = network.endpoints.borrow();
        let owners = all.entries.values().filter_map(|(endpoint, _)| endpoint.owner.as_ref());
        let (local, remote): (Vec<_>, Vec<_>) = owners.partition(|owner| owner.host == *host);
        let name = network.network.name.clone();
        NetworkCount { name, local: local.len(), remote: remote.len() }
    };
    let mut counts: Vec<NetworkCount> = inventory.networks.values().map(count).collect();
    counts.sort_by(|a, b| a.name.cmp(&b.name));
    counts
}
