//! Opening the file: its place, its permissions, its tables, its version.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{
    super::Error,
    fault::{Fault, place},
};

/// The layout below. A file of an older one would be changed to it here; there is none yet.
const VERSION: i64 = 1;

/// "nctl": in the file's header, so that no other program's file is taken for ours (SQLite's `application_id`).
const APPLICATION: i64 = 0x6e63_746c;

/// How long to wait for a lock that another process has.
pub(super) const PATIENCE: Duration = Duration::from_millis(2500);

/// Between two tries to get a lock. SQLite's own pauses grow to 100 ms, which starves writers among many.
const PAUSE: Duration = Duration::from_millis(1);

/// Values of `entries` are the present, `changes` the log of how it came to be (a NULL value is a removal).
/// Keys are blobs: compared by byte, like in every backend.
const TABLES: &str = "
    CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        revision INTEGER NOT NULL,
        compacted INTEGER NOT NULL,
        boot TEXT NOT NULL
    );
    CREATE TABLE entries (
        key BLOB PRIMARY KEY,
        value BLOB NOT NULL,
        modified INTEGER NOT NULL,
        lease INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX entries_by_lease ON entries (lease) WHERE lease IS NOT NULL;
    CREATE TABLE changes (
        revision INTEGER NOT NULL,
        position INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB,
        PRIMARY KEY (revision, position)
    ) WITHOUT ROWID;
    CREATE TABLE leases (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        ttl INTEGER NOT NULL,
        ends INTEGER NOT NULL
    );
    INSERT INTO meta VALUES (1, 1, 0, '');
";

/// A connection to the file, which is ready to be used.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    make(path)?;
    let until = Instant::now() + PATIENCE;
    loop {
        // Going over to the write-ahead log, and recovering it, can find the file busy without asking the handler.
        match connect(path) {
            Err(fault) if fault.is_busy() && Instant::now() < until => thread::sleep(PAUSE),
            Err(fault) => return Err(fault.at(path)),
            Ok(conn) => return Ok(conn),
        }
    }
}

/// Makes the file and its directory, for their owner only.
fn make(path: &Path) -> Result<(), Error> {
    let refuse = |what: &str, error: std::io::Error| Error::Refused {
        place: place(path),
        reason: format!("{what}: {error}"),
    };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| refuse("its directory cannot be made", error))?;
    }
    // `create_new`: a file that is there is not opened here, because closing it would drop the locks of other
    // connections in this process.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(made) => made
            .sync_all()
            .and_then(|()| sync_parent(path))
            .map_err(|error| refuse("it cannot be made", error)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(refuse("it cannot be made", error)),
    }
}

/// Writes the new name to the disk.
fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn connect(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)?;
    let mut since = Instant::now();
    conn.busy_handler(Some(move |count| {
        if count == 0 {
            since = Instant::now();
        }
        thread::sleep(PAUSE);
        since.elapsed() < PATIENCE
    }))?;
    // One look: another process may be making the tables at this moment.
    let look = conn.unchecked_transaction()?;
    let version = check(&look, path)?;
    look.finish()?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    // The log is cut back to this many bytes after it was carried over into the file.
    conn.pragma_update(None, "journal_size_limit", 4 << 20)?;
    if version == 0 {
        let txn = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        if check(&txn, path)? == 0 {
            txn.execute_batch(TABLES)?;
            txn.pragma_update(None, "application_id", APPLICATION)?;
            txn.pragma_update(None, "user_version", VERSION)?;
        }
        txn.commit()?;
    }
    let verdict: String = conn.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if verdict != "ok" {
        let reason = format!(
            "it is damaged ({verdict}); restore it from a copy, or move it away to begin with nothing"
        );
        return Err(Error::Refused { place: place(path), reason }.into());
    }
    Ok(conn)
}

/// The version of the file's layout, 0 for an empty file.
fn check(conn: &Connection, path: &Path) -> Result<i64, Fault> {
    let refuse = |reason: String| Err(Error::Refused { place: place(path), reason }.into());
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (application, version, tables) != (0, 0, 0) {
        return refuse("it belongs to another program; name another file".to_owned());
    }
    if version > VERSION {
        return refuse(format!(
            "a newer netctl has written it (layout {version}, this one knows {VERSION}); update this netctl, or name another file"
        ));
    }
    Ok(version)
}
