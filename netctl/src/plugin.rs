//! The client of third-party plugins: libnetwork's remote network driver and remote IPAM protocols.
//!
//! A plugin is a process that answers HTTP at a socket, and is found by a file in one of the plugin directories. It is
//! looked for and asked what it is (`/Plugin.Activate`) when its name is first used; that is kept until it can no longer
//! be reached. What is asked of it waits for nobody else: each call has a connection and a time limit of its own.

mod decode;
mod discovery;
mod error;
mod ipam;
mod journal;
mod network;
mod transport;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    decode::decode,
    discovery::{Address, Incarnation},
    error::Error,
    ipam::{AddressSpaces, IpamCapabilities, IpamPlugin, PoolRequest, Purpose, RequestedPool},
    journal::Journal,
    network::{
        AddressData, Capabilities, Gateways, JoinAnswer, NetworkPlugin, NetworkRequest, NodeData,
        PluginScope, Ports, RequestedInterface, StaticRoute,
    },
};
use self::{
    error::line,
    transport::{Fault, post},
};
use crate::crash;

/// Where Docker looks for plugins (moby, `pkg/plugins/discovery.go`, `discovery_unix.go`).
pub const DIRECTORIES: [&str; 3] =
    ["/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins"];
/// How long a plugin may take for one answer, and for how long one that cannot be reached is asked again.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before a plugin that could not be reached is asked again; it doubles (moby, `pkg/plugins/client.go`).
const PAUSE: Duration = Duration::from_secs(1);

/// The plugins of this host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Plugins {
    dirs: Arc<[PathBuf]>,
    patience: Duration,
    /// Those that were asked for; the inner lock is held by who finds out about one.
    known: Arc<Mutex<BTreeMap<String, Slot>>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Active>>>;

/// A plugin that has said what it is.
#[derive(Clone, Debug)]
struct Active {
    address: Address,
    implements: Vec<String>,
    capabilities: Option<Capabilities>,
    ipam: Option<(IpamCapabilities, AddressSpaces)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Activation {
    implements: Vec<String>,
}

/// What a plugin answers that has nothing to say.
#[derive(Debug, Default, Deserialize)]
struct Nothing {}

impl Plugins {
    /// Plugins that are found in `dirs`, in this order, and are given `patience` for each answer.
    pub fn new(dirs: Vec<PathBuf>, patience: Duration) -> Self {
        Self { dirs: dirs.into(), patience, known: Arc::default() }
    }

    /// Where it is looked for them.
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// The network driver of this name.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::File`] where nothing says how it is reached; [`Error::NotImplemented`] where it is
    /// another kind of plugin; [`Error::Scope`]; and those of calls.
    pub async fn network(&self, name: &str) -> Result<NetworkPlugin, Error> {
        let slot = self.slot(name);
        let mut active = slot.lock().await;
        let mut found = self.activate(name, &mut active, "NetworkDriver").await?;
        let caller = self.caller(name, &found.address);
        let capabilities = match found.capabilities {
            Some(known) => known,
            None => {
                NetworkPlugin::capabilities_of(&caller).await.inspect_err(|_| *active = None)?
            }
        };
        found.capabilities = Some(capabilities);
        *active = Some(found);
        Ok(NetworkPlugin::new(caller, capabilities))
    }

    /// The IPAM driver of this name.
    ///
    /// # Errors
    /// As [`Self::network`].
    pub async fn ipam(&self, name: &str) -> Result<IpamPlugin, Error> {
        let slot = self.slot(name);
        let mut active = slot.lock().await;
        let mut found = self.activate(name, &mut active, "IpamDriver").await?;
        let caller = self.caller(name, &found.address);
        let (capabilities, spaces) = match found.ipam {
            Some(known) => known,
            None => IpamPlugin::describe(&caller).await.inspect_err(|_| *active = None)?,
        };
        found.ipam = Some((capabilities, spaces.clone()));
        *active = Some(found);
        Ok(IpamPlugin::new(caller, capabilities, spaces))
    }

    /// The plugin of this name as it was started last; none where nothing says how it is reached.
    pub fn incarnation(&self, name: &str) -> Option<Incarnation> {
        Incarnation::of(discovery::find(name, &self.dirs).ok()?)
    }

    fn slot(&self, name: &str) -> Slot {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(name.to_owned()).or_default())
    }

    async fn activate(
        &self,
        name: &str,
        active: &mut Option<Active>,
        wanted: &'static str,
    ) -> Result<Active, Error> {
        let found = if let Some(found) = active.take() {
            found
        } else {
            let address = discovery::find(name, &self.dirs)?;
            let Activation { implements } =
                self.caller(name, &address).ask("Plugin.Activate").await?;
            Active { address, implements, capabilities: None, ipam: None }
        };
        if found.implements.iter().any(|kind| kind == wanted) {
            *active = Some(found.clone());
            return Ok(found);
        }
        // It may be another the next time.
        let has = match &*found.implements {
            [] => "nothing".to_owned(),
            kinds => line(&kinds.join(", ")),
        };
        Err(Error::NotImplemented { name: name.to_owned(), wanted, has })
    }

    fn caller(&self, name: &str, address: &Address) -> Caller {
        Caller { name: name.to_owned(), address: address.clone(), plugins: self.clone() }
    }

    /// Has the next who needs the plugin find it anew.
    fn lose(&self, name: &str, address: &Address) {
        // Who finds out about it now forgets it by itself where that fails.
        if let Ok(mut active) = self.slot(name).try_lock()
            && active.as_ref().is_some_and(|active| active.address == *address)
        {
            *active = None;
        }
    }
}

/// Calls one plugin. Cheap to clone.
#[derive(Clone, Debug)]
struct Caller {
    name: String,
    address: Address,
    plugins: Plugins,
}

impl Caller {
    /// A call without an argument: its body is empty.
    async fn ask<A: DeserializeOwned + Default>(&self, method: &'static str) -> Result<A, Error> {
        self.exchange(method, Vec::new()).await
    }

    async fn call<A: DeserializeOwned + Default>(
        &self,
        method: &'static str,
        request: &(impl Serialize + Sync),
    ) -> Result<A, Error> {
        let body = serde_json::to_vec(request)
            .map_err(|error| self.garbled(method, format!("netctl's own request: {error}")))?;
        self.exchange(method, body).await
    }

    /// A call whose answer says nothing but whether it was done.
    async fn tell(
        &self,
        method: &'static str,
        request: &(impl Serialize + Sync),
    ) -> Result<(), Error> {
        let Nothing {} = self.call(method, request).await?;
        Ok(())
    }

    fn garbled(&self, method: &'static str, reason: impl Into<String>) -> Error {
        Error::Garbled { name: self.name.clone(), method, reason: line(&reason.into()) }
    }

    /// Asks, and asks again for as long as the plugin cannot be reached.
    async fn exchange<A: DeserializeOwned + Default>(
        &self,
        method: &'static str,
        body: Vec<u8>,
    ) -> Result<A, Error> {
        let (name, patience) = (self.name.clone(), self.plugins.patience);
        let started = Instant::now();
        let mut pause = PAUSE;
        loop {
            crash::step("before a plugin is asked");
            let answer = post(&self.address, method, body.clone(), patience).await;
            crash::step("after a plugin was asked");
            let fault = match answer {
                Ok((status, body)) => return self.read(method, status, &body),
                Err(fault) => fault,
            };
            let reason = match fault {
                Fault::Garbled(reason) => return Err(self.garbled(method, reason)),
                Fault::Late => {
                    let seconds = patience.as_secs();
                    return Err(Error::Late { name, method, seconds });
                }
                Fault::Unreachable(reason) => reason,
            };
            if started.elapsed() + pause >= patience {
                self.plugins.lose(&name, &self.address);
                let at = self.address.to_string();
                return Err(Error::Unreachable { name, at, method, reason });
            }
            tracing::warn!(plugin = name, method, reason, "cannot be reached; trying again");
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    fn read<A: DeserializeOwned + Default>(
        &self,
        method: &'static str,
        status: hyper::StatusCode,
        body: &[u8],
    ) -> Result<A, Error> {
        let name = self.name.clone();
        let said = decode::error(body);
        if status == hyper::StatusCode::NOT_FOUND {
            return Err(Error::Unknown { name, method });
        }
        if status != hyper::StatusCode::OK {
            let text = said.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
            let text = if text.trim().is_empty() { status.to_string() } else { text };
            return Err(Error::Refused { name, method, text: line(&text) });
        }
        match said {
            Some(text) => Err(Error::Refused { name, method, text: line(&text) }),
            None => decode(body).map_err(|reason| self.garbled(method, reason)),
        }
    }
}

#[cfg(test)]
mod tests;
