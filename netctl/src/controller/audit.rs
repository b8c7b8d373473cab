//! Finds in the store what is taken and nobody holds, and frees it; and puts back what somebody holds and is not taken.
//!
//! Operations leave nothing of the kind: a key is put and removed in one transaction with the object that holds it. But
//! others can write to the store, and parts of it can be restored from elsewhere.
//!
//! A key that no object holds stays one for as long as it is not put again, since an object comes to hold a key by
//! putting it and not otherwise. So it is freed in a transaction that is guarded by the key's revision and by what its
//! object was seen to be, and any number of hosts may look at once. What cannot be read, or is held twice, is left, and
//! told.

mod compare;
mod parts;

use std::time::Duration;

use self::compare::{Comparison, Orphan, Untaken};
use super::{Controller, Result, keys};
use crate::{
    ipam,
    model::{AuditView, Host},
    moment::Moment,
    store::{Guard, Outcome, Txn},
};

/// How often one host of the cluster looks, besides each at its start.
const PERIOD: Duration = Duration::from_mins(10);
/// How soon it looks again after it could not.
const RETRY: Duration = Duration::from_secs(10);
/// How many keys are changed in one look; the rest is for the next.
const LIMIT: usize = 1_000;

impl Controller {
    /// Looks now, and from time to time.
    pub(super) async fn audit(&self) -> ! {
        let mut turn = true;
        loop {
            let looked = if turn { self.look_through().await } else { Ok(()) };
            let pause = match looked {
                Ok(()) => PERIOD,
                Err(error) => {
                    tracing::warn!(%error, "cannot look for what nobody holds; trying again");
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
            turn = self.is_first().await;
        }
    }

    /// What was found so far; nothing before the first look.
    pub(super) fn audited(&self) -> Option<AuditView> {
        let audited = *self.audited.borrow();
        audited.map(|(found, at)| AuditView { at: at.unix(), ..found })
    }

    /// Whether this host is the first of those that are alive: all the others leave it to that one.
    async fn is_first(&self) -> bool {
        let own = &self.config.host;
        match keys::list::<Host>(&*self.store, keys::HOSTS).await {
            Ok(hosts) => hosts.iter().map(|host| &host.value.name).min().is_none_or(|h| h == own),
            // Another look is no harm.
            Err(_) => true,
        }
    }

    async fn look_through(&self) -> Result<()> {
        let Comparison { orphans, untaken, unclear } = self.compare().await?;
        let mut found =
            self.audited().unwrap_or(AuditView { at: 0, freed: 0, put_back: 0, unclear: 0 });
        for reason in &unclear {
            tracing::warn!(reason, "the store has what only people can settle");
        }
        for orphan in &orphans {
            found.freed += u64::from(self.free(orphan).await?);
        }
        for untaken in &untaken {
            found.put_back += u64::from(self.put_back(untaken).await?);
        }
        let found = AuditView { unclear: unclear.len() as u64, ..found };
        self.audited.send_replace(Some((found, Moment::now())));
        Ok(())
    }

    /// Removes a key that nobody holds; `false` if it changed in the meantime.
    async fn free(&self, Orphan { entry, object }: &Orphan) -> Result<bool> {
        let mut txn = Txn::new()
            .when(Guard::Unchanged(entry.key.clone(), entry.modified))
            .delete(entry.key.clone());
        txn.guards.extend(object.clone());
        let freed = matches!(self.store.commit(txn).await?, Outcome::Committed(_));
        if freed {
            let value = String::from_utf8_lossy(&entry.value);
            tracing::warn!(key = entry.key, %value, "freed what nobody holds");
        }
        Ok(freed)
    }

    /// Puts a key that its object holds and is not there, or says that it is another's who is not there.
    async fn put_back(&self, untaken: &Untaken) -> Result<bool> {
        let Untaken { holding, object, network, guards } = untaken;
        let mut txn = Txn::new().put(holding.key.clone(), holding.value.clone());
        if let Some(network) = network
            && holding.key.starts_with(ipam::POOLS)
        {
            txn = txn.and(ipam::unsettle_pools(network));
        }
        txn.guards.extend(guards.clone());
        let put = matches!(self.store.commit(txn).await?, Outcome::Committed(_));
        if put {
            tracing::warn!(key = holding.key, object, "put back what its object holds");
        }
        Ok(put)
    }
}
