//! Which servers run.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    counts::Counters,
    directory::Directory,
    listener::Context,
    socket::{self, ListenError},
    upstream::Upstreams,
};
use crate::model::NetworkId;

/// How many queries may be out with other name servers at once, each with a socket of its own.
const MAX_FORWARDS: usize = 256;

/// A place where names are served: the gateway address of a network, on the network's device on this host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Whose names.
    pub network: NetworkId,
    /// The device that carries the address; it must be there.
    pub device: String,
    /// The address.
    pub address: IpAddr,
}

/// All that the listeners have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: watch::Receiver<Arc<Directory>>,
    pub(super) upstreams: Upstreams,
    pub(super) forwards: Arc<Semaphore>,
    pub(super) counters: Arc<Counters>,
}

/// The name servers of this host.
///
/// Their tasks end with [`Servers::shutdown`], which waits for them, or soon after this is dropped.
#[derive(Debug)]
pub struct Servers {
    shared: Arc<Shared>,
    runtime: Handle,
    running: BTreeMap<Listener, Running>,
}

#[derive(Debug)]
struct Running {
    /// A device that was made anew has the old name and another index, and the old sockets hear nothing of it.
    index: u32,
    /// Cancels the tasks.
    guard: DropGuard,
    tasks: TaskTracker,
}

impl Running {
    async fn stop(self) {
        let Self { guard, tasks, .. } = self;
        drop(guard);
        tasks.wait().await;
    }
}

impl Servers {
    /// Answers from what `directory` holds last, and asks `upstreams` for the rest. Nothing runs yet; what will, runs on
    /// `runtime`, whoever applies it.
    pub fn new(
        runtime: Handle,
        directory: watch::Receiver<Arc<Directory>>,
        upstreams: Upstreams,
    ) -> Self {
        let forwards = Arc::new(Semaphore::new(MAX_FORWARDS));
        let counters = Arc::default();
        let shared = Arc::new(Shared { directory, upstreams, forwards, counters });
        Self { shared, runtime, running: BTreeMap::new() }
    }

    /// Stops what is not in `desired` and starts what is new there; what stays is not touched.
    ///
    /// Must run in the namespace of the devices. Returns those that could not be started; they are tried again with the
    /// next call.
    pub async fn apply(&mut self, desired: &BTreeSet<Listener>) -> Vec<ListenError> {
        let index = |device: &str| nix::net::if_::if_nametoindex(device).unwrap_or_default();
        let (gone, kept) = std::mem::take(&mut self.running)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(listener, running)| {
                !desired.contains(listener) || running.index != index(&listener.device)
            });
        self.running = kept;
        for (listener, running) in gone {
            running.stop().await;
            tracing::debug!(network = ?listener.network, address = %listener.address, "names no longer served");
        }
        let mut errors = Vec::new();
        for listener in desired {
            if self.running.contains_key(listener) {
                continue;
            }
            match self.start(listener, index(&listener.device)) {
                Ok(running) => drop(self.running.insert(listener.clone(), running)),
                Err(error) => errors.push(error),
            }
        }
        errors
    }

    fn start(&self, listener: &Listener, index: u32) -> Result<Running, ListenError> {
        let _runtime = self.runtime.enter();
        let (udp, tcp) = socket::open(listener)?;
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        let context = Context::new(
            (listener.network.clone(), SocketAddr::new(listener.address, socket::PORT)),
            Arc::clone(&self.shared),
            cancel.clone(),
            tasks.clone(),
        );
        tasks.spawn(Arc::clone(&context).serve_udp(udp));
        tasks.spawn(context.serve_tcp(tcp));
        tasks.close();
        tracing::debug!(network = ?listener.network, address = %listener.address, "names served");
        Ok(Running { index, guard: cancel.drop_guard(), tasks })
    }

    /// What was done since the start.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Stops all, and waits until they have stopped.
    pub async fn shutdown(self) {
        for running in self.running.into_values() {
            running.stop().await;
        }
    }
}
