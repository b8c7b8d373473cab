//! The way between networks and the outside: what the host translates, forwards and refuses.
//!
//! All of it is one table of nftables with rules that never change (`layout.nft`), and elements that follow from what
//! is here. Where another's table drops what is forwarded, what the table lets through is let through there too. Where
//! the host forwards nothing by itself, it lends its devices to what goes to networks and comes from
//! them, and to nothing else.

mod elements;
mod forwarding;
mod led;
mod passage;
mod table;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

pub(super) use self::{
    elements::{Elements, Opened, Way, of},
    led::LedFlows,
};
use self::{forwarding::Lending, passage::Passage, table::Table};
use crate::{
    dataplane::Sweep,
    drivers::Device,
    kernel::{self, Flow, Netlink, Netns, NftWatch},
};

/// How long to wait after a change of others before it is looked for the next.
const PAUSE: Duration = Duration::from_millis(300);

/// Where devices that are lent are noted, in the run directory.
pub(super) const LENT: &str = "lent.json";

/// What there is to see of it on a host, for those who look without the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// Whether our table stands.
    pub table: bool,
    /// Whether it has other rules than it is to have, as far as can be told from their number.
    pub altered: bool,
    /// The gateways' devices that it has a way out for.
    pub out: Vec<String>,
    /// What `nft` would have to be told for tables of others to let our devices pass; empty where nothing.
    pub lacking: String,
}

/// Looks at the ways out in `netns`, and changes nothing.
///
/// # Errors
/// `nft` is missing or fails.
pub async fn ways(netns: &Netns) -> Result<Ways, kernel::Error> {
    let (table, altered, elements) = table::seen(netns).await?;
    let out: Vec<String> = elements.of("out").map(ToOwned::to_owned).collect();
    let lacking = if out.is_empty() { String::new() } else { passage::lacking(netns).await? };
    Ok(Ways { table, altered, out, lacking })
}

/// Takes all of it away: what stands, and what is lent by the note in `lent`; says what that was, by kinds.
///
/// # Errors
/// `nft` is missing or fails, or a setting is refused. What was done by then is done.
pub(super) async fn remove(
    netlink: &Netlink,
    lent: &Path,
) -> Result<Vec<(&'static str, String)>, kernel::Error> {
    let mut removed = Vec::new();
    let noted = Lending::noted(lent)?;
    let mut table = Table::default();
    table.look(netlink.netns()).await?;
    let lending = table.lent().and(noted);
    // While the table guards them still.
    forwarding::take_back(netlink, &lending, &Lending::default()).await?;
    removed.extend(lending.devices().map(|device| ("forwarding", format!("of {device}"))));
    if table.may_stand() {
        table.apply(netlink.netns(), &Elements::default(), Sweep::Remove).await?;
        removed.push(("nftables table", "inet netctl".to_owned()));
    }
    Lending::default().note(lent)?;
    if passage::remove(netlink.netns()).await? {
        removed.push(("iptables rules", "in the chain FORWARD".to_owned()));
    }
    Ok(removed)
}

/// What stands in the kernel of it.
#[derive(Debug)]
pub(super) struct Outside {
    table: Table,
    passage: Passage,
    /// Where the devices that are lent are noted too: who takes the table away does not take them back.
    lent: PathBuf,
    /// The gateways' devices, by index, that forward: each not before the table stands.
    opened: BTreeSet<u32>,
    /// Somebody changed nftables since this was last looked at.
    suspect: Arc<AtomicBool>,
}

impl Outside {
    /// `lent` is a file that lives as long as the machine is up.
    pub(super) fn new(lent: PathBuf) -> Self {
        Self {
            table: Table::default(),
            passage: Passage::default(),
            lent,
            opened: BTreeSet::new(),
            suspect: Arc::default(),
        }
    }

    /// Has the kernel hold these elements, and where `sweep` allows it no others; with none at all there is no table.
    /// Where it is not `full`, it is looked at only where somebody may have changed it.
    ///
    /// Where that fails, what stands goes on; gateways are closed only where it is known that nothing guards them.
    pub(super) async fn settle(
        &mut self,
        netlink: &Netlink,
        gateways: &[Device],
        mut wanted: Elements,
        sweep: Sweep,
        full: bool,
    ) -> Result<(), kernel::Error> {
        let needed = !wanted.is_empty();
        let ways = wanted.has_ways();
        if self.suspect.swap(false, Ordering::Relaxed) || full {
            self.table.doubt();
            self.passage.doubt();
        }
        if needed || self.table.may_stand() || self.passage.may_stand() {
            let mut settled = self.try_settle(netlink, &mut wanted, sweep, full).await;
            // Before all is known, nothing is taken back.
            if settled.is_ok() && (ways || sweep == Sweep::Remove) {
                settled = self.passage.settle(netlink.netns(), ways).await;
            }
            if settled.is_ok() {
                settled = self.open(netlink, gateways, full).await;
            }
            if settled.is_err() {
                if self.table.lacks() {
                    self.opened.clear();
                    forwarding::close(netlink, gateways).await;
                }
                self.table.doubt();
            }
            return settled;
        }
        Ok(())
    }

    /// Has gateways forward that do not yet.
    async fn open(
        &mut self,
        netlink: &Netlink,
        gateways: &[Device],
        full: bool,
    ) -> Result<(), kernel::Error> {
        self.opened.retain(|index| gateways.iter().any(|gateway| gateway.index == *index));
        for gateway in gateways {
            if full || !self.opened.contains(&gateway.index) {
                forwarding::open(netlink, &gateway.name).await?;
                self.opened.insert(gateway.index);
            }
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
        // Before all is known, nothing is taken back.
        let lends = wanted.has_ways() || sweep == Sweep::Keep && self.table.stands();
        let lending =
            if lends { forwarding::lending(netlink, &lent).await? } else { Lending::default() };
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
                // They end by themselves, only later.
                if let Err(error) = netlink.netns().forget_flows(v6, ended).await {
                    tracing::warn!(%error, "flows of ports that went elsewhere go on");
                }
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
            loop {
                let heard = changes.changed().await;
                suspect.store(true, Ordering::Relaxed);
                wake.notify_one();
                if let Err(error) = heard {
                    tracing::warn!(%error, "what others do to the ways out is noticed late");
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }
}
