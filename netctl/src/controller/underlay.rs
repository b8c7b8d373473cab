//! Following the underlay: its device, its addresses and its MTU may change under a daemon that runs.
//!
//! What is there now is found as it is at the start, whenever something changed that may have to do with it and nothing
//! more has for a moment. While there is nothing, as when a device is down or has lost its address, what was there last
//! stays: it may come back, and nothing else would be better.

use std::{net::IpAddr, sync::Arc, time::Duration};

use nix::net::if_::if_indextoname;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    Controller, Error, Result, big_tcp, filter, is_made_by_us, is_named_by_us, keys, note,
};
use crate::{
    backoff::Backoff,
    drivers::Footing,
    kernel::{self, Change, Monitor, Netlink, Underlay},
    model::{NetworkId, Vteps},
};

/// Changes are over when nothing was heard for so long…
const SETTLED: Duration = Duration::from_millis(200);
/// …or they have gone on for so many times as long.
const PATIENCE: u32 = 10;
/// How often it is looked for what nobody told of.
const PERIOD: Duration = Duration::from_secs(10);
/// How long to wait after it could not be told, or taken over, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// What the underlay is now; `was` is what it was, if anything: of several addresses the one that it has stays.
///
/// # Errors
/// There is none, or it is not clear which.
pub(super) async fn find(
    netlink: &Netlink,
    bind_interface: Option<&str>,
    was: Option<&Footing>,
) -> Result<Footing> {
    let Underlay { name, index, v4, v6, mtu } =
        kernel::find_underlay(netlink, bind_interface, is_made_by_us).await?;
    let mut vteps = Vteps::new(v4, v6)
        .ok_or_else(|| Error::internal(format!("the underlay {name} has no address")))?;
    if let Some(was) = was.filter(|was| was.name == name) {
        let link = netlink.link_by_name(&name).await?;
        let addresses = netlink.addresses_of(&link).await?;
        let has = |wanted: IpAddr| addresses.iter().any(|address| address.net.addr() == wanted);
        let kept = Vteps::new(
            was.vteps.v4().filter(|own| has(IpAddr::V4(*own))).or(v4),
            was.vteps.v6().filter(|own| has(IpAddr::V6(*own))).or(v6),
        );
        vteps = kept.unwrap_or(vteps);
    }
    Ok(Footing { name, index, vteps, mtu })
}

impl Controller {
    /// Has the host follow what becomes of its underlay, and tells `footing`.
    pub(super) async fn follow_underlay(self: Arc<Self>, footing: watch::Sender<Footing>) -> ! {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            match self.try_follow_underlay(&footing).await {
                Ok(never) => match never {},
                Err(error) => {
                    tracing::warn!(%error, "cannot follow the underlay; trying again");
                    sleep(backoff.pause()).await;
                }
            }
        }
    }

    async fn try_follow_underlay(
        &self,
        footing: &watch::Sender<Footing>,
    ) -> Result<std::convert::Infallible> {
        let netlink = &self.context.netlink;
        // First, so that nothing is missed that changes from here on.
        let mut monitor = Monitor::open(netlink).await?;
        loop {
            let was = footing.borrow().clone();
            match find(netlink, self.config.bind_interface.as_deref(), Some(&was)).await {
                Ok(now) if now != was => {
                    self.move_to(&was, &now).await?;
                    footing.send_replace(now);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(underlay = was.name, %error, "the underlay is away: what was known stays");
                }
            }
            let index = footing.borrow().index;
            settle(&mut monitor, index).await;
        }
    }

    /// Has the data plane and the device follow a change.
    async fn move_to(&self, was: &Footing, now: &Footing) -> Result<()> {
        let netlink = &self.context.netlink;
        if (&was.name, was.index, was.vteps) == (&now.name, now.index, now.vteps) {
            tracing::info!(underlay = now.name, mtu = now.mtu, "the underlay's MTU changed");
            return Ok(());
        }
        tracing::info!(
            underlay = now.name, vteps = %now.vteps, before = was.name, vteps_before = %was.vteps,
            "the underlay changed"
        );
        let link = netlink.link_by_name(&now.name).await?;
        let filter = filter::wanted(self.config.xdp, &link);
        self.dataplane.rebind(now.name.clone(), now.vteps, filter).await?;
        if was.name != now.name {
            big_tcp::restore(netlink, &self.config.run_dir).await?;
            big_tcp::settle(netlink, now, &self.config).await?;
        }
        note::write(&self.config, netlink, &link, now.vteps).await
    }

    /// Has the endpoints of this host say where it is, whenever that is something else than what was `said`.
    pub(super) async fn readdress(&self, mut said: Vteps) -> ! {
        let mut footing = self.context.underlay.clone();
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            while footing.borrow_and_update().vteps != said {
                let vteps = self.context.vteps();
                match self.readdress_all().await {
                    Ok(()) => said = vteps,
                    Err(error) => {
                        tracing::warn!(%error, "cannot tell where this host is now; trying again");
                        sleep(backoff.pause()).await;
                    }
                }
            }
            backoff.reset();
            if footing.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn readdress_all(&self) -> Result<()> {
        let attached = keys::attachments(&self.config.host);
        for stored in keys::list::<NetworkId>(&*self.store, &attached).await? {
            let Some((_, id)) = keys::attached(&stored.key) else { continue };
            let key = keys::endpoint(&stored.value, &id);
            while let Some(endpoint) = keys::get(&*self.store, &key).await? {
                if self.refresh(&endpoint).await? {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Waits until something has changed, and then until no more does, or for as long as that may be waited for. `underlay` is the
/// number of its device.
async fn settle(monitor: &mut Monitor, underlay: u32) {
    let Ok(heard) = timeout(PERIOD, moved(monitor, underlay)).await else { return };
    if heard.is_err() {
        // Changes were lost, and it is looked at once.
        return;
    }
    let end = Instant::now() + SETTLED * PATIENCE;
    while timeout(SETTLED, moved(monitor, underlay)).await.is_ok() && Instant::now() < end {}
}

/// Waits for a change that may have to do with what the underlay is. Devices of ours come and go with each endpoint, and to
/// look is to list all devices.
async fn moved(monitor: &mut Monitor, underlay: u32) -> std::io::Result<()> {
    let matters = |change: &Change| match *change {
        Change::Neighbour { .. } => false,
        Change::Link(index) if index == underlay => true,
        // What is gone already was not the underlay.
        Change::Link(index) => {
            if_indextoname(index).is_ok_and(|name| !name.to_str().is_ok_and(is_named_by_us))
        }
        Change::Route(_) | Change::Other => true,
    };
    while !monitor.changes().await?.iter().any(matters) {}
    Ok(())
}
