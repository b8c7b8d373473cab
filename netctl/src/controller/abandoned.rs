//! Containers that ended without their runtime having said so: it was killed, the daemon was away, or it never says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{Controller, Result, records::Record, recover::is_gone};
use crate::{
    kernel::{Netns, NetnsId},
    model::SandboxId,
};

/// How often it is looked.
const PERIOD: Duration = Duration::from_secs(2);
/// How many times in a row a container must be found to have ended. A runtime may be about to say so itself, or to start
/// another process in its namespace.
const LOOKS: u32 = 3;
/// At which of the looks all processes are looked at, which costs most.
const EVERY: u32 = 3;
/// For how long after a sandbox was first seen its container's first process is looked for each time.
const YOUNG: Duration = Duration::from_mins(1);

/// Which containers were found to have ended, and how many times in a row.
type Ended = BTreeMap<SandboxId, u32>;

/// When those were first seen whose container had no process yet.
type Empty = BTreeMap<SandboxId, Instant>;

impl Controller {
    /// Keeps looking for containers that ended, and takes down their sandboxes.
    pub(super) async fn clear_abandoned(&self) -> ! {
        let (mut ended, mut empty) = (Ended::new(), Empty::new());
        for look in 0.. {
            if let Err(error) =
                self.look_for_abandoned(&mut ended, &mut empty, look % EVERY == 0).await
            {
                tracing::warn!(%error, "cannot take down what ended containers left; trying again");
            }
            tokio::time::sleep(PERIOD).await;
        }
        unreachable!("there is always another look")
    }

    async fn look_for_abandoned(
        &self,
        ended: &mut Ended,
        empty: &mut Empty,
        all: bool,
    ) -> Result<()> {
        let records: Vec<Record> = self.records.of_containers();
        let is_empty = |record: &&Record| record.is_bound() && !record.inhabited;
        let first_seen = |record: &Record| {
            let id = &record.sandbox.id;
            (id.clone(), empty.get(id).copied().unwrap_or_else(Instant::now))
        };
        *empty = records.iter().filter(is_empty).map(first_seen).collect();
        let young = empty.values().any(|since| since.elapsed() < YOUNG);
        let look_inside = (all && records.iter().any(Record::is_bound)) || young;
        let inhabited = if look_inside { Some(Netns::inhabited().await?) } else { None };
        let mut gone = Ended::new();
        for record in records {
            let id = &record.sandbox.id;
            let before = ended.get(id).copied();
            let looks = match (record.is_bound(), &inhabited) {
                // A runtime removes a namespace's file with its container.
                (false, _) => is_gone(&record.sandbox.netns).then(|| before.unwrap_or(0) + 1),
                // What netctl holds itself is there for ever: a container that had a process and has none has ended.
                (true, Some(inhabited)) => {
                    self.is_left(&record, inhabited)?.then(|| before.unwrap_or(0) + 1)
                }
                (true, None) => before,
            };
            match looks {
                Some(LOOKS..) => self.take_down(&record).await?,
                Some(looks) => drop(gone.insert(id.clone(), looks)),
                None => {}
            }
        }
        *ended = gone;
        Ok(())
    }

    /// Whether the last process has left a container's namespace. Where there was none yet, one is still to come.
    fn is_left(&self, record: &Record, inhabited: &BTreeSet<NetnsId>) -> Result<bool> {
        let Ok(id) = Netns::open(&record.sandbox.netns).and_then(|netns| netns.id()) else {
            return Ok(true);
        };
        if inhabited.contains(&id) {
            self.records.update(&record.sandbox.id, |record| record.inhabited = true)?;
            return Ok(false);
        }
        Ok(record.inhabited)
    }

    async fn take_down(&self, record: &Record) -> Result<()> {
        let _one = self.operations.lock().await;
        // It may have left by itself while the lock was held by another.
        let Some(record) = self.records.get(&record.sandbox.id) else { return Ok(()) };
        tracing::info!(sandbox = %record.sandbox.name, "its container has ended: taking it down");
        self.dismantle(&record).await
    }
}
