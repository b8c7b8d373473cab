//! The store in a file.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use netctl::store::{Error, FileStore, Revision, SharedStore, Txn};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use tempfile::TempDir;

use crate::suite::{Bench, Replay, committed, conformance, next, put};

/// A file in a directory of its own, which goes with it.
struct FileBench {
    dir: TempDir,
}

impl FileBench {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("state/store.db")
    }
}

impl Bench for FileBench {
    async fn open(&self) -> SharedStore {
        Arc::new(FileStore::open(&self.path()).await.unwrap())
    }

    async fn compact(&self, through: Revision) {
        FileStore::open(&self.path()).await.unwrap().compact(through).await.unwrap();
    }
}

conformance!(async { FileBench::new() });

/// Another process that writes; killed when dropped.
struct Writer {
    process: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn start(path: &Path, name: &str, count: u64) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_store-writer"))
            .args([&format!("file:{}", path.display()), name, &count.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, answers }
    }

    /// The numbers that the store has answered, as the process says them.
    fn answers(&mut self) -> impl Iterator<Item = u64> {
        self.answers.by_ref().map_while(Result::ok).map_while(|line| line.parse().ok())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

async fn number(store: &SharedStore, key: &str) -> u64 {
    let entry = store.get(key).await.unwrap();
    entry.map_or(0, |entry| String::from_utf8(entry.value).unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_write_at_once_and_a_watch_sees_all() {
    const COUNT: u64 = 300;
    let bench = FileBench::new();
    let store = bench.open().await;
    let (mut replay, mut watch) = Replay::begin(&store, "").await;
    let mut writers = ["a", "b", "c"].map(|name| Writer::start(&bench.path(), name, COUNT));
    for i in 0..COUNT {
        put(&store, "own", &i.to_string()).await;
    }
    for writer in &mut writers {
        assert_eq!(writer.answers().last(), Some(COUNT));
    }
    put(&store, "end", "").await;
    replay.until(&mut watch, "end").await;
    replay.check(&store, "").await;
    assert_eq!(replay.state.len(), 3 * (2 + 300) + 2);
    // The first revision is 1, and each transaction took one.
    assert_eq!(replay.at, Revision(1 + 4 * COUNT + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_writer_loses_nothing_and_leaves_nothing_half_done() {
    let bench = FileBench::new();
    for round in 0..8 {
        let mut writer = Writer::start(&bench.path(), "w", u64::MAX);
        let before = writer.answers().nth(10 + 7 * round).unwrap();
        // Somewhere in the middle of a transaction.
        std::thread::sleep(Duration::from_micros(700 * round as u64));
        writer.process.kill().unwrap();
        writer.process.wait().unwrap();
        let last = writer.answers().last().unwrap_or(before);
        let store = bench.open().await;
        let left = number(&store, "w/left").await;
        assert_eq!(left, number(&store, "w/right").await, "a transaction was half done");
        assert!(left == last || left == last + 1, "{last} was answered, {left} is there");
        assert_eq!(number(&store, &format!("w/log/{left:06}")).await, left);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_processes_changes_are_seen_soon() {
    const COUNT: usize = 300;
    let bench = FileBench::new();
    let (here, there) = (bench.open().await, bench.open().await);
    let (_, mut watch) = Replay::begin(&there, "").await;
    let mut delays = Vec::new();
    for i in 0..COUNT {
        put(&here, "a", &i.to_string()).await;
        let answered = Instant::now();
        next(&mut watch).await;
        delays.push(answered.elapsed());
        tokio::time::sleep(Duration::from_millis(i as u64 % 7)).await;
    }
    delays.sort();
    println!(
        "seen by another connection after the answer: median {:?}, p99 {:?}, at most {:?}",
        delays[COUNT / 2],
        delays[COUNT * 99 / 100],
        delays[COUNT - 1]
    );
    assert!(delays[COUNT / 2] < Duration::from_millis(50), "{:?}", delays[COUNT / 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_of_a_process_that_is_gone_is_ended_by_another() {
    let bench = FileBench::new();
    let gone = bench.open().await;
    let lease = gone.grant(Duration::from_millis(300)).await.unwrap();
    committed(&gone, Txn::new().put_leased("hosts/1", "", lease)).await;
    drop(gone);
    let store = bench.open().await;
    let (replay, mut watch) = Replay::begin(&store, "hosts/").await;
    assert_eq!(replay.state.len(), 1);
    assert_eq!(next(&mut watch).await[0].key(), "hosts/1");
}

#[tokio::test]
async fn leases_get_their_full_time_after_a_boot() {
    let bench = FileBench::new();
    let store = bench.open().await;
    let lease = store.grant(Duration::from_hours(1)).await.unwrap();
    committed(&store, Txn::new().put_leased("a", "", lease)).await;
    drop(store);
    // What a machine finds that was up for long before, and is no more: an end far in the past of its clock.
    let conn = rusqlite::Connection::open(bench.path()).unwrap();
    conn.execute("UPDATE leases SET ends = -1000000", []).unwrap();
    conn.execute("UPDATE meta SET boot = 'another'", []).unwrap();
    drop(conn);
    let store = bench.open().await;
    assert!(store.get("a").await.unwrap().is_some());
    store.keep_alive(lease).await.unwrap();
}

#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    let bench = FileBench::new();
    let store = bench.open().await;
    put(&store, "a", "").await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(bench.path().parent().unwrap()), 0o700);
    for entry in fs::read_dir(bench.path().parent().unwrap()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    assert_eq!(store.place(), format!("file {}", bench.path().display()));
}

/// What opening a path is refused with.
async fn refusal(path: &Path) -> String {
    match FileStore::open(path).await {
        Err(error @ Error::Refused { .. }) => {
            let error = error.to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
            error
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_with_the_reason() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str| dir.path().join(name);

    fs::write(file("text"), "not a database, but longer than a header of one is\n".repeat(100))
        .unwrap();
    assert!(refusal(&file("text")).await.contains("not an SQLite file"));
    assert!(refusal(&file("text/store.db")).await.contains("directory cannot be made"));
    fs::create_dir(file("dir")).unwrap();
    assert!(refusal(&file("dir")).await.contains("cannot be opened"));

    rusqlite::Connection::open(file("other")).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(refusal(&file("other")).await.contains("another program"));

    drop(FileStore::open(&file("newer")).await.unwrap());
    let newer = rusqlite::Connection::open(file("newer")).unwrap();
    newer.pragma_update(None, "user_version", 2).unwrap();
    drop(newer);
    assert!(refusal(&file("newer")).await.contains("newer netctl"));

    let store: SharedStore = Arc::new(FileStore::open(&file("damaged")).await.unwrap());
    for i in 0..200 {
        put(&store, &format!("{i}"), &"x".repeat(500)).await;
    }
    drop(store);
    closed(&file("damaged")).await;
    let mut bytes = fs::read(file("damaged")).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle..middle + 8192].fill(0xa5);
    fs::write(file("damaged"), bytes).unwrap();
    assert!(refusal(&file("damaged")).await.contains("damaged"));
}

/// Waits until the last connection is closed, which carries the write-ahead log over into the file and removes it.
async fn closed(path: &Path) {
    let log = path.with_file_name(format!("{}-wal", path.file_name().unwrap().to_str().unwrap()));
    while log.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A disk of one MiB, in a mount namespace of this thread and of those it starts.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let dir = TempDir::new().unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
        let size = Some("size=1m");
        mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), size).unwrap();
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A directory that is mounted on cannot be removed.
        umount2(self.0.path(), MntFlags::MNT_DETACH).unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_refused_and_nothing_is_half_done() {
    let disk = SmallDisk::mount();
    let path = disk.0.path().join("store.db");
    let store: SharedStore = Arc::new(FileStore::open(&path).await.unwrap());
    put(&store, "a", "1").await;
    let too_much = Txn::new().put("a", "2").put("big", vec![7; 1_000_000]);
    match store.commit(too_much).await {
        Err(Error::Refused { reason, .. }) => assert!(reason.contains("disk is full"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.get("a").await.unwrap().unwrap().value, b"1");
    put(&store, "a", "3").await;
}

#[tokio::test]
async fn a_file_that_was_removed_is_noticed() {
    let bench = FileBench::new();
    let store = bench.open().await;
    put(&store, "a", "1").await;
    fs::remove_file(bench.path()).unwrap();
    for error in [store.get("a").await.unwrap_err(), store.list("").await.unwrap_err()] {
        assert!(error.to_string().contains("was removed while in use"), "{error}");
    }
    let error = store.commit(Txn::new().put("a", "2")).await.unwrap_err();
    assert!(error.to_string().contains("restart the daemons"), "{error}");
}

#[tokio::test]
async fn a_lock_held_for_too_long_is_unavailable_and_over_when_it_is() {
    let bench = FileBench::new();
    let store = bench.open().await;
    put(&store, "a", "1").await;
    let other = rusqlite::Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let error = store.commit(Txn::new().put("a", "2")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(store.get("a").await.unwrap().unwrap().value, b"1", "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    put(&store, "a", "3").await;
}
