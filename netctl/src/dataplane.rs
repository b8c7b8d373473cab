//! The eBPF data plane: loading, attaching, pinning and adopting it, and the one owner of all its maps.
//!
//! What the kernel holds outlives the daemon: maps and links are pinned, and a daemon that starts finds them, gives
//! the links its own programs and goes on from what the maps hold. [`Dataplane::apply`] brings them to a desired state
//! by difference; nothing is ever flushed.

mod bpffs;
mod desired;
mod error;
mod events;
mod features;
mod filter;
mod layout;
mod links;
mod load;
mod maps;
mod mirror;
mod owner;
mod paths;
mod plan;
mod rehearse;
mod rows;
mod traffic;
mod usage;
mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

pub use self::{
    desired::{
        Applied, Desired, FdbTarget, NetworkEntry, Port, PortEntry, Station, Sweep, Touched, Way,
    },
    error::Error,
    events::{EventKinds, Listening, PacketEvent, Told},
    features::Features,
    paths::Path as HostPath,
    rehearse::{Entrance, LONGEST, Rehearsal, rehearse},
    rows::{CounterRow, FdbRow, FloodRow, NeighRow, PortRow},
    traffic::{Loss, Pair, Traffic, Volume},
    usage::{MapRow, ProgramRow, Usage},
};
use self::{
    events::Events,
    mirror::Mirror,
    owner::{Look, Reply, Request},
};
use crate::model::Vteps;

/// How many requests may wait for the owner before those who ask wait too.
const QUEUE: usize = 16;

/// What the data plane of a host is bound to.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where maps and links are pinned. It is made a bpf file system if it is not on one.
    pub bpf_dir: PathBuf,
    /// The device that leads to the other hosts, by its name in the namespace of the caller.
    pub underlay: String,
    /// This host's own addresses on it.
    pub vteps: Vteps,
    /// The UDP port of VXLAN, the same on every host.
    pub vxlan_port: u16,
    /// The kernel's flow-based vxlan device on that port, which must exist.
    pub vxlan_device: String,
    /// Whether forged packets are dropped by the underlay's driver already, if it can.
    pub filter: bool,
}

/// The data plane of this host, as long as this process lives.
#[derive(Debug)]
pub struct Dataplane {
    features: Features,
    requests: mpsc::Sender<Request>,
    events: Events,
    owner: thread::JoinHandle<()>,
    /// The other hosts that the maps have.
    hosts: watch::Receiver<BTreeSet<IpAddr>>,
    /// What follows the ways to them.
    mirror: Mutex<JoinHandle<()>>,
}

impl Dataplane {
    /// Loads the programs and attaches them to the underlay and the vxlan device. What an earlier process pinned is
    /// adopted: maps keep their entries, and links change their program without missing a packet.
    ///
    /// What a version with another layout pinned cannot be adopted, and serves its devices on: [`Self::apply`] takes them
    /// over by the first [`Sweep::Remove`], when the maps hold all that is desired.
    ///
    /// # Errors
    ///
    /// Where the process, the kernel, a device or a pinned map is not what it must be; nothing is left behind then,
    /// and what was pinned before stays.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let (requests, queue) = mpsc::channel(QUEUE);
        let (ready, features) = oneshot::channel();
        let (known, hosts) = watch::channel(BTreeSet::new());
        let (underlay, local) = (config.underlay.clone(), config.vteps);
        let thread = thread::Builder::new().name("dataplane".to_owned());
        let owner = thread
            .spawn(move || owner::run(&config, ready, queue, &known))
            .map_err(|source| Error::Thread { source })?;
        let (features, source) = features.await.map_err(|_gone| Error::Stopped)??;
        let events = Events::start(source)?;
        let mirror = Mirror::start(underlay, local, requests.downgrade(), hosts.clone()).await?;
        Ok(Self { features, requests, events, owner, hosts, mirror: Mutex::new(mirror) })
    }

    /// Binds it to another underlay device, or to other addresses on it, as a start on what is pinned would: the maps stay,
    /// and no device is without a program at any time. `filter` is as in [`Config`].
    ///
    /// # Errors
    /// Where the device is not there, or the kernel refuses. What was bound before serves on, as far as it still can.
    pub async fn rebind(&self, underlay: String, vteps: Vteps, filter: bool) -> Result<(), Error> {
        let (device, hosts) = (underlay.clone(), self.hosts.clone());
        self.ask(|reply| Request::Rebind(device, vteps, filter, reply)).await?;
        let mirror = Mirror::start(underlay, vteps, self.requests.downgrade(), hosts).await?;
        let mut running = self.mirror.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *running, mirror).abort();
        Ok(())
    }

    /// What the kernel can do that not every kernel can.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Why the underlay's driver drops no forged packets though it was to; `None` if it does, or was not to.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] where the owner has failed before.
    pub async fn unfiltered(&self) -> Result<Option<String>, Error> {
        self.ask(Request::Unfiltered).await
    }

    /// Makes the maps and the ports hold what is desired, by the smallest change.
    ///
    /// # Errors
    ///
    /// Where `desired` cannot be held, in which case nothing was changed, or where the kernel refused a change; those
    /// before it are made, and applying the same again goes on from there.
    pub async fn apply(&self, desired: Desired, sweep: Sweep) -> Result<Applied, Error> {
        self.ask(|reply| Request::Apply(Box::new(desired), sweep, Look::All, reply)).await
    }

    /// As [`Self::apply`], but ports that were found to run their program are taken to run it still.
    ///
    /// # Errors
    ///
    /// As [`Self::apply`].
    pub async fn apply_new(&self, desired: Desired, sweep: Sweep) -> Result<Applied, Error> {
        self.ask(|reply| Request::Apply(Box::new(desired), sweep, Look::New, reply)).await
    }

    /// As [`Self::apply`] with [`Sweep::Remove`], but for these entries alone: all others stay as they were applied, and
    /// what it costs does not grow with them. Besides these `desired` has all tunnels, and nothing else.
    ///
    /// # Errors
    ///
    /// As [`Self::apply`].
    pub async fn apply_part(&self, desired: Desired, touched: Touched) -> Result<Applied, Error> {
        self.ask(|reply| Request::ApplyPart(Box::new(desired), touched, reply)).await
    }

    /// Where each station is, as the map says.
    pub async fn fdb(&self) -> Result<Vec<FdbRow>, Error> {
        self.ask(Request::Fdb).await
    }

    /// Who gets what is sent to all of each network, as the map says.
    pub async fn flood(&self) -> Result<Vec<FloodRow>, Error> {
        self.ask(Request::Flood).await
    }

    /// Who answers for each address, as the maps say.
    pub async fn neigh(&self) -> Result<Vec<NeighRow>, Error> {
        self.ask(Request::Neigh).await
    }

    /// The devices that endpoints are behind, as the map says.
    pub async fn ports(&self) -> Result<Vec<PortRow>, Error> {
        self.ask(Request::Ports).await
    }

    /// The way to each other host, as far as the kernel's routes and neighbours were followed.
    pub async fn paths(&self) -> Result<BTreeMap<IpAddr, HostPath>, Error> {
        self.ask(Request::Paths).await
    }

    /// How many packets ended in which way, since the maps were made.
    pub async fn counters(&self) -> Result<Vec<CounterRow>, Error> {
        self.ask(Request::Counters).await
    }

    /// Listens to what the programs tell of single packets, from now on.
    pub async fn listen(&self, kinds: EventKinds) -> Listening {
        self.events.listen(kinds).await
    }

    /// What the programs counted by who sends to whom. They do so for some seconds after somebody has asked; what was counted
    /// by then stays.
    pub async fn traffic(&self) -> Result<Traffic, Error> {
        self.events.count().await;
        self.ask(Request::Traffic).await
    }

    /// Has the programs tell nothing any more, for good: nobody will be there to hear it.
    pub async fn fall_silent(&self) {
        self.events.end().await;
    }

    /// What the maps hold against their size, what the programs counted, and how long they ran.
    pub async fn usage(&self) -> Result<Usage, Error> {
        self.ask(Request::Usage).await
    }

    /// Lets go of everything and leaves it pinned and forwarding.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] where the owner has failed before.
    pub async fn shutdown(self) -> Result<(), Error> {
        drop(self.requests);
        let owner = self.owner;
        let joined = tokio::task::spawn_blocking(move || owner.join().is_ok()).await;
        if matches!(joined, Ok(true)) { Ok(()) } else { Err(Error::Stopped) }
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_closed| Error::Stopped)?;
        answer.await.map_err(|_gone| Error::Stopped)?
    }
}

/// The names of the programs that a device of the caller's namespace runs on what it receives, the first first.
///
/// # Errors
///
/// Where there is no such device, or the kernel does not say.
pub async fn programs_on(device: &str) -> Result<Vec<String>, Error> {
    let device = device.to_owned();
    let read = tokio::task::spawn_blocking(move || links::names_on(&device));
    read.await.map_err(|_panicked| Error::Stopped)?
}

/// Whether links of this version of the layout are pinned below `bpf_dir`.
pub fn is_pinned(bpf_dir: &Path) -> bool {
    bpffs::has_links(bpf_dir)
}

/// The programs that a port, the underlay and the vxlan device run.
pub const PROGRAMS: [&str; 3] = [
    netctl_common::config::FROM_CONTAINER,
    netctl_common::config::FROM_UNDERLAY,
    netctl_common::config::FROM_TUNNEL,
];

/// Whether the vxlan device `device` of the caller's namespace is served by a data plane that has its pins elsewhere than
/// below `bpf_dir`.
///
/// # Errors
/// Where the kernel does not say.
pub async fn is_served_by_another(bpf_dir: &Path, device: &str) -> Result<bool, Error> {
    let (dir, device) = (bpf_dir.to_owned(), device.to_owned());
    let look = move || links::is_served_by_another(&dir, links::Role::Tunnel, &device);
    let looked = tokio::task::spawn_blocking(look).await;
    looked.map_err(|_panicked| Error::Stopped)?
}

/// What was taken away of where netctl pins.
#[derive(Debug, Default)]
pub struct Unpinned {
    /// The directories of pins that there were.
    pub pins: Vec<PathBuf>,
    /// Where bpf file systems were that netctl had mounted.
    pub unmounted: Vec<PathBuf>,
    /// Where those are that stay, since others use them.
    pub in_use: Vec<PathBuf>,
}

/// Detaches and unpins all that any version of netctl left in `bpf_dir`, unmounts what netctl had mounted for it, and says
/// where that was; no error where nothing is.
///
/// # Errors
///
/// [`Error::Busy`] where a daemon runs on it, and whatever the file system refuses.
pub async fn remove(bpf_dir: &Path) -> Result<Unpinned, Error> {
    let dir = bpf_dir.to_owned();
    let removed = tokio::task::spawn_blocking(move || bpffs::remove(&dir)).await;
    removed.map_err(|_panicked| Error::Stopped)?
}
