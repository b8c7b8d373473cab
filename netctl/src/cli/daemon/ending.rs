//! The end of a daemon: all parts stop at once, each is waited for, and none for ever.
//!
//! What does not end in time is named in the log and cut off, as a kill would: whoever comes next finishes it. All of it
//! together is much less than the 90 s after which systemd kills (`DefaultTimeoutStopSec`).

use std::{io, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    runtime::Runtime,
    task::{JoinError, JoinHandle},
    time::{Instant, timeout_at},
};

use super::Plugin;
use crate::controller::Controller;

/// How long requests that were begun may take.
const GRACE: Duration = Duration::from_secs(10);
/// How long what follows the store may take after them.
const FOLLOWERS: Duration = Duration::from_secs(4);
/// How long threads may take that wait for the kernel or the disk, after all else.
const THREADS: Duration = Duration::from_secs(1);

/// What serves, and the controller behind it.
pub(super) struct Parts {
    pub(super) server: JoinHandle<io::Result<()>>,
    /// How the server has ended, where it has.
    pub(super) ended: Option<Result<io::Result<()>, JoinError>>,
    pub(super) plugin: Plugin,
    pub(super) metrics: Option<JoinHandle<()>>,
    pub(super) page: Option<JoinHandle<()>>,
    pub(super) controller: Arc<Controller>,
}

impl Parts {
    /// Waits for all that was told to stop.
    ///
    /// # Errors
    /// A part failed, or broke off.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        let Self { mut server, ended, plugin, metrics, page, controller } = self;
        let end = Instant::now() + GRACE;
        let serving = async {
            match ended {
                Some(ended) => ended,
                None => (&mut server).await,
            }
        };
        let (served, _, metrics, page) = tokio::join!(
            within(end, "requests", serving),
            within(end, "calls of Docker", plugin.end()),
            within(end, "answers with metrics", joined(metrics)),
            within(end, "answers with the page", joined(page)),
        );
        if served.is_none() {
            server.abort();
        }
        controller.shutdown(FOLLOWERS).await;
        if let Some(served) = served {
            served.context("the server broke off")?.context("the server failed")?;
        }
        metrics.transpose().context("the server of metrics broke off")?;
        page.transpose().context("the server of the page broke off")?;
        Ok(())
    }
}

/// Waits for a part until `end`, and says which it was where that is in vain.
async fn within<T>(end: Instant, what: &str, part: impl Future<Output = T>) -> Option<T> {
    let ended = timeout_at(end, part).await.ok();
    if ended.is_none() {
        tracing::warn!(seconds = GRACE.as_secs(), "{what} are cut off: they took too long");
    }
    ended
}

async fn joined(task: Option<JoinHandle<()>>) -> Result<(), JoinError> {
    match task {
        Some(task) => task.await,
        None => Ok(()),
    }
}

/// Ends the runtime. A thread that waits for the kernel or the disk cannot be told to stop, and is left to go with the
/// process.
pub(in crate::cli) fn end(runtime: Runtime) {
    let begun = std::time::Instant::now();
    runtime.shutdown_timeout(THREADS);
    if begun.elapsed() >= THREADS {
        tracing::warn!(
            "a thread that waits for the kernel or the disk is not waited for any longer"
        );
    }
}
