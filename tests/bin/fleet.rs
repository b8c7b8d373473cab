//! `fleet STORE HOSTS NETWORKS ENDPOINTS`: a cluster of hosts that exist in a store alone, written by the types and under
//! the keys that daemons write, the hosts under leases.
//!
//! It says `ready` when all of it is there. Each line that it reads is then a command, and each answer a line:
//!
//! - `shuffle COUNT LOCAL`: has so many endpoints of the first `LOCAL` networks move to other hosts; `shuffled`.
//! - `await LOCAL PINS`: waits until the FDB that a daemon pins below `PINS` says of each endpoint of the first `LOCAL`
//!   networks where it is, and of no other that it is elsewhere; `complete`.
//! - `change COUNT RATE LOCAL PINS`: has endpoints move, and be published and removed, so many a second, and looks for each
//!   in the FDB: JSON of microseconds, from before its transaction, and from the store's answer.
//!
//! It ends with its input; the hosts' leases end with it.

#[path = "fleet/changes.rs"]
mod changes;
#[path = "fleet/cluster.rs"]
mod cluster;
#[path = "fleet/table.rs"]
mod table;

use std::{
    io::{Write as _, stdin, stdout},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use netctl::store::{EtcdOptions, OpenOptions, SharedStore, open};
use tokio::task::spawn_blocking;

use self::{cluster::Cluster, table::Table};

/// How long the hosts' keys stay without being kept, and how often they are kept: as daemons have it.
const LEASE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));
/// How long a daemon may take to hold all.
const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut arg = |name| args.next().with_context(|| format!("argument {name} is missing"));
    let spec = arg("STORE")?;
    let [hosts, networks, endpoints] = [arg("HOSTS")?, arg("NETWORKS")?, arg("ENDPOINTS")?];
    let options = OpenOptions { file: PathBuf::from("store.db"), etcd: EtcdOptions::default() };
    let store = open(&spec.parse()?, &options).await?;
    let mut cluster = Cluster::new(hosts.parse()?, networks.parse()?, endpoints.parse()?)?;
    let leases = cluster.write(&store).await?;
    let keeping = tokio::spawn(keep(Arc::clone(&store), leases));
    say("ready")?;
    while let Some(line) = spawn_blocking(|| stdin().lines().next().transpose()).await?? {
        let answer = serve(&line, &mut cluster, &store).await;
        say(&answer.with_context(|| format!("command {line:?}"))?)?;
    }
    keeping.abort();
    Ok(())
}

fn say(line: &str) -> Result<()> {
    writeln!(stdout(), "{line}")?;
    Ok(stdout().flush()?)
}

async fn serve(line: &str, cluster: &mut Cluster, store: &SharedStore) -> Result<String> {
    let words: Vec<&str> = line.split(' ').collect();
    match *words.as_slice() {
        ["shuffle", count, local] => {
            for _ in 0..count.parse::<u32>()? {
                let change = cluster.movement(local.parse()?);
                cluster.commit(store, change).await?;
            }
            Ok("shuffled".to_owned())
        }
        ["await", local, pins] => {
            let (expected, pins) = (cluster.expected(local.parse()?), PathBuf::from(pins));
            spawn_blocking(move || table::complete(&pins, &expected, PATIENCE)).await??;
            Ok("complete".to_owned())
        }
        ["change", count, rate, local, pins] => {
            let table = Table::open(Path::new(pins))?;
            let pace = Duration::from_secs(1) / rate.parse()?;
            let times = changes::run(cluster, store, table, (count.parse()?, pace, local.parse()?));
            Ok(times.await?.to_string())
        }
        _ => bail!("unknown"),
    }
}

/// Keeps the hosts alive.
async fn keep(store: SharedStore, leases: Vec<netctl::store::LeaseId>) -> Result<()> {
    let pause = LEASE.1 / u32::try_from(leases.len())?;
    loop {
        for &lease in &leases {
            store.keep_alive(lease).await?;
            tokio::time::sleep(pause).await;
        }
    }
}
