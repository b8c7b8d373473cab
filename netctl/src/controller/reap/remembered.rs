//! For how long it is remembered what was taken from hosts.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::Reaped;
use crate::{
    controller::{Result, keys, now},
    model::UnixTime,
    store::{Store, Txn},
};

/// How long it is remembered what was taken from a host, in seconds.
const REMEMBERED: UnixTime = 7 * 24 * 3600;

/// For how long it must have looked older, by this host's own clock: the wall clock may just have been set by years.
const DOUBTED: Duration = Duration::from_hours(1);

/// What looks older than it is remembered, by key, and since when.
#[derive(Default)]
pub(super) struct Remembered(BTreeMap<String, Instant>);

/// A moment, by both clocks.
#[derive(Clone, Copy)]
pub(super) struct Now {
    /// By the wall clock, which is how it is noted when something was taken.
    wall: UnixTime,
    /// By the one that nobody sets.
    own: Instant,
}

impl Now {
    /// By the machine's clocks.
    pub(super) fn read() -> Self {
        Self { wall: now(), own: Instant::now() }
    }
}

impl Remembered {
    /// Forgets what was taken from hosts so long ago that they will not ask for it.
    pub(super) async fn forget_old(&mut self, store: &dyn Store, now: Now) -> Result<()> {
        let Self(old) = self;
        let mut all = keys::list::<Reaped>(store, keys::REAPED).await?;
        // What is from so far ahead was noted by a clock that was wrong.
        all.retain(|stored| stored.value.at.abs_diff(now.wall) > REMEMBERED);
        let since = |key: &String| old.get(key).copied().unwrap_or(now.own);
        *old = all.iter().map(|stored| (stored.key.clone(), since(&stored.key))).collect();
        for stored in all {
            let looked = old.get(&stored.key).map(|since| now.own.duration_since(*since));
            if looked.is_some_and(|looked| looked > DOUBTED) {
                let txn = Txn::new().when(stored.unchanged()).delete(stored.key);
                store.commit(txn).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        controller::reap::taken,
        discovery::tests::{endpoint, network},
        model::{HostName, SandboxId},
        store::MemoryStore,
    };

    const HOUR: Duration = Duration::from_hours(1);
    const MINUTE: Duration = Duration::from_mins(1);
    const WEEK: UnixTime = REMEMBERED;
    /// When it was taken.
    const TAKEN: UnixTime = 2_000_000_000;

    /// A store in which an endpoint is noted that was taken from host `h1`.
    struct Noted {
        store: MemoryStore,
        host: HostName,
        note: Txn,
        began: Instant,
        remembered: Remembered,
    }

    impl Noted {
        async fn new() -> Self {
            let host: HostName = "h1".parse().expect("a name");
            let network = network("dev", "10.0.0.0/24", false);
            let sandbox = SandboxId::random();
            let endpoint = endpoint(&network, "web", &[], &[], Some(&sandbox));
            let key = format!("{}{}", keys::reaped(&host), endpoint.id);
            let reaped = Reaped { at: TAKEN, endpoint };
            let note = Txn::new().put(key, keys::write(&reaped));
            let noted = Self {
                store: MemoryStore::default(),
                host,
                note,
                began: Instant::now(),
                remembered: Remembered::default(),
            };
            noted.note().await;
            noted
        }

        async fn note(&self) {
            self.store.commit(self.note.clone()).await.expect("no store is nearer");
        }

        /// Whether the host could have it again that comes back now: this long after it was first looked, and where the
        /// wall clock says so.
        async fn is_there(&mut self, after: Duration, wall: UnixTime) -> bool {
            let now = Now { wall, own: self.began + after };
            self.remembered.forget_old(&self.store, now).await.expect("no store is nearer");
            !taken(&self.store, &self.host).await.expect("no store is nearer").is_empty()
        }
    }

    #[tokio::test]
    async fn what_was_taken_is_remembered_for_a_week() {
        let mut noted = Noted::new().await;
        assert!(noted.is_there(Duration::ZERO, TAKEN).await);
        assert!(noted.is_there(168 * HOUR, TAKEN + WEEK).await, "a host comes back in time");
        assert!(noted.is_there(169 * HOUR, TAKEN + WEEK + 3600).await, "that may be the clock");
        assert!(!noted.is_there(171 * HOUR, TAKEN + WEEK + 10_800).await, "it comes back too late");
    }

    /// The looker has just started, or the wall clock was just set.
    #[tokio::test]
    async fn what_is_old_by_the_wall_clock_is_forgotten_when_it_was_so_for_an_hour() {
        for wall in [TAKEN + WEEK + 1, TAKEN - WEEK - 1, 0] {
            let mut noted = Noted::new().await;
            assert!(noted.is_there(Duration::ZERO, wall).await, "{wall}: it is seen first");
            assert!(noted.is_there(HOUR, wall).await, "{wall}: a host comes back within the hour");
            assert!(!noted.is_there(HOUR + MINUTE, wall).await, "{wall}: it comes back after it");
        }
    }

    #[tokio::test]
    async fn a_clock_that_was_wrong_for_less_than_an_hour_has_nothing_forgotten() {
        let mut noted = Noted::new().await;
        let wrong = TAKEN + 100 * WEEK;
        assert!(noted.is_there(Duration::ZERO, TAKEN).await);
        for begins in [10, 20] {
            let begins = begins * HOUR;
            assert!(noted.is_there(begins, wrong).await, "it was set under the daemon");
            assert!(noted.is_there(begins + 59 * MINUTE, wrong).await);
            assert!(noted.is_there(begins + HOUR, TAKEN).await, "it was put right meanwhile");
        }
    }

    /// One that is noted again was taken again.
    #[tokio::test]
    async fn the_hour_begins_anew_with_another_looker_and_another_note() {
        let mut noted = Noted::new().await;
        let wall = TAKEN + WEEK + 1;
        assert!(noted.is_there(Duration::ZERO, wall).await);
        noted.remembered = Remembered::default();
        assert!(noted.is_there(2 * HOUR, wall).await, "another has only begun to look");
        assert!(!noted.is_there(4 * HOUR, wall).await);
        assert!(!noted.is_there(5 * HOUR, wall).await, "it is gone");
        noted.note().await;
        assert!(noted.is_there(6 * HOUR, wall).await, "it is seen for the first time");
        assert!(!noted.is_there(8 * HOUR, wall).await);
    }
}
