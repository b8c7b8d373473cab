//! Trying out the store: whether it can be read and written now, and how soon it answers.

use std::time::{Duration, Instant};

use super::{Controller, keys, milliseconds};
use crate::{model::StoreProbeView, store};

/// How long what is written to try it out lives at most.
const TTL: Duration = Duration::from_secs(5);

impl Controller {
    /// Reads this host's key, and takes a lease that it gives back: nothing of it stays.
    pub async fn probe_store(&self) -> StoreProbeView {
        let began = Instant::now();
        let read = self.store.get(&keys::host(&self.config.host)).await;
        let read_took = began.elapsed();
        let began = Instant::now();
        let written = self.try_change().await;
        StoreProbeView {
            place: self.store.place(),
            read_ms: milliseconds(read_took),
            read_error: read.err().map(|error| error.to_string()),
            write_ms: milliseconds(began.elapsed()),
            write_error: written.err().map(|error| error.to_string()),
        }
    }

    /// Takes a lease and gives it back, which is a change to the store, and to nothing in it.
    pub(super) async fn try_change(&self) -> Result<(), store::Error> {
        let lease = self.store.grant(TTL).await?;
        self.store.revoke(lease).await
    }
}
