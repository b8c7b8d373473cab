//! What was last known from the store, on disk: a daemon that starts while the store is away serves what the last one
//! knew.
//!
//! One JSON file for each network of interest below `<state-dir>/synced`, replaced by rename when something of it
//! changed. What it says is added to what stands, and takes nothing away.

use std::{
    collections::BTreeSet,
    fs,
    hash::{DefaultHasher, Hasher as _},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

use crate::{
    controller::{follow::Mirror, keys},
    discovery::{Listener, Zone},
    model::{Endpoint, Host, HostName, Network, NetworkId, SCHEMA},
};

/// How soon after a change was written the next one is, at least, and as many times as long as the writing took: a
/// network of many endpoints where much happens does not keep the disk busy.
const PAUSE: (Duration, u32) = (Duration::from_millis(100), 50);
/// What a file is called that cannot be read.
const DAMAGED: &str = "damaged";

/// All that is known of one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// See [`SCHEMA`].
    schema: u32,
    /// Where its names are served.
    device: String,
    pub(super) network: Network,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    /// Hosts of endpoints that are not alive.
    dead: BTreeSet<HostName>,
}

impl Kept {
    pub(super) fn zone(&self) -> Zone {
        Zone::build(&self.network, &self.endpoints, |host| self.dead.contains(host))
    }

    pub(super) fn listeners(&self) -> impl Iterator<Item = Listener> {
        self.network.subnets.iter().map(|subnet| Listener {
            network: self.network.id.clone(),
            device: self.device.clone(),
            address: subnet.gateway,
        })
    }
}

/// Whether a host is known not to be alive. Before all are listed, or where one could not be read, none is.
pub(super) fn is_dead(hosts: &Mirror<Host>, host: &HostName) -> bool {
    hosts.complete && !hosts.damaged && !hosts.entries.contains_key(host.as_str())
}

/// Reads what an earlier daemon left. What cannot be read is set aside, and as good as nothing: the store will say it
/// again.
pub(super) fn read(dir: &Path) -> Vec<Kept> {
    let mut all = Vec::new();
    if let Err(error) = fs::create_dir_all(dir) {
        tracing::warn!(path = %dir.display(), %error, "what the store says cannot be kept for the next daemon");
    }
    for path in fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        // What was not whole when its writer died has another ending.
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        match read_one(&path) {
            Ok(kept) => all.push(kept),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "what the store last said of a network cannot be read: set aside");
                if let Err(error) = fs::rename(&path, path.with_extension(DAMAGED)) {
                    tracing::warn!(path = %path.display(), %error, "cannot be set aside");
                }
            }
        }
    }
    all
}

fn read_one(path: &Path) -> io::Result<Kept> {
    let kept: Kept = serde_json::from_slice(&fs::read(path)?)?;
    if kept.schema == SCHEMA {
        return Ok(kept);
    }
    let reason = format!("its version is {}, and this netctl knows {SCHEMA}", kept.schema);
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// Removes all files but those of `networks`.
pub(super) fn remove_others(dir: &Path, networks: &BTreeSet<&NetworkId>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let network = path.file_stem().and_then(|stem| stem.to_str()?.parse::<NetworkId>().ok());
        if !network.is_some_and(|network| networks.contains(&network)) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// Writes one network's file whenever something changes.
#[derive(Debug)]
pub(super) struct Keeper {
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Writes what is known now, and begins. `host` is this one, which is alive whatever the store says.
    pub(super) async fn start(
        dir: &Path,
        device: String,
        network: Network,
        host: HostName,
        state: (watch::Receiver<Mirror<Endpoint>>, watch::Receiver<Mirror<Host>>),
    ) -> Self {
        let cancel = CancellationToken::new();
        let (endpoints, hosts) = state;
        let dir = dir.to_owned();
        let mut source = Source { dir, device, network, host, endpoints, hosts, written: None };
        source.save().await;
        let task = tokio::spawn(keep(source, cancel.clone()));
        Self { cancel, task }
    }

    /// Writes what is not written yet, and ends.
    pub(super) async fn stop(self) {
        self.cancel.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the keeper of a network's names panicked");
        }
    }
}

#[derive(Clone)]
struct Source {
    dir: PathBuf,
    device: String,
    network: Network,
    host: HostName,
    endpoints: watch::Receiver<Mirror<Endpoint>>,
    hosts: watch::Receiver<Mirror<Host>>,
    /// What tells what was last written from anything else.
    written: Option<u64>,
}

async fn keep(mut source: Source, cancel: CancellationToken) {
    loop {
        let changed = async {
            tokio::select! {
                changed = source.endpoints.changed() => changed,
                changed = source.hosts.changed() => changed,
            }
        };
        let paused = match cancel.run_until_cancelled(changed).await {
            Some(Ok(())) => {
                let begun = Instant::now();
                source.save().await;
                let pause = PAUSE.0.max(begun.elapsed() * PAUSE.1);
                cancel.run_until_cancelled(tokio::time::sleep(pause)).await
            }
            Some(Err(_)) => return,
            None => None,
        };
        if paused.is_none() {
            // What changed since the last time is not lost.
            if source.has_changed() {
                source.save().await;
            }
            return;
        }
    }
}

impl Source {
    async fn save(&mut self) {
        self.endpoints.mark_unchanged();
        self.hosts.mark_unchanged();
        let now = self.clone();
        match spawn_blocking(move || now.write()).await {
            Ok(Ok(written)) => self.written = Some(written),
            Ok(Err(error)) => {
                tracing::warn!(network = %self.network.name, %error, "cannot keep on disk what the store says");
            }
            Err(error) => tracing::error!(%error, "writing what the store says panicked"),
        }
    }

    fn has_changed(&self) -> bool {
        self.endpoints.has_changed().unwrap_or(true) || self.hosts.has_changed().unwrap_or(true)
    }

    /// By a new file that takes the old one's place, unless that would say the same; returns what tells it from others.
    fn write(&self) -> io::Result<u64> {
        let (endpoints, dead): (Vec<Arc<Endpoint>>, BTreeSet<HostName>) = {
            let endpoints: Vec<Arc<Endpoint>> =
                self.endpoints.borrow().entries.values().map(|(e, _)| Arc::clone(e)).collect();
            let hosts = self.hosts.borrow();
            let owners = endpoints.iter().filter_map(|e| e.owner.as_ref().map(|o| &o.host));
            let dead = owners.filter(|host| **host != self.host && is_dead(&hosts, host));
            let dead = dead.cloned().collect();
            (endpoints, dead)
        };
        let (device, network) = (self.device.clone(), self.network.clone());
        let text = keys::write(&Kept { schema: SCHEMA, device, network, endpoints, dead });
        let mut hasher = DefaultHasher::new();
        hasher.write(&text);
        let says = hasher.finish();
        if self.written == Some(says) {
            return Ok(says);
        }
        let file = self.dir.join(format!("{}.json", self.network.id));
        let new = file.with_extension("new");
        fs::create_dir_all(&self.dir)?;
        let mut writing = fs::File::create(&new)?;
        writing.write_all(&text)?;
        writing.sync_data()?;
        fs::rename(&new, &file)?;
        Ok(says)
    }
}
