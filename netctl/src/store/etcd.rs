//! The store that hosts share: etcd, 3.4 or newer.
//!
//! A revision is etcd's, so it moves with the changes of others in the same cluster too. Keys are put below the
//! prefix of [`EtcdOptions`].
//!
//! Nothing connects before the first call. A call that fails moves on to another member over a new connection
//! ([`pool`]), and a member that falls silent is left ([`pulse`]); reads are tried again there, changes only where they were certainly not sent, because what became of
//! one that was not answered is unknown.

mod fault;
mod members;
mod options;
mod pool;
mod pulse;
mod watch;

pub use self::options::EtcdOptions;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, PutOptions, TxnOp};

use self::{
    fault::Fault,
    pool::{Kind, Pool},
};
use super::{Entry, Error, Guard, LeaseId, Listing, Op, Outcome, Revision, Store, Txn, Watch};
use crate::crash;

/// How many keys are asked for at once: with values of usual size, far below the limit of a message.
const PAGE: i64 = 1000;

/// A store in etcd.
pub struct EtcdStore {
    pool: Arc<Pool>,
    prefix: String,
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, prefix } = self;
        f.debug_struct("EtcdStore").field("place", &pool.place()).field("prefix", prefix).finish()
    }
}

impl EtcdStore {
    /// A store at the members with these URLs, which are not asked yet.
    ///
    /// [`Error::Refused`] where the options do not fit together, or name a file that cannot be read.
    pub async fn open(endpoints: &[String], options: &EtcdOptions) -> Result<Self, Error> {
        let place = format!("etcd {}", endpoints.join(","));
        let connect = options.connect_options(endpoints).await;
        let connect = connect.map_err(|reason| Error::Refused { place: place.clone(), reason })?;
        let prefix = format!("{}/", options.prefix.trim_end_matches('/'));
        let pool = Arc::new(Pool::new(endpoints.to_vec(), connect, place));
        if pool.has_others() {
            tokio::spawn(pulse::keep(Arc::downgrade(&pool)));
        }
        Ok(Self { pool, prefix })
    }

    fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// One page of a listing: its entries, the revision, and whether there is more.
    async fn page(
        &self,
        from: Vec<u8>,
        options: GetOptions,
    ) -> Result<(Vec<Entry>, Revision, bool), Error> {
        let answer = self.pool.call(Kind::Read, |client| {
            let (from, options) = (from.clone(), options.clone());
            async move {
                let mut kv = client.kv_client().max_decoding_message_size(pool::MAX_MESSAGE);
                kv.get(from, Some(options)).await
            }
        });
        let mut answer = answer.await.map_err(|fault| self.tell(fault))?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let more = answer.more();
        let entries = answer.take_kvs().into_iter().map(|kv| entry(&self.prefix, kv));
        let entries = entries.collect::<Result<_, _>>().map_err(|fault| self.tell(fault))?;
        Ok((entries, Revision(revision.cast_unsigned()), more))
    }

    fn compare(&self, guard: &Guard) -> Compare {
        match guard {
            Guard::Absent(key) => Compare::create_revision(self.path(key), CompareOp::Equal, 0),
            Guard::Unchanged(key, revision) => {
                // etcd takes a key that is not there for one of revision 0, and there is none of revision -1.
                let at = if revision.0 == 0 { -1 } else { revision.0.cast_signed() };
                Compare::mod_revision(self.path(key), CompareOp::Equal, at)
            }
            // Over a range it must hold for each key there is, and none has been made at revision 0; where there is
            // none, etcd compares with a key that never was (`applyCompare` in etcd's apply.go).
            Guard::Empty(prefix) => {
                Compare::create_revision(self.path(prefix), CompareOp::Equal, 0).with_prefix()
            }
        }
    }

    fn change(&self, op: Op) -> TxnOp {
        match op {
            Op::Put { key, value, lease } => {
                let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
                TxnOp::put(self.path(&key), value, options)
            }
            Op::Delete(key) => TxnOp::delete(self.path(&key), None),
        }
    }

    fn tell(&self, fault: Fault) -> Error {
        fault.at(&self.pool.place())
    }
}

/// An entry from etcd, without the prefix.
fn entry(prefix: &str, kv: KeyValue) -> Result<Entry, Fault> {
    let modified = Revision(kv.mod_revision().cast_unsigned());
    let (key, value) = kv.into_key_value();
    Ok(Entry { key: strip(prefix, key)?, value, modified })
}

fn strip(prefix: &str, key: Vec<u8>) -> Result<String, Fault> {
    let key = String::from_utf8(key).map_err(|error| {
        Fault::Refused(format!("there is a key below {prefix} that is not text: {error}"))
    })?;
    Ok(key.strip_prefix(prefix).unwrap_or(&key).to_owned())
}

#[async_trait]
impl Store for EtcdStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        let (entries, ..) = self.page(self.path(key).into_bytes(), GetOptions::new()).await?;
        Ok(entries.into_iter().next())
    }

    async fn list(&self, prefix: &str) -> Result<Listing, Error> {
        let begin = self.path(prefix).into_bytes();
        let first = GetOptions::new().with_prefix().with_limit(PAGE);
        'again: loop {
            let (mut entries, revision, mut more) = self.page(begin.clone(), first.clone()).await?;
            let next = GetOptions::new().with_limit(PAGE).with_revision(revision.0.cast_signed());
            let next = next.with_range(end(&begin));
            while more && let Some(last) = entries.last() {
                let mut after = self.path(&last.key).into_bytes();
                after.push(0);
                match self.page(after, next.clone()).await {
                    Ok((page, _, further)) => {
                        entries.extend(page);
                        more = further;
                    }
                    // The revision was compacted under the listing.
                    Err(Error::Compacted { .. }) => continue 'again,
                    Err(error) => return Err(error),
                }
            }
            return Ok(Listing { entries, revision });
        }
    }

    async fn first_key(&self, from: &str, prefix: &str) -> Result<Option<String>, Error> {
        let below = end(self.path(prefix).as_bytes());
        let from = self.path(from.max(prefix)).into_bytes();
        if from >= below {
            return Ok(None);
        }
        let options = GetOptions::new().with_range(below).with_limit(1).with_keys_only();
        let (entries, ..) = self.page(from, options).await?;
        Ok(entries.into_iter().next().map(|entry| entry.key))
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, Error> {
        if let Some(reason) = txn.flaw() {
            return Err(Error::Refused { place: self.place(), reason });
        }
        let lease = txn.first_lease();
        let guards: Vec<_> = txn.guards.iter().map(|guard| self.compare(guard)).collect();
        let ops: Vec<_> = txn.ops.into_iter().map(|op| self.change(op)).collect();
        let request = etcd_client::Txn::new().when(guards).and_then(ops);
        crash::step("before a transaction");
        let answer = self.pool.call(Kind::Change, |mut client| {
            let request = request.clone();
            async move { client.txn(request).await }
        });
        let answer = answer.await;
        crash::step("after a transaction");
        let answer = answer.map_err(|fault| match (fault, lease) {
            (Fault::NoLease, Some(lease)) => Error::LeaseLost { lease },
            (fault, _) => self.tell(fault),
        })?;
        if !answer.succeeded() {
            return Ok(Outcome::Conflict);
        }
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        Ok(Outcome::Committed(Revision(revision.cast_unsigned())))
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Box<dyn Watch>, Error> {
        let pool = Arc::clone(&self.pool);
        Ok(Box::new(watch::EtcdWatch::new(pool, self.prefix.clone(), prefix, from)))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, Error> {
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX).max(1);
        let answer = self.pool.call(Kind::Change, |client| async move {
            client.lease_client().grant(seconds, None).await
        });
        answer.await.map(|answer| LeaseId(answer.id())).map_err(|fault| self.tell(fault))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        let answer = self.pool.call(Kind::Read, |client| async move {
            client.lease_client().keep_alive(lease.0).await.map(drop)
        });
        answer.await.map_err(|fault| {
            if matches!(fault, Fault::NoLease) {
                return Error::LeaseLost { lease };
            }
            self.tell(fault)
        })
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        // Doing it twice is as good as once.
        let answer = self
            .pool
            .call(Kind::Read, |client| async move { client.lease_client().revoke(lease.0).await });
        match answer.await {
            Ok(_) | Err(Fault::NoLease) => Ok(()),
            Err(fault) => Err(self.tell(fault)),
        }
    }

    fn place(&self) -> String {
        self.pool.place()
    }
}

/// Before where the keys end that begin with `prefix`: it is UTF-8, so its last byte can be counted up.
fn end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
