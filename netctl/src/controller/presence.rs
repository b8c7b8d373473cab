//! This host in the cluster: its key under its lease, and the list of all hosts.

use std::{fs, path::Path, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Config, Controller, Error, Kind, Result, follow::Mirror, keys};
use crate::{
    backoff::Backoff,
    drivers::Footing,
    model::{Host, HostId, HostView, SCHEMA, UnixTime},
    moment::Moment,
    store::{Guard, LeaseId, Outcome, SharedStore, Txn},
};

/// A host that was not heard of for this long is no longer listed. Its endpoints stay its own.
const TTL: Duration = Duration::from_secs(15);
/// How often it says that it is alive: a third, so that one lost call does no harm.
const PERIOD: Duration = Duration::from_secs(5);
/// By how many seconds a clock may be adjusted before its host tells the others when it started by the new time.
const ADJUSTED: UnixTime = 2;
/// How long to wait after it could not be said, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

impl Controller {
    /// The hosts of the cluster, by name.
    pub async fn hosts(&self) -> Result<Vec<HostView>> {
        let mut hosts: Vec<HostView> = keys::list::<Host>(&*self.store, keys::HOSTS)
            .await?
            .into_iter()
            .map(|stored| HostView {
                this: stored.value.name == self.config.host,
                host: stored.value,
            })
            .collect();
        hosts.sort_by(|a, b| a.host.name.cmp(&b.host.name));
        Ok(hosts)
    }
}

/// What is to be said of this host.
pub(super) fn describe(config: &Config, underlay: &Footing, started: UnixTime) -> Result<Host> {
    Ok(Host {
        schema: SCHEMA,
        id: identity(&config.state_dir)?,
        name: config.host.clone(),
        vteps: underlay.vteps,
        vxlan_port: config.vxlan_port,
        mtu: underlay.mtu,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started,
    })
}

/// Which machine this is: read from the state directory, where it is put once.
fn identity(state_dir: &Path) -> Result<HostId> {
    let file = state_dir.join("host-id");
    let failed =
        |error: std::io::Error| Error::internal(format!("cannot use {}: {error}", file.display()));
    match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().map_err(|error| {
            Error::internal(format!(
                "{} does not say which host this is: {error}; remove it",
                file.display()
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = HostId::random();
            fs::create_dir_all(state_dir)
                .and_then(|()| fs::write(&file, format!("{id}\n")))
                .map_err(failed)?;
            Ok(id)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Refuses a name that another live host has.
pub(super) async fn check_name(store: &SharedStore, host: &Host) -> Result<()> {
    match keys::get::<Host>(&**store, &keys::host(&host.name)).await? {
        Some(other) if other.value.id != host.id => Err(name_taken(&other.value)),
        _ => Ok(()),
    }
}

fn name_taken(other: &Host) -> Error {
    Error::conflict(format!(
        "host name {} is taken by the host with address {}: give this one another with --host-name",
        other.name, other.vteps
    ))
}

/// Keeps the host's key in the store until cancelled, with what its underlay has and when it `began`, and puts it again as soon as
/// `hosts` shows that it is gone. The key is left to its lease then, so that a daemon that is restarted is not missed in
/// between.
pub(super) async fn keep(
    store: SharedStore,
    mut host: Host,
    began: Moment,
    mut underlay: watch::Receiver<Footing>,
    mut hosts: watch::Receiver<Mirror<Host>>,
    cancel: CancellationToken,
) {
    let mut lease = None;
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        {
            let Footing { vteps, mtu, .. } = *underlay.borrow_and_update();
            // Where the clock was set, it started at another time.
            let started = began.unix();
            let was_set = started.abs_diff(host.started) > ADJUSTED;
            if (vteps, mtu) != (host.vteps, host.mtu) || was_set {
                (host.vteps, host.mtu, host.started) = (vteps, mtu, started);
                // The key is put again with another lease.
                lease = None;
            }
        }
        let beating = async {
            let beaten = beat(&store, &host, lease).await;
            if lease.is_some() && matches!(&beaten, Err(error) if error.kind != Kind::Unavailable) {
                // The lease has ended, as after a pause of the whole machine: others miss this host already.
                return beat(&store, &host, None).await;
            }
            beaten
        };
        let Some(beaten) = cancel.run_until_cancelled(beating).await else { return };
        let mut pause = PERIOD;
        match beaten {
            Ok(held) => {
                lease = Some(held);
                backoff.reset();
            }
            Err(error) => {
                tracing::warn!(%error, "cannot tell the store that this host is alive");
                // Should it have ended, another is taken; should it not, taking another ends it.
                lease = None;
                pause = backoff.pause();
            }
        }
        let missed = async {
            // What it saw before its own beat says nothing.
            let missed = hosts.wait_for(|hosts| is_missed(hosts, &host)).await.is_ok();
            if !missed || lease.is_none() {
                std::future::pending::<()>().await;
            }
        };
        let due = async {
            tokio::select! {
                () = tokio::time::sleep(pause) => false,
                () = missed => true,
                Ok(()) = underlay.changed() => false,
            }
        };
        match cancel.run_until_cancelled(due).await {
            None => return,
            Some(false) => {}
            // Not again and again, should what is seen lag behind.
            Some(true) => tokio::time::sleep(PAUSES.0).await,
        }
    }
}

/// Whether the other hosts miss this one.
fn is_missed(hosts: &Mirror<Host>, host: &Host) -> bool {
    hosts.complete && !hosts.damaged && !hosts.entries.contains_key(host.name.as_str())
}

async fn beat(store: &SharedStore, host: &Host, lease: Option<LeaseId>) -> Result<LeaseId> {
    if let Some(lease) = lease {
        store.keep_alive(lease).await?;
    }
    let key = keys::host(&host.name);
    let guard = match keys::get::<Host>(&**store, &key).await? {
        Some(other) if other.value.id != host.id => return Err(name_taken(&other.value)),
        // The lease alone says nothing: somebody may have removed the key.
        Some(_) if let Some(lease) = lease => return Ok(lease),
        Some(own) => own.unchanged(),
        None => Guard::Absent(key.clone()),
    };
    let lease = store.grant(TTL).await?;
    let txn = Txn::new().when(guard).put_leased(key, keys::write(host), lease);
    match store.commit(txn).await? {
        Outcome::Committed(_) => Ok(lease),
        Outcome::Conflict => {
            store.revoke(lease).await?;
            Err(Error::conflict(format!("host name {} was taken at the same moment", host.name)))
        }
    }
}
