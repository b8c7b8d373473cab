//! The operations of the Container Network Model, the sync from the store, and the reconcile loop.
//!
//! An operation changes the store, by one transaction, and then waits until this host has followed. What follows from
//! the store is done in one place, the reconcile loop, whoever changed it: a person here, another host, or a crash.

mod abandoned;
mod addresses;
mod aside;
mod attach;
mod audit;
mod between;
mod big_tcp;
mod cleanup;
mod connect;
mod containers;
mod engine;
mod error;
mod files;
mod filter;
mod find;
mod follow;
mod holdings;
mod keys;
mod known;
mod leases;
mod mend;
mod neighbours;
mod netns_names;
mod networks;
mod note;
mod observation;
mod outside;
mod ports;
mod presence;
mod probe;
mod provide;
mod pulse;
mod reap;
mod reconcile;
mod records;
mod recover;
mod retry;
mod routes;
mod sandboxes;
mod scene;
mod services;
mod settle;
mod stations;
mod underlay;
mod views;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    cleanup::{Cleaned, Remainder, Thing, clean},
    engine::{
        EngineAddress, EngineAttachment, EngineEndpointSpec, EngineHolds, EngineNetworkSpec,
        EnginePoolSpec, EnginePoolView, EngineScope, EngineSubnet,
    },
    error::{Error, Kind},
    holdings::{endpoint_entries, host_entry, network_entries},
    note::noted,
    observation::{Activity, GatewayTraffic, NetworkCount, Observation},
    outside::{Ways, ways},
    pulse::Sync,
    reap::ReapAfter,
    records::{Kept, kept},
    stations::{Behind, Stations},
};
use self::{
    leases::Leases,
    observation::Observer,
    ports::Reserved,
    reconcile::{Progress, Reconciler},
    records::Records,
};
use crate::{
    dataplane::{self, Dataplane},
    discovery,
    drivers::{self, Drivers, HostContext},
    ipam::{Allocator, DefaultPool},
    kernel::{self, Link, Netlink, Netns},
    model::{AuditView, Choice, Chosen, Host, HostName, UnixTime, Vteps},
    moment::{Moment, unix_now as now},
    store::{Measured, SharedStore},
};

/// What a daemon takes from its machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The host's name, unique in the cluster.
    pub host: HostName,
    /// Files that live as long as the machine is up.
    pub run_dir: PathBuf,
    /// Files that outlive it.
    pub state_dir: PathBuf,
    /// Where the bpffs with links and maps is.
    pub bpf_dir: PathBuf,
    /// Where namespaces of sandboxes are bound.
    pub netns_dir: PathBuf,
    /// The underlay device; found by itself where none is given.
    pub bind_interface: Option<String>,
    /// The UDP port of VXLAN, the same in the whole cluster.
    pub vxlan_port: u16,
    /// Whether TCP's packets may be larger than 64 KiB.
    pub big_tcp: Choice,
    /// Whether forged packets are dropped by the underlay's driver already.
    pub xdp: Choice,
    /// When a host that is missed is gone for good.
    pub reap_after: ReapAfter,
    /// Where subnets come from that nobody asked for.
    pub default_pools: Vec<DefaultPool>,
    /// Where plugins are looked for, in this order.
    pub plugin_dirs: Vec<PathBuf>,
}

/// The short form of a result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The flow-based tunnel device, of which there is one in a network namespace.
pub const VXLAN_DEVICE: &str = "netctl-vx";

/// The controller of one host.
#[derive(Debug)]
pub struct Controller {
    config: Config,
    store: SharedStore,
    drivers: Drivers,
    context: Arc<HostContext>,
    big_tcp: Chosen,
    dataplane: Arc<Dataplane>,
    records: Arc<Records>,
    allocator: Allocator,
    leases: Leases,
    reserved: Reserved,
    /// Held by operations on sandboxes of this host, one at a time.
    operations: Mutex<()>,
    progress: watch::Receiver<Progress>,
    /// What the name servers did.
    names: Arc<discovery::Counters>,
    /// What was found, and when that was last.
    audited: watch::Sender<Option<(AuditView, Moment)>>,
    observer: Observer,
    /// What the clock said when it was started.
    started: UnixTime,
    /// The same moment, whatever becomes of that clock.
    began: Moment,
    cancel: CancellationToken,
    /// By what they are called.
    tasks: Mutex<Vec<(&'static str, JoinHandle<()>)>>,
}

impl Controller {
    /// Brings the host up: adopts what is there, and keeps it as the store says from then on.
    ///
    /// The store need not be reachable; nothing of what is there changes before it is.
    pub async fn start(config: Config, store: SharedStore) -> Result<Arc<Self>> {
        let (store, measures) = Measured::wrap(store);
        let records = Arc::new(Records::open(&config.state_dir, &config.run_dir)?);
        let netlink = Netlink::open(&Netns::current()?).await?;
        let underlay = underlay::find(&netlink, config.bind_interface.as_deref(), None).await?;
        let vteps = underlay.vteps;
        let (started, began) = (now(), Moment::now());
        let host = presence::describe(&config, &underlay, started)?;
        let away = match presence::check_name(&store, &host).await {
            Err(error) if error.kind == Kind::Unavailable => {
                tracing::warn!(%error, "starting without the store");
                true
            }
            checked => checked.map(|()| false)?,
        };
        let link = netlink.link_by_name(&underlay.name).await?;
        let dataplane = Arc::new(start_dataplane(&config, &netlink, &link, vteps).await?);
        note::write(&config, &netlink, &link, vteps).await?;
        let (super_packets, big_tcp) = big_tcp::settle(&netlink, &underlay, &config).await?;
        let (footing, underlay) = watch::channel(underlay);
        let context = Arc::new(HostContext { netlink, underlay: underlay.clone(), super_packets });
        let cancel = CancellationToken::new();
        let (drivers, leases) = open_notes(&config)?;
        let (mut reconciler, progress) = Reconciler::new(
            config.host.clone(),
            Arc::clone(&store),
            drivers.clone(),
            Arc::clone(&context),
            Arc::clone(&dataplane),
            Arc::clone(&records),
        );
        let observer = Observer::new(measures, &reconciler).await?;
        let controller = Arc::new(Self {
            config,
            store,
            drivers,
            context,
            big_tcp,
            dataplane,
            records,
            allocator: Allocator::default(),
            leases,
            reserved: Reserved::default(),
            operations: Mutex::new(()),
            progress,
            names: reconciler.name_counters(),
            audited: watch::Sender::default(),
            observer,
            started,
            began,
            cancel: cancel.clone(),
            tasks: Mutex::new(Vec::new()),
        });
        reconciler.serve_kept_names().await;
        let (hosts, missing) = (reconciler.hosts(), reconciler.missing());
        let heartbeat = presence::keep(
            Arc::clone(&controller.store),
            host.clone(),
            began,
            underlay,
            hosts.clone(),
            cancel.clone(),
        );
        let following = Arc::clone(&controller).follow_underlay(footing);
        let token = cancel.clone();
        let following = async move {
            token.run_until_cancelled(following).await;
        };
        let recovering = Arc::clone(&controller);
        let work = async move {
            if away {
                cancel.run_until_cancelled(reconciler.serve_kept()).await;
            }
            if cancel.run_until_cancelled(recovering.recover(&host)).await.is_some() {
                tokio::join!(
                    cancel.run_until_cancelled(recovering.mend()),
                    cancel.run_until_cancelled(recovering.clear_abandoned()),
                    cancel.run_until_cancelled(recovering.audit()),
                    cancel.run_until_cancelled(recovering.settle_leases()),
                    cancel.run_until_cancelled(recovering.tell_hosts(hosts.clone())),
                    cancel.run_until_cancelled(recovering.settle_absence(hosts, &missing)),
                    cancel.run_until_cancelled(recovering.readdress(vteps)),
                    reconciler.run(&cancel)
                );
            }
        };
        *controller.tasks.lock().await = vec![
            ("the sign of life", tokio::spawn(heartbeat)),
            ("who follows the underlay", tokio::spawn(following)),
            ("the reconcile loop", aside::spawn(work)),
        ];
        Ok(controller)
    }

    /// Returns when the host no longer follows the store, which happens by [`Self::shutdown`] alone unless there is a
    /// mistake in the reconcile loop.
    pub async fn ended(&self) {
        let mut progress = self.progress.clone();
        while progress.changed().await.is_ok() {}
    }

    /// Stops working, within `patience`; the data plane goes on forwarding.
    pub async fn shutdown(&self, patience: Duration) {
        let end = Instant::now() + patience;
        self.cancel.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().await);
        for (what, mut task) in tasks {
            match timeout_at(end, &mut task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, what, "a task of the controller panicked");
                }
                Err(_) => {
                    tracing::warn!(
                        what,
                        stage = self.observer.stage(),
                        "not waited for any longer"
                    );
                    task.abort();
                }
            }
        }
        if timeout_at(end, self.dataplane.fall_silent()).await.is_err() {
            tracing::warn!(what = "who gathers events", "not waited for any longer");
        }
    }

    /// The networks that this host itself reaches by an interface of its own, and the hosts' tunnel addresses, each with
    /// what uses it: no network for containers may overlap with them.
    async fn used_by_hosts(&self) -> Result<Vec<(IpNet, String)>> {
        let netlink = &self.context.netlink;
        let names: BTreeMap<u32, String> = netlink
            .links()
            .await?
            .into_iter()
            .filter(|link| link.name != "lo" && !drivers::is_ours(&link.name))
            .map(|link| (link.index, link.name))
            .collect();
        let routes = netlink.routes().await?;
        let mut used: Vec<(IpNet, String)> = routes
            .into_iter()
            .filter(|route| !route.is_default())
            .filter_map(|route| {
                let name = names.get(&route.link?)?;
                Some((route.destination, format!("which this host uses on {name}")))
            })
            .collect();
        for stored in keys::list::<Host>(&*self.store, keys::HOSTS).await? {
            let host = stored.value;
            let tunnel = format!("the tunnel address of host {}", host.name);
            used.extend(host.vteps.iter().map(|vtep| (vtep.into(), tunnel.clone())));
        }
        Ok(used)
    }
}

/// Reads what plugins were told, and what they gave.
fn open_notes(config: &Config) -> Result<(Drivers, Leases)> {
    let unread = |what: &str, error: &dyn std::error::Error| {
        Error::internal(format!("cannot read what plugins {what}: {error}"))
    };
    let drivers = Drivers::open(config.plugin_dirs.clone(), &config.state_dir)
        .map_err(|error| unread("were told", &error))?;
    let leases = Leases::open(&config.state_dir.join("plugins/leases"))
        .map_err(|error| unread("gave", &error))?;
    Ok((drivers, leases))
}

/// Starts the data plane with the tunnel device that it needs; a device that was made for one that cannot start goes.
async fn start_dataplane(
    config: &Config,
    netlink: &Netlink,
    underlay: &Link,
    vteps: Vteps,
) -> Result<Dataplane> {
    let found = netlink.find_link(VXLAN_DEVICE).await?;
    let moved = |vxlan: kernel::Vxlan| vxlan.flow_based && vxlan.port != config.vxlan_port;
    let stale = found.as_ref().and_then(|link| link.vxlan).is_some_and(moved);
    if stale {
        netlink.delete_link(VXLAN_DEVICE).await?;
    }
    netlink.ensure_flow_vxlan(VXLAN_DEVICE, config.vxlan_port).await?;
    let started = Dataplane::start(dataplane::Config {
        bpf_dir: config.bpf_dir.clone(),
        underlay: underlay.name.clone(),
        vteps,
        vxlan_port: config.vxlan_port,
        vxlan_device: VXLAN_DEVICE.to_owned(),
        filter: filter::wanted(config.xdp, underlay),
    })
    .await;
    if started.is_err() && (found.is_none() || stale) {
        netlink.delete_link(VXLAN_DEVICE).await?;
    }
    Ok(started?)
}

/// Whether a device is one that netctl makes, and so leads to no other host.
fn is_made_by_us(link: &Link) -> bool {
    is_named_by_us(&link.name)
}

fn is_named_by_us(link: &str) -> bool {
    link == VXLAN_DEVICE || drivers::is_ours(link)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
