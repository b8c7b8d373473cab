//! Ending what an operation began and could not end: because the store went away, or the daemon was killed.

use std::time::Duration;

use super::{Controller, Result, keys, records::Record};

/// How often it is looked whether something was left unfinished.
const PERIOD: Duration = Duration::from_secs(2);

impl Controller {
    /// Keeps looking for what was left unfinished, and undoes it as soon as the store can be reached.
    pub(super) async fn mend(&self) -> ! {
        loop {
            tokio::time::sleep(PERIOD).await;
            if self.records.all().iter().any(Record::is_unfinished)
                && let Err(error) = self.undo_unfinished().await
            {
                tracing::warn!(%error, "cannot undo what was left unfinished; trying again");
            }
        }
    }

    async fn undo_unfinished(&self) -> Result<()> {
        // Asked before operations are kept waiting: they are to fail at once while the store is away.
        self.store.get(&keys::host(&self.config.host)).await?;
        let _one = self.operations.lock().await;
        self.finish().await
    }

    /// Undoes what is unfinished. The caller holds the lock, so that nothing is whose operation still goes on. What
    /// follows from it for the kernel is left to the reconcile loop.
    pub(super) async fn finish(&self) -> Result<()> {
        for record in self.records.all() {
            if record.pending.is_some() {
                tracing::info!(sandbox = %record.sandbox.name, "taking down a sandbox that was left unfinished");
                self.let_go(&record).await?;
                self.delete_remains(&record).await?;
                continue;
            }
            if record.is_empty_of_engine() {
                self.records.remove(&record.sandbox.id)?;
                continue;
            }
            for noted in &record.connecting {
                tracing::info!(sandbox = %record.sandbox.name, "undoing a connection");
                self.give_up(&record.sandbox.id, noted).await?;
            }
            for attachment in record.attachments.iter().filter(|attachment| attachment.unsettled) {
                let interface = &attachment.interface;
                tracing::info!(sandbox = %record.sandbox.name, service = %interface.service, "undoing an attachment");
                self.undo(&record.sandbox.id, &attachment.network, &interface.endpoint).await?;
            }
        }
        Ok(())
    }
}
