//! The way between networks and the outside: what the host translates, forwards and refuses.
//!
//! All of it is one table of nftables with rules that never change (`layout.nft`), and elements that follow from what
//! is here. Where the host forwards nothing by itself, it lends its devices to what goes to networks and comes from
//! them, and to nothing else.

mod elements;
mod forwarding;
mod table;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

pub(super) use self::elements::{Elements, Opened, Way, of};
use self::forwarding::Lending;
use self::table::Table;
use crate::{
    dataplane::Sweep,
    kernel::{self, Flow, Netlink, NftWatch},
};

/// How long to wait for more changes of others before ours is looked after.
const PAUSE: Duration = Duration::from_millis(300);

/// What stands in the kernel of it.
#[derive(Debug)]
pub(super) struct Outside {
    table: Table,
    /// Where the devices that are lent are noted too: who takes the table away does not take them back.
    lent: PathBuf,
    /// Somebody changed nftables since this was last looked at.
    suspect: Arc<AtomicBool>,
}

impl Outside {
    /// `lent` is a file that lives as long as the machine is up.
    pub(super) fn new(lent: PathBuf) -> Self {
        Self { table: Table::default(), lent, suspect: Arc::default() }
    }

    /// Has the kernel hold these elements, and where `sweep` allows it no others; with none at all there is no table.
    /// Where it is not `full`, it is looked at only where somebody may have changed it.
    pub(super) async fn settle(
        &mut self,
        netlink: &Netlink,
        mut wanted: Elements,
        sweep: Sweep,
        full: bool,
    ) -> Result<(), kernel::Error> {
        let needed = !wanted.is_empty();
        if self.suspect.swap(false, Ordering::Relaxed) || full {
            self.table.doubt();
        }
        if needed || self.table.may_stand() {
            let looked = self.try_settle(netlink, &mut wanted, sweep, full).await;
            if looked.is_err() {
                self.table.doubt();
            }
            return looked;
        }
        Ok(())
    }

    async fn try_settle(
        &mut self,
        netlink: &Netlink,
        wanted: &mut Elements,
        sweep: Sweep,
        full: bool,
    ) -> Result<(), kernel::Error> {
        let needed = !wanted.is_empty();
        self.table.look(netlink.netns()).await?;
        if *wanted == *self.table.without_lent() && !full && self.table.stands() == needed {
            return Ok(());
        }
        let lent = self.table.lent().and(Lending::noted(&self.lent)?);
        let lending =
            if needed { forwarding::lending(netlink, &lent).await? } else { Lending::default() };
        // What is lent is noted and guarded before it is, and as long as it is.
        lent.clone().and(lending.clone()).note(&self.lent)?;
        forwarding::take_back(netlink, &lent, &lending).await?;
        lending.add_to(wanted);
        let change = self.table.apply(netlink.netns(), wanted, sweep).await?;
        lending.note(&self.lent)?;
        forwarding::lend(netlink, &lending).await?;
        for v6 in [false, true] {
            if change.moves_flows(v6) {
                let ended = |flow: &Flow| change.ends(flow);
                netlink.netns().forget_flows(v6, ended).await?;
            }
        }
        Ok(())
    }

    /// Has `wake` notified whenever somebody changed nftables; for as long as the task that is returned lives.
    pub(super) async fn watch(
        &self,
        netlink: &Netlink,
        wake: Arc<Notify>,
    ) -> Result<impl Future<Output = ()> + use<>, kernel::Error> {
        let mut changes = NftWatch::open(netlink.netns()).await?;
        let suspect = Arc::clone(&self.suspect);
        Ok(async move {
            while changes.changed().await.is_ok() {
                tokio::time::sleep(PAUSE).await;
                suspect.store(true, Ordering::Relaxed);
                wake.notify_one();
            }
        })
    }
}
