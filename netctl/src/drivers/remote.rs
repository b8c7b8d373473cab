//! Networks of third parties: a plugin carries the packets, and netctl is its client (see [`crate::plugin`]).
//!
//! A driver that is no built-in one is a plugin of that name. What it is told is noted in a journal before, so that the
//! opposite can be told by whoever comes after. Nothing waits for a plugin but what needs it: the reconcile loop begins
//! a task, goes on with the rest, and is woken when the task has ended.

mod hosts;
mod interface;
mod notes;
mod tasks;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use self::{
    notes::{NotedAllotment, NotedEndpoint, NotedNetwork},
    tasks::{Aim, Tasks},
};
use super::{
    Device, Driver, Error, HostContext, Joined, Place, Plan, Presence, Present, Route, Scope,
};
use crate::{
    kernel::Netlink,
    model::{DriverName, Endpoint, EndpointId, Network, NetworkId, NetworkSpec},
    plugin::{self, Journal, NetworkPlugin, PATIENCE, PluginScope, Plugins, Ports},
};

/// How long a plugin has to say what people may want to know of an endpoint.
const INFO: Duration = Duration::from_secs(1);

/// The plugins of this host, and what they were told.
#[derive(Debug)]
pub(super) struct Remotes {
    plugins: Plugins,
    networks: Journal<NotedNetwork>,
    allotments: Journal<NotedAllotment>,
    endpoints: Journal<NotedEndpoint>,
    /// Networks that are not in the store yet, and are about to be.
    held: Mutex<BTreeSet<NetworkId>>,
    /// Endpoints that are not attached yet, and are about to be.
    preparing: Mutex<BTreeSet<EndpointId>>,
    tasks: Arc<Tasks>,
    /// The plugins that were used, and so may have to hear of hosts.
    used: watch::Sender<BTreeSet<String>>,
}

impl Remotes {
    /// Plugins that are found in `dirs`; what they were told is noted in `dir`. `wake` is for who waits for them.
    pub(super) fn open(dirs: Vec<PathBuf>, dir: &Path, wake: Arc<Notify>) -> io::Result<Arc<Self>> {
        let remotes = Self {
            plugins: Plugins::new(dirs, PATIENCE),
            networks: Journal::open(&dir.join("networks"))?,
            allotments: Journal::open(&dir.join("allotments"))?,
            endpoints: Journal::open(&dir.join("endpoints"))?,
            held: Mutex::default(),
            preparing: Mutex::default(),
            tasks: Tasks::new(wake),
            used: watch::Sender::default(),
        };
        remotes.used.send_replace(remotes.told());
        Ok(Arc::new(remotes))
    }

    /// The network driver of this name, which is used from now on.
    async fn driver(&self, plugin: &str) -> Result<NetworkPlugin, plugin::Error> {
        let driver = self.plugins.network(plugin).await?;
        self.used.send_if_modified(|used| used.insert(plugin.to_owned()));
        Ok(driver)
    }

    /// The plugins.
    pub(super) fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// The plugins that were told something.
    pub(super) fn told(&self) -> BTreeSet<String> {
        let networks = self.told_networks().into_values();
        networks.chain(self.endpoints.all().into_iter().map(|(_, note)| note.plugin)).collect()
    }

    /// The networks that a plugin was told of, with its name.
    fn told_networks(&self) -> BTreeMap<String, String> {
        let allotted = self.allotments.all().into_iter().map(|(id, note)| (id, note.plugin));
        allotted
            .chain(self.networks.all().into_iter().map(|(id, note)| (id, note.plugin)))
            .collect()
    }

    /// The networks that a plugin was told of, but for those that are being created.
    pub(super) fn noted_networks(&self) -> Vec<NetworkId> {
        let held = self.held();
        let ids = self.told_networks().into_keys().filter_map(|id| id.parse().ok());
        ids.filter(|id| !held.contains(id)).collect()
    }

    /// The endpoints about which a plugin is being told something.
    pub(super) fn busy_endpoints(&self) -> Vec<EndpointId> {
        let ids = self.endpoints.all().into_iter().filter(|(id, _)| self.tasks.is_running(id));
        ids.filter_map(|(id, _)| id.parse().ok()).collect()
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<NetworkId>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn preparing(&self) -> MutexGuard<'_, BTreeSet<EndpointId>> {
        self.preparing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One plugin as a driver.
#[derive(Clone)]
pub(super) struct Remote {
    plugin: String,
    remotes: Arc<Remotes>,
    /// The drivers that need no plugin, for who has mistyped one.
    known: String,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.plugin).finish()
    }
}

impl Remote {
    pub(super) fn new(plugin: String, remotes: Arc<Remotes>, known: String) -> Self {
        Self { plugin, remotes, known }
    }

    fn is_made(&self, network: &Network) -> bool {
        self.remotes.networks.get(network.id.as_str()).is_some_and(|noted| noted.made)
    }

    /// Has the plugin make a network, and waits for it.
    async fn make_network(&self, network: &Network) -> Result<(), Error> {
        let (this, id, network) = (self.clone(), network.id.clone(), network.clone());
        let work = async move { this.remotes.make_network(&this.plugin, &network).await };
        self.remotes.tasks.run(id.as_str(), Aim::Make, work).await
    }

    /// What has an endpoint be made and join.
    fn making(
        &self,
        host: &HostContext,
        network: &Network,
        endpoint: &Endpoint,
        sandbox: &Path,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let (this, host, network) = (self.clone(), host.clone(), network.clone());
        let (endpoint, sandbox) = (endpoint.clone(), sandbox.to_owned());
        async move {
            let Self { plugin, remotes, .. } = &this;
            remotes.make_endpoint(&host, plugin, &network, &endpoint, sandbox).await
        }
    }

    fn unknown(&self, error: plugin::Error) -> Error {
        let plugin::Error::Missing { dirs, .. } = error else { return error.into() };
        match self.plugin.parse::<DriverName>() {
            Ok(name) => Error::Unknown { name, known: self.known.clone(), dirs },
            Err(_no_name) => plugin::Error::Missing { name: self.plugin.clone(), dirs }.into(),
        }
    }
}

#[async_trait]
impl Driver for Remote {
    fn name(&self) -> &str {
        &self.plugin
    }

    fn chooses_macs(&self) -> bool {
        true
    }

    async fn plan(&self, _host: &HostContext, _spec: &NetworkSpec) -> Result<Plan, Error> {
        let found = self.remotes.driver(&self.plugin).await;
        let plugin = found.map_err(|error| self.unknown(error))?;
        let scope = match plugin.capabilities().scope {
            PluginScope::Local => Scope::Host,
            PluginScope::Global => Scope::Cluster,
        };
        Ok(Plan { scope, addresses: true, ..Plan::default() })
    }

    async fn allot(&self, network: &Network) -> Result<Option<BTreeMap<String, String>>, Error> {
        if network.host.is_some() {
            return Ok(None);
        }
        self.remotes.held().insert(network.id.clone());
        let (this, asked) = (self.clone(), network.clone());
        let work = async move { this.remotes.allot(&this.plugin, &asked).await };
        let allotted = self.remotes.tasks.run(network.id.as_str(), Aim::Make, work).await;
        if allotted.is_err() {
            self.created(&network.id);
        }
        allotted?;
        Ok(self.remotes.allotments.get(network.id.as_str()).and_then(|note| note.options))
    }

    async fn create(&self, network: &Network) -> Result<(), Error> {
        self.remotes.held().insert(network.id.clone());
        let made = self.make_network(network).await;
        if let Err(error) = &made {
            self.created(&network.id);
            // One that does not answer is told later.
            if matches!(error, Error::Plugin(error) if error.is_answer())
                && let Err(error) = self.remove(&network.id).await
            {
                tracing::warn!(network = %network.name, %error, "a plugin keeps what it chose for a network; telling it again");
            }
        }
        made
    }

    fn created(&self, network: &NetworkId) {
        self.remotes.held().remove(network);
    }

    async fn remove(&self, network: &NetworkId) -> Result<(), Error> {
        let (remotes, id) = (Arc::clone(&self.remotes), network.clone());
        let work = async move { remotes.remove_network(&id).await };
        self.remotes.tasks.run(network.as_str(), Aim::Remove, work).await
    }

    async fn prepare(
        &self,
        host: &HostContext,
        network: &Network,
        endpoint: &Endpoint,
        sandbox: &Path,
    ) -> Result<(), Error> {
        self.remotes.preparing().insert(endpoint.id.clone());
        let prepared = async {
            if !self.is_made(network) {
                self.make_network(network).await?;
            }
            let work = self.making(host, network, endpoint, sandbox);
            self.remotes.tasks.run(endpoint.id.as_str(), Aim::Make, work).await
        };
        let prepared = prepared.await;
        if prepared.is_err() {
            self.prepared(&endpoint.id);
        }
        prepared
    }

    fn prepared(&self, endpoint: &EndpointId) {
        if self.remotes.preparing().remove(endpoint) {
            self.remotes.tasks.wake();
        }
    }

    async fn enter(&self, host: &HostContext, network: &Network) -> Result<Presence, Error> {
        let id = network.id.as_str();
        if !self.is_made(network) {
            let (this, network) = (self.clone(), network.clone());
            let work = async move { this.remotes.make_network(&this.plugin, &network).await };
            self.remotes.tasks.poll(id, Aim::Make, work)?;
        }
        Ok(Presence { gateway: gateway(host, network).await?, port: None })
    }

    async fn join(
        &self,
        host: &HostContext,
        network: &Network,
        endpoint: &Endpoint,
        place: Place<'_>,
    ) -> Result<Joined, Error> {
        let (id, ports) = (endpoint.id.as_str(), Ports::of(endpoint));
        let noted = |id| {
            let note = self.remotes.endpoints.get(id)?;
            let same = note.sandbox == place.path && note.ports == ports;
            let joined = note.joined.clone().filter(|_| same)?;
            Some((note, joined))
        };
        if noted(id).is_none() {
            let work = self.making(host, network, endpoint, place.path);
            self.remotes.tasks.poll(id, Aim::Make, work)?;
        }
        let (mut note, answer) = noted(id).ok_or(Error::Pending)?;
        let routes = answer.routes.iter();
        let mut joined = Joined {
            gateways: answer.gateways.iter().filter(|_| !network.internal).collect(),
            routes: routes
                .map(|route| Route { destination: route.destination, next_hop: route.next_hop })
                .collect(),
            ..Joined::default()
        };
        let Some(source) = answer.device else { return Ok(Joined::default()) };
        let inside = Netlink::open(place.netns).await?;
        let device = match note.device.clone() {
            Some(device) => device,
            None => interface::name(&inside, &answer.prefix, place.device, place.named).await?,
        };
        if note.device.is_none() {
            note.device = Some(device.clone());
            self.remotes.endpoints.put(id, note.clone())?;
        }
        let mac = endpoint.mac.or(note.mac);
        interface::put_in(host, &inside, [&source, &device], endpoint, mac).await.map_err(
            |error| Error::Network {
                network: network.name.clone(),
                reason: format!("the device of plugin {}: {error}", self.plugin),
            },
        )?;
        joined.device = Some(device);
        Ok(joined)
    }

    fn leads_ports(&self) -> bool {
        true
    }

    async fn info(&self, endpoint: &EndpointId) -> BTreeMap<String, Value> {
        let note = self.remotes.endpoints.get(endpoint.as_str());
        let Some(note) = note.filter(|note| note.joined.is_some()) else {
            return BTreeMap::new();
        };
        let asked = async {
            self.remotes.driver(&note.plugin).await?.endpoint_info(&note.network, endpoint).await
        };
        match tokio::time::timeout(INFO, asked).await {
            Ok(Ok(info)) => info,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a plugin does not say how an endpoint is doing");
                BTreeMap::new()
            }
            Err(_late) => BTreeMap::new(),
        }
    }

    fn lead(&self, endpoint: &EndpointId, leads: bool) -> Result<(), Error> {
        let id = endpoint.as_str();
        if self.remotes.endpoints.get(id).is_none_or(|note| note.leads == leads) {
            return Ok(());
        }
        let (remotes, endpoint) = (Arc::clone(&self.remotes), endpoint.clone());
        let work = async move { remotes.lead(&endpoint, leads).await };
        self.remotes.tasks.poll(id, Aim::Lead(leads), work)
    }

    async fn sweep(&self, host: &HostContext, present: &Present) -> Result<(), Error> {
        let own = |plugin: &str| plugin == self.plugin;
        let mut swept = Ok(());
        let mut note = |outcome: Result<(), Error>| match outcome {
            Err(Error::Pending) if swept.is_err() => {}
            Err(error) => swept = Err(error),
            Ok(()) => {}
        };
        let preparing = self.remotes.preparing().clone();
        let mut used = BTreeSet::new();
        for (id, noted) in self.remotes.endpoints.all() {
            let Ok(endpoint) = id.parse::<EndpointId>() else { continue };
            used.insert(noted.network.clone());
            if present.endpoints.contains(&endpoint) || !own(&noted.plugin) {
                continue;
            }
            if preparing.contains(&endpoint) {
                note(Err(Error::Pending));
                continue;
            }
            let (remotes, host) = (Arc::clone(&self.remotes), host.clone());
            let work = async move { remotes.remove_endpoint(&host, &endpoint).await };
            note(self.remotes.tasks.poll(&id, Aim::Remove, work));
        }
        for (id, plugin) in self.remotes.told_networks() {
            let Ok(network) = id.parse::<NetworkId>() else { continue };
            if used.contains(&network) || !present.gone.contains(&network) || !own(&plugin) {
                continue;
            }
            let remotes = Arc::clone(&self.remotes);
            let work = async move { remotes.remove_network(&network).await };
            note(self.remotes.tasks.poll(&id, Aim::Remove, work));
        }
        swept
    }
}

/// The device of the host that has the address of the network's gateway, where the plugin has made one here: names can
/// be served there.
async fn gateway(host: &HostContext, network: &Network) -> Result<Option<Device>, Error> {
    let addresses = host.netlink.addresses().await?;
    let is_gateway = |address: &&crate::kernel::Address| {
        network.subnets.iter().any(|subnet| subnet.gateway == address.net.addr())
    };
    let Some(found) = addresses.iter().find(is_gateway) else { return Ok(None) };
    let link = host.netlink.link_by_index(found.link).await?;
    Ok(Some(Device::of(&link)))
}
