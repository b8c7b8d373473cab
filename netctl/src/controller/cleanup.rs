//! Taking away all that netctl has on a host, and in the store for it: for a host that is to have netctl no more.
//!
//! What is there is found by what it is called and what it is, so that it does not matter what a daemon, or an earlier
//! cleaning, was killed in. First the store is told, while the records still say what this host has there; then the
//! kernel, then the files. What could not be taken away does not keep the rest from it.

mod host;
mod shares;

use std::{fmt, path::PathBuf};

use serde::Serialize;

use self::host::Cleaner;
use super::{Config, Error, Result, VXLAN_DEVICE, records::Records};
use crate::{
    dataplane,
    kernel::{self, Netlink, Netns},
    store::{self, SharedStore},
};

/// What became of what netctl had on a host.
#[derive(Debug, Default, Serialize)]
pub struct Cleaned {
    /// What was taken away.
    pub removed: Vec<Thing>,
    /// What stays, each with the reason.
    pub stays: Vec<Remainder>,
    /// What could not be taken away from this host: a sentence each.
    pub failed: Vec<String>,
}

/// One thing of netctl's.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Thing {
    /// What it is.
    pub kind: &'static str,
    /// What it is called.
    pub name: String,
}

/// Something that stays.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Remainder {
    /// What.
    #[serde(flatten)]
    pub thing: Thing,
    /// Why, and what takes it away.
    pub why: String,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl Cleaned {
    fn removed(&mut self, kind: &'static str, name: impl Into<String>) {
        self.removed.push(Thing { kind, name: name.into() });
    }

    fn stays(&mut self, kind: &'static str, name: impl Into<String>, why: impl Into<String>) {
        let thing = Thing { kind, name: name.into() };
        self.stays.push(Remainder { thing, why: why.into() });
    }

    /// Notes a failure and goes on.
    fn note<T, E: fmt::Display>(&mut self, outcome: Result<T, E>) -> Option<T> {
        outcome.inspect_err(|error| self.failed.push(error.to_string())).ok()
    }
}

/// Takes away what netctl has on the host of the caller's namespace, by the directories of `config`, and gives back what
/// the host has in `store`: none where there is none yet. `sockets` are those that a daemon would make outside its run
/// directory.
///
/// The caller sees to it that no daemon runs on these directories.
///
/// # Errors
/// The host is another daemon's, with other directories, or cannot be looked at at all; nothing was changed then.
pub async fn clean(
    config: &Config,
    store: Result<Option<SharedStore>, store::Error>,
    sockets: &[PathBuf],
) -> Result<Cleaned> {
    kernel::check_privileges()?;
    let netlink = Netlink::open(&Netns::current()?).await?;
    refuse_another(config, &netlink).await?;
    let mut cleaned = Cleaned::default();
    let records = Records::open(&config.state_dir, &config.run_dir);
    let records = cleaned.note(records).unwrap_or_else(|| Records::none(config));
    let given_back = shares::give_back(config, store, &records, &mut cleaned).await;
    let cleaner = Cleaner { config, netlink, records: &records };
    cleaner.clean(given_back, sockets, &mut cleaned).await;
    Ok(cleaned)
}

/// Refuses a host whose tunnel device is served by programs that are pinned elsewhere.
async fn refuse_another(config: &Config, netlink: &Netlink) -> Result<()> {
    let found = netlink.find_link(VXLAN_DEVICE).await?.is_some();
    if found && dataplane::is_served_by_another(&config.bpf_dir, VXLAN_DEVICE).await? {
        return Err(Error::forbidden(format!(
            "device {VXLAN_DEVICE} of this host runs programs of netctl that are not pinned below {}: give --bpf-dir and \
             the other directories as that daemon has them",
            config.bpf_dir.display()
        )));
    }
    Ok(())
}
