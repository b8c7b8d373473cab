//! Who carries a network's packets: the trait [`Driver`], and the drivers there are.
//!
//! A driver is one file that implements the trait, and one line in [`Drivers::open`]; or else a plugin. Everything that a driver does to
//! the host is idempotent and can be begun again at any point: the controller calls [`Driver::enter`] and
//! [`Driver::join`] for what there should be, and [`Driver::sweep`] for the rest, at every start and after every
//! change. There is no other way to take something down, so that what a crash left goes the same way.

mod bridge;
mod error;
mod given;
mod headroom;
mod host;
mod links;
mod null;
mod options;
mod overlay;
mod remote;
mod said;
mod segment;
mod settle;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use self::remote::{Remote, Remotes};
pub use self::{
    bridge::Bridge,
    error::Error,
    given::{Footing, HostContext, Place, Present},
    host::HostStack,
    links::{handed, is_gateway, is_gateway_port, is_made, is_ours, is_port, port},
    null::Null,
    overlay::Overlay,
    said::{Device, Joined, Plan, Presence, Route, Scope},
    segment::ways,
};
use crate::{
    dataplane::{Desired, Station},
    model::{DriverName, Endpoint, EndpointId, Network, NetworkId, NetworkSpec},
    plugin::{NodeData, Plugins},
};

/// Carries the packets of networks of one kind.
#[async_trait]
pub trait Driver: Send + Sync + fmt::Debug {
    /// The name that people give with `-d`.
    fn name(&self) -> &str;

    /// Whether its endpoints are the host's own network stack: they join sandboxes in the host's namespace alone, and
    /// no other endpoints join those.
    fn is_host(&self) -> bool {
        false
    }

    /// Whether it chooses the link-layer addresses that people do not.
    fn chooses_macs(&self) -> bool {
        false
    }

    /// Checks the options and subnets of a network to be created, and says what it needs.
    async fn plan(&self, host: &HostContext, spec: &NetworkSpec) -> Result<Plan, Error>;

    /// Has others choose what all hosts are to tell them of a network before it is created, where they do. [`Self::create`]
    /// or [`Self::remove`] follows.
    async fn allot(&self, _network: &Network) -> Result<Option<BTreeMap<String, String>>, Error> {
        Ok(None)
    }

    /// Has others agree to a network before it is in the store. [`Self::created`] or [`Self::remove`] follows.
    async fn create(&self, _network: &Network) -> Result<(), Error> {
        Ok(())
    }

    /// Says that from now on the store tells whether the network is there.
    fn created(&self, _network: &NetworkId) {}

    /// Has others on this host forget a network that is in the store no more.
    async fn remove(&self, _network: &NetworkId) -> Result<(), Error> {
        Ok(())
    }

    /// Has others make ready what an endpoint needs that is about to be attached, so that [`Self::join`] does not wait for
    /// them. It has the owner and the ports already that it will have, where it [leads](Self::leads_ports) some. [`Self::prepared`] follows when it is attached, or is not to be any more.
    async fn prepare(
        &self,
        _host: &HostContext,
        _network: &Network,
        _endpoint: &Endpoint,
        _sandbox: &Path,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Says that from now on the store tells whether the endpoint is attached.
    fn prepared(&self, _endpoint: &EndpointId) {}

    /// Makes the network present on this host, before the first endpoint joins. Idempotent.
    async fn enter(&self, host: &HostContext, network: &Network) -> Result<Presence, Error>;

    /// Gives a sandbox its interface for an endpoint, which is opened when the data plane serves it.
    /// Idempotent.
    async fn join(
        &self,
        host: &HostContext,
        network: &Network,
        endpoint: &Endpoint,
        place: Place<'_>,
    ) -> Result<Joined, Error>;

    /// Whether a container engine can be handed the interfaces of its endpoints.
    fn hands_over(&self) -> bool {
        false
    }

    /// Makes an endpoint's interface for a container engine, which takes the end called [`handed`] from the host's
    /// namespace to where it belongs. Idempotent.
    ///
    /// One that is not `fresh` was taken before: it is not made again, since nobody would take it. Where it went with its
    /// namespace, there is no port.
    async fn hand_over(
        &self,
        _host: &HostContext,
        network: &Network,
        _endpoint: &Endpoint,
        _fresh: bool,
    ) -> Result<Joined, Error> {
        Err(Error::Network {
            network: network.name.clone(),
            reason: format!("driver {} has no interfaces to hand over", self.name()),
        })
    }

    /// What the data plane must hold for a network that is present here, besides what it holds of its endpoints.
    fn forward(&self, _host: &HostContext, _network: &Network, _presence: &Presence) -> Desired {
        Desired::default()
    }

    /// What the data plane must hold of an endpoint: of this host, with its interface at `port`, or of another where there is
    /// no port. It follows from these and the host's underlay alone.
    fn station(
        &self,
        _host: &HostContext,
        _network: &Network,
        _endpoint: &Endpoint,
        _port: Option<&Device>,
    ) -> Option<Station> {
        None
    }

    /// Whether it, and not netctl, leads the ports of this host that are chosen for its endpoints to them.
    fn leads_ports(&self) -> bool {
        false
    }

    /// What it says of an endpoint of this host, for people; nothing where it cannot say so soon.
    async fn info(&self, _endpoint: &EndpointId) -> BTreeMap<String, Value> {
        BTreeMap::new()
    }

    /// Hears whether an endpoint of this host is its sandbox's way out. Idempotent.
    fn lead(&self, _endpoint: &EndpointId, _leads: bool) -> Result<(), Error> {
        Ok(())
    }

    /// Whether endpoints of its networks may be external stations: behind tunnel addresses that are no host's.
    fn has_stations(&self) -> bool {
        false
    }

    /// Removes whatever of this driver's making is on the host and not in `present`, but for links and what belongs to
    /// them, which [`sweep_links`] removes for all drivers.
    async fn sweep(&self, _host: &HostContext, _present: &Present) -> Result<(), Error> {
        Ok(())
    }
}

/// Removes the links of these endpoints, whichever driver they were made for.
pub async fn remove_ports(
    host: &HostContext,
    endpoints: impl IntoIterator<Item = &EndpointId>,
) -> Result<(), Error> {
    for endpoint in endpoints {
        host.netlink.delete_link(&port(endpoint)).await?;
    }
    Ok(())
}

/// Removes the links of endpoints and networks that are not in `present`, whichever driver they were made for.
pub async fn sweep_links(host: &HostContext, present: &Present) -> Result<(), Error> {
    segment::sweep(host, present).await
}

/// The drivers there are.
#[derive(Clone, Debug)]
pub struct Drivers {
    builtin: BTreeMap<String, Arc<dyn Driver>>,
    remotes: Arc<Remotes>,
    wake: Arc<Notify>,
}

impl Drivers {
    /// All of them. This is where one is added. Plugins are looked for in `plugin_dirs`, and what they are told is noted
    /// below `state_dir`.
    ///
    /// # Errors
    /// What was noted cannot be read.
    pub fn open(plugin_dirs: Vec<PathBuf>, state_dir: &Path) -> io::Result<Self> {
        let all: [Arc<dyn Driver>; 4] =
            [Arc::new(Null), Arc::new(HostStack), Arc::new(Bridge), Arc::new(Overlay)];
        let wake = Arc::new(Notify::new());
        let remotes = Remotes::open(plugin_dirs, &state_dir.join("plugins"), Arc::clone(&wake))?;
        let builtin = all.into_iter().map(|driver| (driver.name().to_owned(), driver)).collect();
        Ok(Self { builtin, remotes, wake })
    }

    /// Notified when a driver can go on that said [`Error::Pending`].
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// The driver of this name: a plugin, be it there or not, where it is no built-in one.
    pub fn get(&self, name: &DriverName) -> Arc<dyn Driver> {
        self.builtin.get(name.as_str()).cloned().unwrap_or_else(|| self.remote(name.to_string()))
    }

    /// The plugins of this host, of which some are IPAM drivers.
    pub fn plugins(&self) -> &Plugins {
        self.remotes.plugins()
    }

    /// Every driver that may have something on this host.
    pub fn all(&self) -> impl Iterator<Item = Arc<dyn Driver>> {
        let remotes = self.remotes.told().into_iter().map(|plugin| self.remote(plugin));
        self.builtin.values().cloned().chain(remotes)
    }

    /// Has plugins that are to know of them hear of these hosts, as they come and go, until it is dropped.
    pub async fn tell_hosts(&self, hosts: watch::Receiver<BTreeSet<NodeData>>) {
        Arc::clone(&self.remotes).tell_hosts(hosts).await;
    }

    /// The networks that others on this host know of, and are to forget once they are in the store no more.
    pub fn noted_networks(&self) -> Vec<NetworkId> {
        self.remotes.noted_networks()
    }

    /// The endpoints about which others are being told something.
    pub fn busy_endpoints(&self) -> Vec<EndpointId> {
        self.remotes.busy_endpoints()
    }

    fn remote(&self, plugin: String) -> Arc<dyn Driver> {
        let known = self.builtin.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Arc::new(Remote::new(plugin, Arc::clone(&self.remotes), known))
    }
}
