//! How long changes take to a daemon's maps.

use std::{
    net::IpAddr,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use netctl::{model::MacAddr, store::SharedStore};
use serde_json::{Value, json};
use tokio::{task::spawn_blocking, time::sleep_until};

use crate::{
    cluster::{Change, Cluster},
    table::Table,
};

/// Between two looks: the error of a time.
const PAUSE: Duration = Duration::from_micros(250);
/// After so long something is wrong.
const LIMIT: Duration = Duration::from_secs(10);

/// A change that was made, or is under way.
struct Pending {
    what: &'static str,
    key: (u32, MacAddr),
    at: Option<IpAddr>,
    begun: Instant,
}

/// One that was seen in the maps: its number, what it was, and after how long.
type Seen = (usize, &'static str, Duration);

/// Makes so many changes, with such a pause between two, in the first networks. One of ten publishes an endpoint, and one
/// removes one; the others move.
pub(crate) async fn run(
    cluster: &mut Cluster,
    store: &SharedStore,
    table: Table,
    (count, pace, local): (u32, Duration, usize),
) -> Result<Value> {
    let (sender, changes) = channel();
    let watching = spawn_blocking(move || watch(&table, &changes));
    let begin = tokio::time::Instant::now();
    let mut answered = Vec::new();
    for number in 0..count {
        sleep_until(begin + pace * number).await;
        let change = match number % 10 {
            3 => cluster.publication(local)?,
            7 => cluster.removal(local),
            _ => cluster.movement(local),
        };
        let Change { what, key, at, .. } = change;
        let begun = Instant::now();
        sender.send(Pending { what, key, at, begun }).map_err(|_gone| anyhow!("nobody looks"))?;
        cluster.commit(store, change).await?;
        answered.push(begun.elapsed());
    }
    drop(sender);
    let seen = watching.await??;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let row = |(number, what, whole): (usize, &str, Duration)| {
        let commit = *answered.get(number)?;
        Some(json!({
            "what": what,
            "commit": micros(commit),
            "whole": micros(whole),
            "after": micros(whole.saturating_sub(commit)),
        }))
    };
    Ok(seen.into_iter().filter_map(row).collect())
}

/// Looks for each change until it is seen, in the order in which they were made.
fn watch(table: &Table, changes: &Receiver<Pending>) -> Result<Vec<Seen>> {
    let (mut pending, mut seen) = (Vec::<(usize, Pending)>::new(), Vec::new());
    let mut number = 0;
    let mut open = true;
    while open || !pending.is_empty() {
        match changes.recv_timeout(PAUSE) {
            Ok(change) => {
                // What changes again before it was seen is passed over, and says nothing.
                pending.retain(|(_, other)| other.key != change.key);
                pending.push((number, change));
                number += 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                open = false;
                std::thread::sleep(PAUSE);
            }
        }
        let mut still = Vec::new();
        for (at, change) in pending {
            if table.says(change.key, change.at)? {
                seen.push((at, change.what, change.begun.elapsed()));
            } else {
                ensure!(change.begun.elapsed() < LIMIT, "a change was not seen: {}", change.what);
                still.push((at, change));
            }
        }
        pending = still;
    }
    seen.sort_unstable();
    Ok(seen)
}
