//! The store's verbs as SQL. One connection, used by one thread.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::{
    super::{Change, Entry, Error, Guard, Listing, Op, Outcome, Revision, Txn},
    bell,
    fault::{Fault, place},
    lease, schema,
};

/// How many revisions the log of changes keeps.
const HISTORY: i64 = 10_000;

/// How often the log is trimmed, in revisions.
const TRIM: i64 = 256;

/// About how many bytes of changes are read at once.
const CHUNK: usize = 4 << 20;

/// A connection to the file, with what was last known about it.
#[derive(Debug)]
pub(super) struct Db {
    pub(super) conn: Connection,
    path: PathBuf,
    /// Device and inode: the file must stay the one that was opened.
    identity: (u64, u64),
    /// SQLite's `data_version` at the last look: it moves with other connections' changes.
    version: i64,
    /// The store's revision at the last look.
    revision: Revision,
    /// When the first lease ends, in [`lease::now`]'s milliseconds.
    pub(super) next_end: Option<i64>,
}

impl Db {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let conn = schema::open(path)?;
        let mut db = Self {
            conn,
            path: path.to_owned(),
            identity: identity(path).map_err(|error| lost(path, &error))?,
            version: 0,
            revision: Revision(0),
            next_end: None,
        };
        db.guarded(|db| {
            lease::adopt(&mut db.conn)?;
            db.look()
        })?;
        Ok(db)
    }

    /// The revision at the last look.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// Runs a job on the file that was opened, and tells its errors in the store's words.
    pub(super) fn guarded<T>(
        &mut self,
        job: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        match identity(&self.path) {
            Ok(found) if found == self.identity => {}
            Ok(_) => return Err(lost(&self.path, &"there is another file in its place")),
            Err(error) => return Err(lost(&self.path, &error)),
        }
        job(self).map_err(|fault| fault.at(&self.path))
    }

    /// A transaction that begins with the write lock, so that what it reads stays true until it writes.
    pub(super) fn write(&mut self) -> Result<Transaction<'_>, rusqlite::Error> {
        self.conn.transaction_with_behavior(TransactionBehavior::Immediate)
    }

    /// Looks whether others have changed the file, and ends what leases are due.
    pub(super) fn tick(&mut self) -> Result<(), Error> {
        self.guarded(|db| {
            let version = db.data_version()?;
            if version != db.version {
                db.look()?;
                db.version = version;
            }
            db.expire()
        })
    }

    fn data_version(&self) -> Result<i64, rusqlite::Error> {
        self.conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// Takes notice of the file's present state.
    fn look(&mut self) -> Result<(), Fault> {
        self.revision = revision(&self.conn)?;
        self.next_end = lease::first_end(&self.conn)?;
        Ok(())
    }

    /// Takes notice of a change that this process made, and tells the others.
    fn changed(&mut self, revision: Revision) {
        if revision > self.revision {
            self.revision = revision;
            bell::ring(&self.path);
        }
    }

    /// Takes notice of a change to the leases, and to keys by it, that this process made.
    pub(super) fn noticed(&mut self) -> Result<(), Fault> {
        let before = self.revision;
        self.look()?;
        if self.revision > before {
            bell::ring(&self.path);
        }
        Ok(())
    }

    pub(super) fn get(&mut self, key: &str) -> Result<Option<Entry>, Error> {
        self.guarded(|db| {
            db.expire()?;
            let mut query =
                db.conn.prepare_cached("SELECT key, value, modified FROM entries WHERE key = ?")?;
            Ok(query.query_row([key.as_bytes()], entry).optional()?)
        })
    }

    pub(super) fn list(&mut self, prefix: &str) -> Result<Listing, Error> {
        self.guarded(|db| {
            db.expire()?;
            let txn = db.conn.transaction()?;
            let revision = revision(&txn)?;
            let (from, to) = range(prefix);
            let entries = txn
                .prepare_cached("SELECT key, value, modified FROM entries WHERE key >= ? AND key < ? ORDER BY key")?
                .query_map([from, &to], entry)?
                .collect::<Result<_, _>>()?;
            Ok(Listing { entries, revision })
        })
    }

    pub(super) fn first_key(&mut self, from: &str, prefix: &str) -> Result<Option<String>, Error> {
        self.guarded(|db| {
            db.expire()?;
            let (begin, end) = range(prefix);
            let begin = begin.max(from.as_bytes());
            let mut query = db.conn.prepare_cached(
                "SELECT key FROM entries WHERE key >= ? AND key < ? ORDER BY key LIMIT 1",
            )?;
            let found = query.query_row([begin, &end], |row| key(row)).optional()?;
            Ok(found)
        })
    }

    pub(super) fn commit(&mut self, request: &Txn) -> Result<Outcome, Error> {
        self.guarded(|db| {
            db.expire()?;
            let txn = db.write()?;
            for guard in &request.guards {
                if !holds(&txn, guard)? {
                    return Ok(Outcome::Conflict);
                }
            }
            for op in &request.ops {
                if let Op::Put { lease: Some(lease), .. } = op
                    && !lease::lives(&txn, *lease)?
                {
                    return Err(Error::LeaseLost { lease: *lease }.into());
                }
            }
            let revision = apply(&txn, &request.ops)?;
            txn.commit()?;
            db.changed(revision);
            Ok(Outcome::Committed(revision))
        })
    }

    /// The changes below a prefix from a revision on, and through which revision these are all: up to the present,
    /// or less where they are many.
    pub(super) fn changes(
        &mut self,
        prefix: &str,
        from: Revision,
    ) -> Result<(Vec<Change>, Revision), Error> {
        self.guarded(|db| {
            let txn = db.conn.transaction()?;
            let compacted: i64 =
                txn.query_row("SELECT compacted FROM meta", [], |row| row.get(0))?;
            if from.0 <= compacted.cast_unsigned() {
                return Err(Error::Compacted { wanted: from }.into());
            }
            let (begin, end) = range(prefix);
            let mut query = txn.prepare_cached(
                "SELECT key, value, revision FROM changes
                 WHERE revision >= ? AND key >= ? AND key < ? ORDER BY revision, position",
            )?;
            let mut rows = query.query(params![from.0.cast_signed(), begin, end])?;
            let (mut changes, mut bytes) = (Vec::<Change>::new(), 0);
            while let Some(row) = rows.next()? {
                let change = change(row)?;
                if bytes > CHUNK
                    && let Some(last) = changes.last().map(Change::revision)
                    && change.revision() > last
                {
                    return Ok((changes, last));
                }
                if let Change::Put(entry) = &change {
                    bytes += entry.value.len();
                }
                bytes += change.key().len();
                changes.push(change);
            }
            Ok((changes, revision(&txn)?))
        })
    }

    pub(super) fn compact(&mut self, through: Revision) -> Result<(), Error> {
        self.guarded(|db| {
            let txn = db.write()?;
            trim(&txn, through.min(revision(&txn)?).0.cast_signed())?;
            Ok(txn.commit()?)
        })
    }
}

/// Does the changes in the next revision, and returns it; none is used up where they change nothing.
pub(super) fn apply(txn: &Transaction<'_>, ops: &[Op]) -> Result<Revision, rusqlite::Error> {
    let before = revision(txn)?.0.cast_signed();
    let now = before + 1;
    let mut log = txn.prepare_cached("INSERT INTO changes VALUES (?, ?, ?, ?)")?;
    let mut position = 0;
    for op in ops {
        let (key, value) = match op {
            Op::Put { key, value, lease } => {
                txn.prepare_cached("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)")?
                    .execute(params![key.as_bytes(), value, now, lease.map(|lease| lease.0)])?;
                (key, Some(value))
            }
            Op::Delete(key) => {
                let gone = txn
                    .prepare_cached("DELETE FROM entries WHERE key = ?")?
                    .execute([key.as_bytes()])?;
                if gone == 0 {
                    continue;
                }
                (key, None)
            }
        };
        log.execute(params![now, position, key.as_bytes(), value])?;
        position += 1;
    }
    if position == 0 {
        return Ok(Revision(before.cast_unsigned()));
    }
    txn.execute("UPDATE meta SET revision = ?", [now])?;
    if now % TRIM == 0 && now > HISTORY {
        trim(txn, now - HISTORY)?;
    }
    Ok(Revision(now.cast_unsigned()))
}

fn trim(txn: &Transaction<'_>, through: i64) -> Result<(), rusqlite::Error> {
    txn.execute("DELETE FROM changes WHERE revision <= ?", [through])?;
    txn.execute("UPDATE meta SET compacted = max(compacted, ?)", [through])?;
    Ok(())
}

fn holds(txn: &Transaction<'_>, guard: &Guard) -> Result<bool, rusqlite::Error> {
    let mut modified = txn.prepare_cached("SELECT modified FROM entries WHERE key = ?")?;
    Ok(match guard {
        Guard::Absent(key) => !modified.exists([key.as_bytes()])?,
        Guard::Unchanged(key, revision) => {
            let found: Option<i64> =
                modified.query_row([key.as_bytes()], |row| row.get(0)).optional()?;
            found == Some(revision.0.cast_signed())
        }
        Guard::Empty(prefix) => {
            let (from, to) = range(prefix);
            !txn.prepare_cached("SELECT 1 FROM entries WHERE key >= ? AND key < ? LIMIT 1")?
                .exists([from, &to])?
        }
    })
}

fn revision(conn: &Connection) -> Result<Revision, rusqlite::Error> {
    let revision: i64 =
        conn.prepare_cached("SELECT revision FROM meta")?.query_row([], |row| row.get(0))?;
    Ok(Revision(revision.cast_unsigned()))
}

/// From where to before where the keys with a prefix are: no UTF-8 text has the byte 0xff.
fn range(prefix: &str) -> (&[u8], Vec<u8>) {
    let mut end = prefix.as_bytes().to_vec();
    end.push(0xff);
    (prefix.as_bytes(), end)
}

fn entry(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    let modified: i64 = row.get(2)?;
    Ok(Entry { key: key(row)?, value: row.get(1)?, modified: Revision(modified.cast_unsigned()) })
}

fn change(row: &Row<'_>) -> Result<Change, rusqlite::Error> {
    let revision: i64 = row.get(2)?;
    let modified = Revision(revision.cast_unsigned());
    let (key, value): (_, Option<Vec<u8>>) = (key(row)?, row.get(1)?);
    Ok(match value {
        Some(value) => Change::Put(Entry { key, value, modified }),
        None => Change::Delete { key, revision: modified },
    })
}

pub(super) fn key(row: &Row<'_>) -> Result<String, rusqlite::Error> {
    let key: Vec<u8> = row.get(0)?;
    String::from_utf8(key).map_err(|error| rusqlite::Error::Utf8Error(0, error.utf8_error()))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

fn lost(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    let reason = format!("it was removed while in use ({reason}); restart the daemons that use it");
    Error::Refused { place: place(path), reason }
}
