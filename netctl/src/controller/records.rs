//! What this host remembers of its sandboxes: one JSON file each, below the state directory.

mod disk;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use self::disk::Disk;
use super::{Config, Error, Result, find};
use crate::{
    crash,
    kernel::Link,
    model::{
        CniName, ContainerDevice, EndpointId, InterfaceView, Name, NetworkId, Sandbox, SandboxId,
        Sysctl,
    },
};

/// A sandbox, and what is attached to it, in the order of attaching.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) sandbox: Sandbox,
    /// Endpoints that were published for this sandbox, and go with it.
    pub(super) published: Vec<(NetworkId, EndpointId)>,
    pub(super) attachments: Vec<Attachment>,
    /// Endpoints that are being published for this sandbox, to be attached in the same operation. A daemon that finds
    /// some at its start was killed in the middle, and removes them.
    #[serde(default)]
    pub(super) connecting: Vec<(NetworkId, EndpointId)>,
    /// Set while an operation makes the sandbox with all that belongs to it. A daemon that finds it set at its start
    /// was killed in the middle, and undoes what was done.
    pub(super) pending: Option<Pending>,
    /// Whether a process of its container was seen in it.
    #[serde(default)]
    pub(super) inhabited: bool,
    /// Whether its engine has it in networks of others too that have a way out.
    #[serde(default)]
    pub(super) elsewhere: bool,
}

/// What an operation that is not finished has made besides the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) networks: Vec<NetworkId>,
}

/// One endpoint of a sandbox, with all of it that never changes, so that a sandbox can be shown and entered while the
/// store is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attachment {
    /// Set until the operation that attaches it has ended well.
    pub(super) unsettled: bool,
    pub(super) network: NetworkId,
    /// Where the network's names are served.
    pub(super) gateways: Vec<IpAddr>,
    pub(super) interface: InterfaceView,
    /// Whether people chose the name of its device.
    #[serde(default)]
    pub(super) named: bool,
    /// What its interface is set to.
    #[serde(default)]
    pub(super) sysctls: Vec<Sysctl>,
}

impl Record {
    /// Whether an operation on it goes on, or was left unfinished.
    pub(super) fn is_unfinished(&self) -> bool {
        self.pending.is_some()
            || self.is_empty_of_engine()
            || !self.connecting.is_empty()
            || self.attachments.iter().any(|attachment| attachment.unsettled)
    }

    /// Whether an endpoint goes when it goes: it was published for it, or is the engine's of its container.
    pub(super) fn takes_along(&self, endpoint: &EndpointId) -> bool {
        self.sandbox.foreign
            || self.published.iter().chain(&self.connecting).any(|(_, own)| own == endpoint)
    }

    /// Whether it is a container's that has nothing of netctl's any more.
    pub(super) fn is_empty_of_engine(&self) -> bool {
        self.sandbox.foreign && self.attachments.is_empty()
    }

    /// Whether its namespace was bound by us, who keep it so as long as the sandbox is there.
    pub(super) fn is_bound(&self) -> bool {
        // What has the sandbox's identifier for its file was, be the namespace ours or not.
        self.sandbox.netns.file_name().is_some_and(|name| name == self.sandbox.id.as_str())
    }

    /// Whether there is more in it than in `other` that outlives the machine, or less: what it has in the store, which is
    /// removed with it. Its namespace and its interfaces do not.
    fn lasts_otherwise_than(&self, other: &Self) -> bool {
        self.sandbox != other.sandbox
            || self.published != other.published
            || self.connecting != other.connecting
            || self.pending != other.pending
    }

    /// Whether it is of the container that is called so.
    fn is_of(&self, container: &str) -> bool {
        self.sandbox.container.as_ref().is_some_and(|own| own.as_str() == container)
    }

    /// The first `eth<n>` that neither an attachment nor one of the sandbox's `links` has.
    pub(super) fn free_device(&self, links: &[Link]) -> String {
        (0..=u32::MAX)
            .map(|number| format!("eth{number}"))
            .find(|device| !self.has_device(device, links))
            .expect("there are more numbers than attachments")
    }

    /// Whether an attachment or one of the sandbox's `links` has this name.
    pub(super) fn has_device(&self, device: &str, links: &[Link]) -> bool {
        let attached =
            |attachment: &Attachment| attachment.interface.device.as_deref() == Some(device);
        self.attachments.iter().any(attached) || links.iter().any(|link| link.name == *device)
    }
}

/// All records, in memory and on disk, and the files that follow from them.
#[derive(Debug)]
pub(super) struct Records {
    dir: PathBuf,
    disk: Disk,
    run_dir: PathBuf,
    all: Mutex<BTreeMap<SandboxId, Record>>,
    /// Of which the records are otherwise than when that was last asked.
    changed: Mutex<BTreeSet<SandboxId>>,
}

impl Records {
    /// Reads what is there. A file that cannot be read is an error, not a loss: somebody has to look.
    pub(super) fn open(state_dir: &Path, run_dir: &Path) -> Result<Self> {
        let dir = state_dir.join("sandboxes");
        let (disk, all) = Disk::open(dir.clone()).map_err(|error| {
            Error::internal(format!("cannot read the sandboxes in {}: {error}", dir.display()))
        })?;
        let run_dir = run_dir.to_owned();
        let records = Self { dir, disk, run_dir, all: Mutex::new(all), changed: Mutex::default() };
        records.all().iter().try_for_each(|record| records.write_files(record)).map(|()| records)
    }

    /// None, where those that there are cannot be read.
    pub(super) fn none(config: &Config) -> Self {
        let dir = config.state_dir.join("sandboxes");
        let disk = Disk::unread(dir.clone());
        let run_dir = config.run_dir.clone();
        Self { dir, disk, run_dir, all: Mutex::default(), changed: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SandboxId, Record>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_changed(&self, id: &SandboxId) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
    }

    /// The sandboxes of which the records came, changed or went since this was last asked, by the one who asks.
    pub(super) fn take_changed(&self) -> BTreeSet<SandboxId> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Where what was last known from the store is kept, beside the records.
    pub(super) fn synced_dir(&self) -> PathBuf {
        self.dir.with_file_name("synced")
    }

    /// A copy of all of them.
    pub(super) fn all(&self) -> Vec<Record> {
        self.lock().values().cloned().collect()
    }

    /// What `view` makes of each, for those who need no copy.
    pub(super) fn each<T>(&self, view: impl FnMut(&Record) -> T) -> Vec<T> {
        self.lock().values().map(view).collect()
    }

    /// What `view` makes of one, if it is there.
    pub(super) fn look<T>(&self, id: &SandboxId, view: impl FnOnce(&Record) -> T) -> Option<T> {
        self.lock().get(id).map(view)
    }

    /// A copy of those that are made whole.
    pub(super) fn made(&self) -> Vec<Record> {
        self.all().into_iter().filter(|record| record.pending.is_none()).collect()
    }

    pub(super) fn get(&self, id: &SandboxId) -> Option<Record> {
        self.lock().get(id).cloned()
    }

    /// By name, container, identifier or the beginning of an identifier. What is still being made, or taken back, is not there.
    pub(super) fn find(&self, text: &str) -> Result<Record> {
        if text.is_empty() {
            return Err(Error::unusable("the name of a sandbox must not be empty"));
        }
        let all = self.lock();
        let made = || all.values().filter(|record| record.pending.is_none());
        if let Some(found) = made().find(|record| record.sandbox.name.as_str() == text) {
            return Ok(found.clone());
        }
        if let Some(found) = made().find(|record| record.is_of(text)) {
            return Ok(found.clone());
        }
        let matching = made()
            .filter(|record| find::is_prefix(text) && record.sandbox.id.as_str().starts_with(text));
        find::only(matching, text, "sandbox")?.cloned().ok_or_else(|| {
            Error::not_found(format!(
                "there is no sandbox {text} on this host: see `netctl sandbox ls`"
            ))
        })
    }

    /// The one of a container, whole or not.
    pub(super) fn of_container(&self, container: &CniName) -> Option<Record> {
        self.lock().values().find(|record| record.is_of(container.as_str())).cloned()
    }

    /// A copy of those of containers that are made whole.
    pub(super) fn of_containers(&self) -> Vec<Record> {
        let all = self.lock();
        let made =
            |record: &&Record| record.sandbox.container.is_some() && record.pending.is_none();
        all.values().filter(made).cloned().collect()
    }

    /// All that a CNI network configuration made.
    pub(super) fn of_configuration(&self, configuration: &CniName) -> Vec<ContainerDevice> {
        let of_record = |record: &Record| -> Vec<ContainerDevice> {
            let Some(container) = &record.sandbox.container else { return Vec::new() };
            let made = record.attachments.iter().map(|attachment| &attachment.interface);
            made.filter(|interface| interface.configuration.as_ref() == Some(configuration))
                .filter_map(|interface| interface.device.as_deref()?.parse().ok())
                .map(|device| ContainerDevice { container: container.clone(), device })
                .collect()
        };
        self.each(of_record).concat()
    }

    /// Whether a sandbox has this name.
    pub(super) fn has_name(&self, name: &Name) -> bool {
        self.lock().values().any(|record| record.sandbox.name == *name)
    }

    /// Adds one whose name nobody has.
    pub(super) fn insert(&self, record: Record) -> Result<()> {
        let mut all = self.lock();
        if all.values().any(|other| other.sandbox.name == record.sandbox.name) {
            return Err(Error::conflict(format!(
                "sandbox {} is there already: choose another name, or remove it first",
                record.sandbox.name
            )));
        }
        self.saved(&record.sandbox.id, self.disk.save(&record))?;
        self.write_files(&record)?;
        self.note_changed(&record.sandbox.id);
        all.insert(record.sandbox.id.clone(), record);
        Ok(())
    }

    /// Changes one, in memory and on disk; one that is gone stays gone. The disk is waited for only where it has to be.
    pub(super) fn update(&self, id: &SandboxId, change: impl FnOnce(&mut Record)) -> Result<()> {
        let mut all = self.lock();
        let Some(record) = all.get(id) else { return Ok(()) };
        let mut changed = record.clone();
        change(&mut changed);
        if changed != *record {
            let saved = if changed.lasts_otherwise_than(record) {
                self.disk.save(&changed)
            } else {
                self.disk.save_soon(&changed)
            };
            self.saved(id, saved)?;
            self.write_files(&changed)?;
            self.note_changed(id);
            all.insert(id.clone(), changed);
        }
        Ok(())
    }

    /// Forgets one, with its files.
    pub(super) fn remove(&self, id: &SandboxId) -> Result<()> {
        let mut all = self.lock();
        crash::step("before a record is removed");
        self.remove_files(id)?;
        let removed = self.disk.remove(id);
        crash::step("after a record is removed");
        removed.map_err(|error| {
            Error::internal(format!("cannot remove {}: {error}", self.file(id).display()))
        })?;
        self.note_changed(id);
        all.remove(id);
        Ok(())
    }

    fn file(&self, id: &SandboxId) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    fn saved(&self, id: &SandboxId, saved: io::Result<()>) -> Result<()> {
        saved.map_err(|error| {
            Error::internal(format!("cannot write {}: {error}", self.file(id).display()))
        })
    }
}

/// A sandbox as its host keeps it, for those who look without the daemon.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceView>,
    /// Where its networks' names are served.
    pub gateways: Vec<IpAddr>,
    /// Whether an operation on it goes on, or was left unfinished.
    pub unfinished: bool,
}

/// The sandboxes that are kept below a daemon's state directory. Nothing there is changed.
///
/// # Errors
/// What cannot be read.
pub fn kept(state_dir: &Path) -> io::Result<Vec<Kept>> {
    let kept = |record: Record| Kept {
        unfinished: record.is_unfinished(),
        gateways: record.attachments.iter().flat_map(|a| a.gateways.clone()).collect(),
        interfaces: record.attachments.into_iter().map(|a| a.interface).collect(),
        sandbox: record.sandbox,
    };
    Ok(disk::look(&state_dir.join("sandboxes"))?.map(kept).collect())
}
