//! Records as files: one for each sandbox, and for a moment later ones beside it.
//!
//! `<id>.json` is on the disk for good. What need not outlive the machine is written to `<id>.<serial>.next` instead, and
//! nobody waits for the disk: it outlives the daemon at once, and takes the other's place as soon as the disk has it.
//! Of both, that of the highest serial number counts which can be read whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::Record;
use crate::{crash, model::SandboxId};

const LASTING: &str = "json";
const LATER: &str = "next";

/// How long the disk is waited for in the end.
const LAST: Duration = Duration::from_secs(2);
/// How often it is looked whether it has taken all meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// What a file has.
#[derive(Serialize, Deserialize)]
struct Numbered<R> {
    /// The higher, the later. Earlier versions wrote none.
    #[serde(default)]
    serial: u64,
    #[serde(flatten)]
    record: R,
}

/// The files of all records.
#[derive(Debug)]
pub(super) struct Disk {
    files: Arc<Files>,
    /// To who waits for the disk; none any more when this is dropped.
    later: Option<Sender<(SandboxId, u64)>>,
    waiting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Files {
    dir: PathBuf,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    /// The last serial number.
    serial: u64,
    /// Of each record the later files that are there.
    later: BTreeMap<SandboxId, BTreeSet<u64>>,
}

impl Disk {
    /// Reads what is there, and leaves one file for each. Nothing is there where there is no directory.
    pub(super) fn open(dir: PathBuf) -> io::Result<(Self, BTreeMap<SandboxId, Record>)> {
        let found = find(&dir)?;
        for path in found.superseded {
            fs::remove_file(path)?;
        }
        let mut written = Written::default();
        let mut all = BTreeMap::new();
        for (id, (path, Numbered { serial, record })) in found.records {
            written.serial = written.serial.max(serial);
            if path.extension().is_some_and(|extension| extension == LATER) {
                File::open(&path)?.sync_data()?;
                fs::rename(&path, lasting(&dir, &id))?;
            }
            all.insert(id, record);
        }
        let files = Arc::new(Files { dir, written: Mutex::new(written) });
        let (later, told) = mpsc::channel();
        let waiting = thread::Builder::new().name("records".into()).spawn({
            let files = Arc::clone(&files);
            move || {
                for (id, serial) in told {
                    if let Err(error) = files.settle(&id, serial) {
                        tracing::warn!(sandbox = id.short(), %error, "its record may not outlive the machine");
                    }
                }
            }
        })?;
        Ok((Self { files, later: Some(later), waiting: Some(waiting) }, all))
    }

    /// For those who cannot read what is there.
    pub(super) fn unread(dir: PathBuf) -> Self {
        let files = Arc::new(Files { dir, written: Mutex::default() });
        Self { files, later: None, waiting: None }
    }

    /// Writes a record so that it outlives the machine.
    pub(super) fn save(&self, record: &Record) -> io::Result<()> {
        let files = &self.files;
        let id = &record.sandbox.id;
        let mut written = files.lock();
        let text = written.number(record);
        let (file, new) = (lasting(&files.dir, id), files.dir.join(format!("{id}.new")));
        crash::step("before a record is written");
        let saved = fs::create_dir_all(&files.dir)
            .and_then(|()| File::create(&new))
            .and_then(|mut new| new.write_all(&text).and_then(|()| new.sync_data()))
            .and_then(|()| fs::rename(&new, &file));
        crash::step("after a record is written");
        saved.and_then(|()| files.remove_later(&mut written, id))
    }

    /// Writes a record so that it outlives the daemon, and soon the machine. It has been saved before.
    pub(super) fn save_soon(&self, record: &Record) -> io::Result<()> {
        let id = &record.sandbox.id;
        let serial = {
            let mut written = self.files.lock();
            let text = written.number(record);
            let serial = written.serial;
            crash::step("before a record is written");
            let file = later(&self.files.dir, id, serial);
            if let Err(error) = fs::write(&file, text) {
                return remove(&file).and(Err(error));
            }
            crash::step("after a record is written");
            written.later.entry(id.clone()).or_default().insert(serial);
            serial
        };
        // Who waits for the disk ends after the last record.
        self.later.as_ref().and_then(|later| later.send((id.clone(), serial)).ok());
        Ok(())
    }

    /// Removes a record; it is no error where there is none.
    pub(super) fn remove(&self, id: &SandboxId) -> io::Result<()> {
        let mut written = self.files.lock();
        self.files.remove_later(&mut written, id)?;
        remove(&lasting(&self.files.dir, id))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.later.take());
        let Some(waiting) = self.waiting.take() else { return };
        let end = Instant::now() + LAST;
        while !waiting.is_finished() {
            if Instant::now() > end {
                // They are whole for whoever reads them, and the next one to open them sees to the rest.
                tracing::warn!(
                    seconds = LAST.as_secs(),
                    "the disk is not waited for any longer: it has not yet taken all records"
                );
                return;
            }
            thread::sleep(LOOK);
        }
        if waiting.join().is_err() {
            tracing::error!("who waits for the records' disk panicked");
        }
    }
}

impl Files {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a later file take the lasting one's place, once the disk has it, unless there is one that is later still.
    fn settle(&self, id: &SandboxId, serial: u64) -> io::Result<()> {
        let is_last = |written: &Written| {
            written.later.get(id).and_then(BTreeSet::last).is_some_and(|last| *last == serial)
        };
        if !is_last(&self.lock()) {
            return Ok(());
        }
        let path = later(&self.dir, id, serial);
        File::open(&path)?.sync_data()?;
        let mut written = self.lock();
        if !is_last(&written) {
            return Ok(());
        }
        fs::rename(&path, lasting(&self.dir, id))?;
        written.later.entry(id.clone()).or_default().remove(&serial);
        self.remove_later(&mut written, id)
    }

    /// Removes the later files of a record: what is in their place now is later.
    fn remove_later(&self, written: &mut Written, id: &SandboxId) -> io::Result<()> {
        let serials = written.later.remove(id).unwrap_or_default();
        serials.into_iter().try_for_each(|serial| remove(&later(&self.dir, id, serial)))
    }
}

impl Written {
    /// What a file of the record has, with the next serial number.
    fn number(&mut self, record: &Record) -> Vec<u8> {
        self.serial += 1;
        crate::controller::keys::write(&Numbered { serial: self.serial, record })
    }
}

/// What is in a directory of records.
struct Found {
    /// What counts, and where it is.
    records: BTreeMap<SandboxId, (PathBuf, Numbered<Record>)>,
    /// Files that do not count: a daemon was killed before it could remove them, or write them whole.
    superseded: Vec<PathBuf>,
}

fn find(dir: &Path) -> io::Result<Found> {
    let mut found = Found { records: BTreeMap::new(), superseded: Vec::new() };
    let files = match fs::read_dir(dir) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for file in files {
        let path = file?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let numbered = match (extension, read(&path)) {
            (Some(LASTING | LATER), Ok(numbered)) => numbered,
            // It was removed meanwhile.
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => continue,
            (Some(LASTING), Err(error)) => return Err(error),
            _ => {
                found.superseded.push(path);
                continue;
            }
        };
        let id = numbered.record.sandbox.id.clone();
        let later = found.records.get(&id).is_none_or(|(_, other)| other.serial < numbered.serial);
        let passed = if later {
            found.records.insert(id, (path, numbered)).map(|(path, _)| path)
        } else {
            Some(path)
        };
        found.superseded.extend(passed);
    }
    Ok(found)
}

/// The records below a directory, for those who change nothing there.
pub(super) fn look(dir: &Path) -> io::Result<impl Iterator<Item = Record>> {
    Ok(find(dir)?.records.into_values().map(|(_, Numbered { record, .. })| record))
}

fn read(path: &Path) -> io::Result<Numbered<Record>> {
    serde_json::from_slice(&fs::read(path)?).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    })
}

fn lasting(dir: &Path, id: &SandboxId) -> PathBuf {
    dir.join(format!("{id}.{LASTING}"))
}

fn later(dir: &Path, id: &SandboxId, serial: u64) -> PathBuf {
    dir.join(format!("{id}.{serial}.{LATER}"))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn id(digit: &str) -> SandboxId {
        digit.repeat(64).parse().expect("an identifier")
    }

    /// A record as a file of an earlier version has it, which is told from others by its name.
    fn text(id: &SandboxId, name: &str) -> Value {
        json!({
            "sandbox": {
                "schema": 1, "id": id, "name": name, "netns": "/run/netns/x", "owned": true, "created": 0,
                "dns": [],
            },
            "published": [], "attachments": [], "pending": null,
        })
    }

    fn record(id: &SandboxId, name: &str) -> Record {
        serde_json::from_value(text(id, name)).expect("a record")
    }

    fn put(dir: &Path, name: &str, serial: u64, mut text: Value) {
        text["serial"] = serial.into();
        fs::write(dir.join(name), text.to_string()).expect("a file");
    }

    fn files(dir: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.expect("an entry").file_name().into_string().expect("text")
        };
        let mut files: Vec<_> = fs::read_dir(dir).expect("a directory").map(name).collect();
        files.sort();
        files
    }

    fn names(dir: &Path) -> Vec<String> {
        let (_disk, all) = Disk::open(dir.to_owned()).expect("records");
        all.into_values().map(|record| record.sandbox.name.to_string()).collect()
    }

    #[test]
    fn of_a_daemon_that_was_killed_the_last_counts_that_is_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let (dir, id) = (dir.path(), id("a"));
        fs::write(dir.join(format!("{id}.json")), text(&id, "old").to_string()).expect("a file");
        assert_eq!(names(dir), ["old"], "an earlier version's");
        put(dir, &format!("{id}.json"), 7, text(&id, "lasting"));
        put(dir, &format!("{id}.6.next"), 6, text(&id, "earlier"));
        put(dir, &format!("{id}.8.next"), 8, text(&id, "later"));
        put(dir, &format!("{id}.10.next"), 10, text(&id, "last"));
        fs::write(dir.join(format!("{id}.11.next")), "{\"sandbox\":").expect("a file");
        fs::write(dir.join(format!("{id}.new")), text(&id, "unfinished").to_string())
            .expect("a file");
        let seen: Vec<_> = look(dir).expect("records").map(|record| record.sandbox.name).collect();
        assert_eq!(seen, ["last".parse().expect("a name")]);
        assert_eq!(files(dir).len(), 6, "who looks changes nothing");
        assert_eq!(names(dir), ["last"]);
        assert_eq!(files(dir), [format!("{id}.json")]);
        let (disk, _) = Disk::open(dir.to_owned()).expect("records");
        disk.save_soon(&record(&id, "next")).expect("saved");
        drop(disk);
        assert_eq!(names(dir), ["next"], "numbers go on where they were");
    }

    #[test]
    fn what_is_saved_soon_takes_the_lasting_ones_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("sandboxes");
        let (disk, none) = Disk::open(dir.clone()).expect("no records");
        assert_eq!(none.len(), 0);
        let (a, b, c) = (id("a"), id("b"), id("c"));
        for (id, soon) in [(&a, 0), (&b, 1), (&c, 1)] {
            for round in 0..40 {
                let record = record(id, &format!("r{round}"));
                if round % 4 == soon { disk.save(&record) } else { disk.save_soon(&record) }
                    .expect("saved");
            }
        }
        disk.remove(&c).expect("removed");
        disk.remove(&c).expect("nothing to remove");
        let seen: Vec<_> = look(&dir).expect("records").map(|record| record.sandbox.name).collect();
        assert_eq!(seen, ["r39".parse().expect("a name"), "r39".parse().expect("a name")]);
        drop(disk);
        assert_eq!(files(&dir), [format!("{a}.json"), format!("{b}.json")]);
        assert_eq!(names(&dir), ["r39", "r39"]);
    }

    #[test]
    fn a_lasting_file_that_cannot_be_read_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(format!("{}.json", id("a")));
        fs::write(&file, "{").expect("a file");
        let error = Disk::open(dir.path().to_owned()).expect_err("it is damaged");
        assert!(error.to_string().starts_with(&format!("{}: EOF", file.display())), "{error}");
    }
}
