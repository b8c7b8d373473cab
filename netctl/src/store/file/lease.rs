//! Leases in the file: rows with the moment of their end, ended by whichever process sees it first.
//!
//! Time is the machine's monotonic clock, which all processes share: setting the clock does nothing, and while the
//! machine sleeps, and nobody could keep a lease alive, it stands still. It begins anew with each boot, so the file
//! remembers the boot that its times belong to; the first to open it in another boot gives all leases their full time.

use std::{fs, io, time::Duration};

use nix::time::{ClockId, clock_gettime};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::{
    super::{Error, LeaseId, Op},
    db::{self, Db},
    fault::Fault,
};

/// Which boot this is: `random(4)`.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Milliseconds of the monotonic clock.
fn now() -> Result<i64, Fault> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(|error| local(&error.into()))?;
    Ok(now.tv_sec() * 1000 + now.tv_nsec() / 1_000_000)
}

fn local(error: &io::Error) -> Fault {
    let place = "this machine".to_owned();
    Error::Refused { place, reason: format!("its clock or boot id cannot be read: {error}") }.into()
}

/// Makes the times in the file those of this boot.
pub(super) fn adopt(conn: &mut Connection) -> Result<(), Fault> {
    let boot = fs::read_to_string(BOOT_ID).map_err(|error| local(&error))?;
    let known = |conn: &Connection| {
        conn.query_row("SELECT boot FROM meta", [], |row| row.get::<_, String>(0))
    };
    if known(conn)? == boot.trim() {
        return Ok(());
    }
    let txn = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if known(&txn)? != boot.trim() {
        txn.execute("UPDATE leases SET ends = ? + ttl", [now()?])?;
        txn.execute("UPDATE meta SET boot = ?", [boot.trim()])?;
    }
    Ok(txn.commit()?)
}

/// When the first lease ends.
pub(super) fn first_end(conn: &Connection) -> Result<Option<i64>, rusqlite::Error> {
    conn.prepare_cached("SELECT min(ends) FROM leases")?.query_row([], |row| row.get(0))
}

/// Whether a lease has not ended.
pub(super) fn lives(txn: &Transaction<'_>, lease: LeaseId) -> Result<bool, Fault> {
    let mut query = txn.prepare_cached("SELECT 1 FROM leases WHERE id = ? AND ends > ?")?;
    Ok(query.exists([lease.0, now()?])?)
}

/// Removes a lease with its keys; nothing where it is gone already.
fn end(txn: &Transaction<'_>, lease: i64) -> Result<(), rusqlite::Error> {
    let keys = txn
        .prepare_cached("SELECT key FROM entries WHERE lease = ? ORDER BY key")?
        .query_map([lease], |row| db::key(row).map(Op::Delete))?
        .collect::<Result<Vec<_>, _>>()?;
    db::apply(txn, &keys)?;
    txn.execute("DELETE FROM leases WHERE id = ?", [lease])?;
    Ok(())
}

impl Db {
    /// Ends the leases that are due, each in a revision of its own.
    pub(super) fn expire(&mut self) -> Result<(), Fault> {
        while self.next_end.is_some_and(|end| now().is_ok_and(|now| end <= now)) {
            let txn = self.write()?;
            let due: Option<i64> = txn
                .prepare_cached("SELECT id FROM leases WHERE ends <= ? ORDER BY ends LIMIT 1")?
                .query_row([now()?], |row| row.get(0))
                .optional()?;
            if let Some(lease) = due {
                end(&txn, lease)?;
            }
            txn.commit()?;
            self.noticed()?;
        }
        Ok(())
    }

    pub(super) fn grant(&mut self, ttl: Duration) -> Result<LeaseId, Error> {
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 2).max(1);
        self.guarded(|db| {
            db.conn.execute(
                "INSERT INTO leases (ttl, ends) VALUES (?, ?)",
                params![ttl, now()?.saturating_add(ttl)],
            )?;
            let id = db.conn.last_insert_rowid();
            db.noticed()?;
            Ok(LeaseId(id))
        })
    }

    pub(super) fn keep_alive(&mut self, lease: LeaseId) -> Result<(), Error> {
        self.guarded(|db| {
            let now = now()?;
            let kept = db
                .conn
                .prepare_cached("UPDATE leases SET ends = ? + ttl WHERE id = ? AND ends > ?")?
                .execute([now, lease.0, now])?;
            db.noticed()?;
            if kept == 0 { Err(Error::LeaseLost { lease }.into()) } else { Ok(()) }
        })
    }

    pub(super) fn revoke(&mut self, lease: LeaseId) -> Result<(), Error> {
        self.guarded(|db| {
            let txn = db.write()?;
            end(&txn, lease.0)?;
            txn.commit()?;
            db.noticed()
        })
    }
}
