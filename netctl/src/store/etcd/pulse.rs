//! Leaving a member that has fallen silent, before any call has to fail at it.
//!
//! A frozen machine, or one behind a dead link, keeps its connections open. Whoever only watches there hears nothing, and
//! takes that for peace. So the member that is talked to is asked for a sign of life all the time, which costs it next to
//! nothing: it is answered from memory, without its disk and without the other members. Where none comes, the others
//! are asked, and the first that answers is moved to. While none of them does, all stays: who is merely slow together with
//! the others is not asked for more.

use std::{
    future::pending,
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{members, pool::Pool};
use crate::backoff::{self, Backoff};

/// How long after one sign of life the next is asked for, at least.
const PERIOD: Duration = Duration::from_millis(400);

/// How much later it may be: hosts that began together do not ask together.
const SPREAD: Duration = Duration::from_millis(200);

/// How long it may take before the others are asked, at first, and at most where members were left again and again.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(600), Duration::from_secs(5));

/// After so long without leaving a member the patience is what it was at first.
const QUIET: Duration = Duration::from_mins(1);

/// Before it is asked again after nobody answered, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// What a sign of life told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// The member answers, or nobody talks to any.
    Well,
    /// It does not, and another is talked to now.
    Moved,
    /// Neither it nor another answers.
    Nowhere,
}

/// Looks after the connection of `pool` until nobody has that any more.
pub(super) async fn keep(pool: Weak<Pool>) {
    let mut patience = PATIENCE.0;
    let mut moved = None::<Instant>;
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        sleep(PERIOD + backoff::spread(SPREAD)).await;
        let Some(pool) = pool.upgrade() else { return };
        if moved.is_some_and(|moved| moved.elapsed() > QUIET) {
            (patience, moved) = (PATIENCE.0, None);
        }
        let sign = Box::pin(ask(&pool, patience)).await;
        drop(pool);
        match sign {
            Sign::Well => backoff.reset(),
            Sign::Moved => {
                // A member that is left is often the first of several, and the next is no slower than it was.
                patience = (patience * 2).min(PATIENCE.1);
                moved = Some(Instant::now());
            }
            Sign::Nowhere => sleep(backoff.pause()).await,
        }
    }
}

async fn ask(pool: &Arc<Pool>, patience: Duration) -> Sign {
    let Some((index, generation, mut client)) = pool.present().await else { return Sign::Well };
    let sign = async {
        // A connection that broke is found by who uses it.
        if !members::is_led(&mut client).await.unwrap_or(true) {
            pending::<()>().await;
        }
    };
    let mut sign = pin!(sign);
    if timeout(patience, &mut sign).await.is_ok() {
        return Sign::Well;
    }
    // Should it be this process that was held up, the first to answer is the one that was asked first.
    let other = tokio::select! {
        biased;
        () = &mut sign => return Sign::Well,
        other = pool.other(index) => other,
    };
    let Some(other) = other else { return Sign::Nowhere };
    let place = other.index;
    if pool.leave(generation, other).await {
        tracing::info!(
            place = pool.place(),
            silent = index,
            now = place,
            "a member does not answer, moved on to another"
        );
        return Sign::Moved;
    }
    Sign::Well
}
