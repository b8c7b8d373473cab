//! The kernel's routes and neighbours, mirrored for the programs.
//!
//! A program that knows the Ethernet address of the next hop sends a packet for less than half of what the kernel's
//! look-ups take. What the kernel knows stays the truth: each change that it tells of is followed at once, and the
//! programs are told every second that they may use what they have. Where this task is stopped, late or dead, they ask
//! the kernel again for each packet.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    owner::Request,
    paths::{Path, lease},
};
use crate::{
    kernel::{self, Change, Link, Monitor, Netlink, Netns},
    model::{MacAddr, Vteps},
};

/// How often the programs are told that what they have is sound.
const VOUCH: Duration = Duration::from_secs(1);
/// Each so many of those, all is looked up: of an MTU that was discovered (`update_or_create_fnhe`) nobody is told.
const LOOK: u32 = 5;
/// Changes of much at once are looked at together.
const TOGETHER: Duration = Duration::from_millis(20);
/// How long to wait after the kernel refused.
const PAUSE: Duration = Duration::from_secs(2);

/// The task.
pub(super) struct Mirror {
    netlink: Netlink,
    /// The name of the underlay device.
    underlay: String,
    /// This host's own addresses on it.
    local: Vteps,
    /// The owner of the maps, as long as somebody else has to do with it.
    owner: mpsc::WeakSender<Request>,
    /// The other hosts.
    hosts: watch::Receiver<BTreeSet<IpAddr>>,
}

/// Why the mirror cannot go on as it is.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("changes were lost: {0}")]
    Lost(#[from] std::io::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    #[error("the data plane has stopped")]
    Stopped,
}

impl Mirror {
    /// Begins to follow, for as long as the data plane lives.
    pub(super) async fn start(
        underlay: String,
        local: Vteps,
        owner: mpsc::WeakSender<Request>,
        mut hosts: watch::Receiver<BTreeSet<IpAddr>>,
    ) -> Result<JoinHandle<()>, kernel::Error> {
        let netlink = Netlink::open(&Netns::current()?).await?;
        hosts.mark_changed();
        let mirror = Self { netlink, underlay, local, owner, hosts };
        Ok(tokio::spawn(mirror.run()))
    }

    /// Ends when the data plane does.
    async fn run(mut self) {
        loop {
            let broken = match self.follow().await {
                Ok(never) => match never {},
                Err(Broken::Stopped) => return,
                Err(broken) => broken,
            };
            tracing::info!(%broken, "the kernel is asked for each packet until its routes are known again");
            if self.tell(Request::Vouch(0)).await.is_err() {
                return;
            }
            if matches!(broken, Broken::Kernel(_)) {
                sleep(PAUSE).await;
            }
        }
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, Broken> {
        // First, so that nothing that changes from here on is missed.
        let mut monitor = Monitor::open(&self.netlink).await?;
        let mut view = View::default();
        let mut todo = Todo { all: true, ..Todo::default() };
        let mut ticks = interval(VOUCH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = 0;
        loop {
            self.look(&mut view, &mut todo).await?;
            tokio::select! {
                changes = monitor.changes() => {
                    todo.add(&view, &changes?);
                    if todo.all {
                        sleep(TOGETHER).await;
                    }
                    while let Some(changes) = monitor.changes().now_or_never() {
                        todo.add(&view, &changes?);
                    }
                }
                changed = self.hosts.changed() => {
                    changed.map_err(|_gone| Broken::Stopped)?;
                    todo.new = true;
                }
                _ = ticks.tick() => {
                    // What the kernel has said until now is taken in before it is vouched for.
                    let until = lease();
                    while let Some(changes) = monitor.changes().now_or_never() {
                        todo.add(&view, &changes?);
                    }
                    self.look(&mut view, &mut todo).await?;
                    self.tell(Request::Vouch(until)).await?;
                    looked = (looked + 1) % LOOK;
                    todo.all |= looked == 0;
                }
            }
        }
    }

    /// Looks up what there is to do, and tells the owner what is otherwise than before.
    async fn look(&mut self, view: &mut View, todo: &mut Todo) -> Result<(), Broken> {
        let Todo { all, new, mut hosts } = std::mem::take(todo);
        if all || new {
            let wanted = self.hosts.borrow_and_update().clone();
            view.ways.retain(|host, _| wanted.contains(host));
            let lacks = |host: &IpAddr| all || !view.ways.contains_key(host);
            hosts.extend(wanted.into_iter().filter(lacks));
        }
        if all {
            view.underlay = self.netlink.find_link(&self.underlay).await?.filter(|link| link.up);
            view.rules = self.netlink.rules_look_at_packets().await?;
        }
        let mut changed = Vec::new();
        for host in hosts {
            let way = self.way(view, host).await?;
            if view.ways.get(&host).map(|old| old.path) != Some(way.path) || all {
                changed.push((host, way.path));
            }
            view.ways.insert(host, way);
        }
        if changed.is_empty() {
            return Ok(());
        }
        let source = view.underlay.as_ref().and_then(|link| link.mac).unwrap_or_default();
        self.tell(Request::SetPaths(changed, source)).await
    }

    async fn way(&self, view: &View, host: IpAddr) -> Result<Way, Broken> {
        let own = match host {
            IpAddr::V4(_) => self.local.v4().map(IpAddr::V4),
            IpAddr::V6(_) => self.local.v6().map(IpAddr::V6),
        };
        let (Some(own), Some(underlay)) = (own, &view.underlay) else { return Ok(Way::default()) };
        let Some(kernel::Way { neighbour, mtu }) =
            self.netlink.way(host, own, underlay.index).await?
        else {
            return Ok(Way::default());
        };
        let neighbour = neighbour.filter(|_| underlay.mac.is_some() && !view.rules);
        let Some(address) = neighbour else {
            return Ok(Way { neighbour, path: Path { next_hop: None, mtu } });
        };
        let station = self.netlink.station(underlay.index, address).await?;
        if station.is_some_and(|station| station.stale) {
            // The kernel does not see the packets that the programs send, and would never look whether it is still there.
            self.netlink.use_neighbour(underlay.index, address).await?;
        }
        let next_hop: Option<MacAddr> = station.map(|station| station.mac);
        Ok(Way { neighbour, path: Path { next_hop, mtu } })
    }

    async fn tell(&self, request: Request) -> Result<(), Broken> {
        let owner = self.owner.upgrade().ok_or(Broken::Stopped)?;
        owner.send(request).await.map_err(|_closed| Broken::Stopped)
    }
}

/// What was seen of the kernel.
#[derive(Default)]
struct View {
    /// The underlay device, if it is up.
    underlay: Option<Link>,
    /// Whether packets to one host may go different ways.
    rules: bool,
    ways: BTreeMap<IpAddr, Way>,
}

/// The way to one host.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    neighbour: Option<IpAddr>,
    path: Path,
}

/// What has to be looked up.
#[derive(Default)]
struct Todo {
    /// Everything.
    all: bool,
    /// Hosts that are new.
    new: bool,
    hosts: BTreeSet<IpAddr>,
}

impl Todo {
    /// Adds what the changes touch.
    fn add(&mut self, view: &View, changes: &[Change]) {
        for &change in changes {
            match change {
                Change::Neighbour { link, address } => {
                    if view.underlay.as_ref().is_some_and(|underlay| underlay.index == link) {
                        let by = view.ways.iter().filter(|(_, way)| way.neighbour == Some(address));
                        self.hosts.extend(by.map(|(&host, _)| host));
                    }
                }
                Change::Route(net) => {
                    self.hosts.extend(view.ways.keys().filter(|&host| net.contains(host)));
                }
                // Where there is none, any link may become it.
                Change::Link(index) => {
                    self.all |=
                        view.underlay.as_ref().is_none_or(|underlay| underlay.index == index);
                }
                Change::Other => self.all = true,
            }
        }
    }
}
