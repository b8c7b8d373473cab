//! What third parties were told and must be told otherwise one day: a directory of JSON files, one for each thing.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::crash;

/// Values by identifier, in memory and on disk. Each file is replaced by rename: a crash leaves the old one or the new.
#[derive(Debug)]
pub struct Journal<T> {
    dir: PathBuf,
    all: Mutex<BTreeMap<String, T>>,
}

impl<T: Clone + Serialize + DeserializeOwned> Journal<T> {
    /// Reads what is there. A file that cannot be read is an error, not a loss: somebody has to look.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let context = |error: io::Error, path: &Path| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        let mut all = BTreeMap::new();
        let files = match fs::read_dir(dir) {
            Ok(files) => Some(files),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(context(error, dir)),
        };
        for file in files.into_iter().flatten() {
            let path = file?.path();
            let (stem, extension) = (path.file_stem(), path.extension());
            if extension.is_some_and(|extension| extension == "json") {
                let text = fs::read(&path).map_err(|error| context(error, &path))?;
                let value = serde_json::from_slice(&text)
                    .map_err(|error| context(io::Error::other(error), &path))?;
                let id = stem.map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                all.insert(id, value);
            } else {
                // A daemon was killed before this could take the place of the file that it is of.
                fs::remove_file(&path).map_err(|error| context(error, &path))?;
            }
        }
        Ok(Self { dir: dir.to_owned(), all: Mutex::new(all) })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, T>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of all.
    pub fn all(&self) -> Vec<(String, T)> {
        self.lock().iter().map(|(id, value)| (id.clone(), value.clone())).collect()
    }

    /// A copy of one.
    pub fn get(&self, id: &str) -> Option<T> {
        self.lock().get(id).cloned()
    }

    /// Notes one, in place of what was noted under its identifier.
    pub fn put(&self, id: &str, value: T) -> io::Result<()> {
        let mut all = self.lock();
        let file = self.file(id);
        let new = file.with_extension("new");
        let text = serde_json::to_vec_pretty(&value).map_err(io::Error::other)?;
        crash::step("before a note is written");
        let written = fs::create_dir_all(&self.dir)
            .and_then(|()| fs::File::create(&new))
            .and_then(|mut new| new.write_all(&text).and_then(|()| new.sync_data()))
            .and_then(|()| fs::rename(&new, &file));
        crash::step("after a note is written");
        written.map_err(|error| failed("write", &file, &error))?;
        all.insert(id.to_owned(), value);
        Ok(())
    }

    /// Forgets one.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        let mut all = self.lock();
        if !all.contains_key(id) {
            return Ok(());
        }
        let file = self.file(id);
        crash::step("before a note is removed");
        let removed = fs::remove_file(&file);
        crash::step("after a note is removed");
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &file, &error))
            }
            Ok(()) | Err(_) => {
                all.remove(id);
                Ok(())
            }
        }
    }

    fn file(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }
}

fn failed(verb: &str, file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {verb} {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_there_for_the_next() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("notes");
        let open = || Journal::<u32>::open(&place).expect("readable");
        let journal = open();
        assert!(journal.all().is_empty());
        for (id, value) in [("a", 1), ("b", 2), ("a", 3)] {
            journal.put(id, value).expect("written");
        }
        fs::write(place.join("c.new"), "4").expect("written");
        let next = open();
        assert_eq!(next.all(), [("a".to_owned(), 3), ("b".to_owned(), 2)]);
        next.remove("a").expect("removed");
        next.remove("a").expect("nothing to do");
        assert_eq!((next.get("a"), open().all().len()), (None, 1));
        fs::write(place.join("b.json"), "[").expect("written");
        let error = Journal::<u32>::open(&place).expect_err("damaged").to_string();
        assert!(error.contains("b.json: "), "{error}");
    }
}
