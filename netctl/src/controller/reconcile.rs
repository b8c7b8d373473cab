//! The reconcile loop: makes the host as the store says, by difference, however it came to differ.
//!
//! Events carry no truth here; they only wake the loop. Each pass looks at what should be and at what is, and does the
//! rest. Nothing is taken down before everything that could speak for it has been listed whole.

mod failures;
mod forward;
mod interest;
mod join;
mod look;
mod names;
mod outside;
mod pass;
mod raise;
mod report;
mod routes;
mod sweep;
mod tally;
mod without;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::{
    forward::Part,
    interest::Interests,
    join::Built,
    look::{Changed, Looked, Own},
    names::Names,
    pass::Depth,
};
use super::{
    follow::{Follower, Mirror},
    observation::Inventory,
    outside::{LENT, Outside},
    pulse::{Bell, Pulse},
    records::Records,
    routes::Wanted,
};
use crate::{
    dataplane::{Dataplane, Touched},
    discovery::Counters,
    drivers::{Drivers, HostContext, Presence, Present},
    kernel::{Insides, Netlink},
    model::{Endpoint, EndpointId, Host, HostName, Network, NetworkId, SandboxId},
    store::{Revision, SharedStore},
};

/// How long after a pass that did not do all the next one comes, at first; it doubles up to [`PERIOD`].
const RETRY: Duration = Duration::from_millis(500);
/// How often a pass looks also at what is known to stand: what others did to the kernel's state is mended.
const PERIOD: Duration = Duration::from_secs(30);
/// How long the last pass may take once the daemon is to end. What it leaves undone the next daemon does, as after any
/// death.
const LAST: Duration = Duration::from_secs(3);
/// How often others go first before a pass begins: the changes of one transaction are heard by several watches.
const GATHER: usize = 4;

/// How far the loop has come, for operations that wait for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Every change of this host's attachments up to this revision is followed.
    pub(super) revision: Revision,
    /// The same of the networks that its engine has.
    pub(super) engine: Revision,
    /// The networks of interest, each with every change of its endpoints up to a revision.
    pub(super) networks: BTreeMap<NetworkId, Revision>,
    /// The endpoints of this host, each as it was put in a revision, and how it stands with it.
    pub(super) endpoints: BTreeMap<EndpointId, (Revision, Service)>,
}

impl Progress {
    /// Whether a plugin is being waited for.
    pub(super) fn is_pending(&self) -> bool {
        self.endpoints.values().any(|(_, service)| *service == Service::Pending)
    }
}

/// How it stands with an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// It is served.
    Ready,
    /// A plugin is being waited for.
    Pending,
    /// It is not served, and why.
    Failed(String),
}

/// A network of interest: it has an endpoint on this host, or this host's engine has it.
#[derive(Debug)]
struct Followed {
    network: Arc<Network>,
    endpoints: Follower<Endpoint>,
    /// Once it was entered.
    presence: Option<Presence>,
    of_engine: bool,
    /// What its endpoints are, as of when they were last looked at.
    looked: Looked,
    /// What the data plane is to hold of it.
    part: Option<Part>,
}

impl Followed {
    /// One that was not entered yet.
    fn new(network: Network, endpoints: Follower<Endpoint>, of_engine: bool) -> Self {
        let (network, looked) = (Arc::new(network), Looked::default());
        Self { network, endpoints, presence: None, of_engine, looked, part: None }
    }
}

/// The loop, and what it has seen and made.
#[derive(Debug)]
pub(super) struct Reconciler {
    host: HostName,
    store: SharedStore,
    drivers: Drivers,
    context: Arc<HostContext>,
    dataplane: Arc<Dataplane>,
    records: Arc<Records>,
    wake: Arc<Notify>,
    bell: Bell,
    pulse: Arc<Pulse>,
    inventory: watch::Sender<Inventory>,
    progress: watch::Sender<Progress>,
    followed: BTreeMap<NetworkId, Followed>,
    /// The endpoints of this host, as the last pass saw them.
    own: BTreeMap<EndpointId, Own>,
    /// Endpoints that are otherwise than the last pass left them, or that it could not do.
    todo: Changed,
    /// Endpoints that are known to stand, and due to be looked at.
    due: BTreeSet<EndpointId>,
    built: BTreeMap<EndpointId, Built>,
    /// Of which `built` says something else than when the parts were last brought up to it.
    rebuilt: BTreeSet<EndpointId>,
    /// Of which the parts say something else than the data plane was last told.
    touched: Touched,
    /// Whether the data plane holds the parts but for what is `touched`, and nothing else.
    held: bool,
    /// Sockets in sandboxes, during a pass.
    insides: Insides,
    /// Indices of devices of `built` that are up.
    raised: BTreeSet<u32>,
    /// What sandboxes were found to have, or given, and the endpoints that it follows from.
    routed: BTreeMap<SandboxId, (BTreeSet<EndpointId>, Vec<Wanted>)>,
    /// What links there may be; nothing where any may.
    swept: Option<Present>,
    started: Instant,
    /// Whether all that an earlier daemon left was found to stand; nothing is taken down before.
    settled: bool,
    names: Names,
    /// Told where this host misses what was taken from it.
    missing: Arc<Notify>,
    outside: Outside,
    /// Endpoints that are not of this host any more, about which others are being told.
    leaving: BTreeSet<EndpointId>,
    /// Whether the last pass failed for whole networks.
    wide: bool,
}

impl Reconciler {
    pub(super) fn new(
        host: HostName,
        store: SharedStore,
        drivers: Drivers,
        context: Arc<HostContext>,
        dataplane: Arc<Dataplane>,
        records: Arc<Records>,
    ) -> (Self, watch::Receiver<Progress>) {
        let (progress, receiver) = watch::channel(Progress::default());
        let wake = drivers.wake();
        let pulse = Arc::<Pulse>::default();
        let bell = Bell::new(Arc::clone(&wake), Arc::clone(&pulse));
        let names = Names::new(
            records.synced_dir(),
            context.netlink.netns().clone(),
            Arc::clone(&store),
            bell.clone(),
        );
        let outside = Outside::new(records.run_dir().join(LENT));
        let reconciler = Self {
            host,
            store,
            drivers,
            context,
            dataplane,
            records,
            wake,
            bell,
            pulse,
            inventory: watch::Sender::default(),
            progress,
            followed: BTreeMap::new(),
            own: BTreeMap::new(),
            todo: Changed::default(),
            due: BTreeSet::new(),
            built: BTreeMap::new(),
            rebuilt: BTreeSet::new(),
            touched: Touched::default(),
            held: false,
            insides: Insides::default(),
            raised: BTreeSet::new(),
            routed: BTreeMap::new(),
            swept: None,
            started: Instant::now(),
            settled: false,
            names,
            missing: Arc::default(),
            outside,
            leaving: BTreeSet::new(),
            wide: false,
        };
        (reconciler, receiver)
    }

    /// What the name servers did, in numbers.
    pub(super) fn name_counters(&self) -> Arc<Counters> {
        self.names.counters()
    }

    /// How well it keeps up.
    pub(super) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// What is on this host, as it is and will be.
    pub(super) fn inventory(&self) -> watch::Receiver<Inventory> {
        self.inventory.subscribe()
    }

    /// The hosts that are alive, as they are and will be.
    pub(super) fn hosts(&self) -> watch::Receiver<Mirror<Host>> {
        self.names.hosts()
    }

    /// Notified where this host misses what was taken from it while it was away.
    pub(super) fn missing(&self) -> Arc<Notify> {
        Arc::clone(&self.missing)
    }

    /// Has the kernel asked by a socket of this thread's.
    async fn ask_aside(&mut self) {
        match Netlink::open(self.context.netlink.netns()).await {
            Ok(netlink) => {
                self.context =
                    Arc::new(HostContext { netlink, ..HostContext::clone(&self.context) });
            }
            Err(error) => tracing::debug!(%error, "asking by the socket of all"),
        }
    }

    /// Runs until cancelled. What it made stays.
    pub(super) async fn run(mut self, cancel: &CancellationToken) {
        self.ask_aside().await;
        let mut interests = Interests::follow(&self.store, &self.host, &self.bell);
        let wake = Arc::clone(&self.wake);
        let guard = self.guard_ways().await;
        let mut underlay = self.context.underlay.clone();
        let mut pause = RETRY;
        let mut looked: Option<Instant> = None;
        loop {
            let interest = interests.now();
            let depth = match looked {
                None => Depth::Whole,
                Some(looked) if looked.elapsed() >= PERIOD => Depth::Host,
                Some(_) => Depth::Changes,
            };
            if interest.is_some() && depth.is_full() {
                looked = Some(Instant::now());
            }
            let done = match &interest {
                Some(interest) => {
                    let pulse = Arc::clone(&self.pulse);
                    let pass = self.timed_pass(interest, depth);
                    let late = async {
                        cancel.cancelled().await;
                        tokio::time::sleep(LAST).await;
                    };
                    tokio::select! {
                        done = pass => done,
                        () = late => {
                            tracing::warn!(stage = pulse.stage(), seconds = LAST.as_secs(), "a pass is cut off: it took too long to end");
                            true
                        }
                    }
                }
                None => true,
            };
            let next = match done {
                true if self.due.is_empty() => PERIOD,
                true => Duration::ZERO,
                false => pause,
            };
            pause = if done { RETRY } else { (pause * 2).min(PERIOD) };
            let woken = async {
                tokio::select! {
                    () = tokio::time::sleep(next) => {}
                    () = wake.notified() => {}
                    // What stands was made for the old one.
                    Ok(()) = underlay.changed() => looked = None,
                }
            };
            let gathered = async {
                woken.await;
                for _ in 0..GATHER {
                    tokio::task::yield_now().await;
                }
                // What woke it until now is seen by the next pass.
                wake.notified().now_or_never();
            };
            if cancel.run_until_cancelled(gathered).await.is_none() {
                break;
            }
        }
        if let Some(guard) = guard {
            guard.abort();
        }
        interests.stop().await;
        for (_, followed) in std::mem::take(&mut self.followed) {
            followed.endpoints.stop().await;
        }
        self.names.shutdown().await;
    }
}
