//! Dying between two steps of an operation, where a test asks for it.
//!
//! Every change that a daemon makes outside of its own memory passes one of these steps, before and after: transactions
//! of the store, records on disk, requests to the kernel, entries of maps. A debug build counts them, and kills itself
//! at the one that it was told; a release build has none of this.

/// The variable that names the file with the number of steps to do yet; while there is no file, none are counted.
#[cfg(debug_assertions)]
const FILE: &str = "NETCTL_CRASH_FILE";

/// Passes a step, or dies there.
#[cfg(debug_assertions)]
pub(crate) fn step(name: &str) {
    use std::{
        fs::OpenOptions,
        io::{Read as _, Seek as _, Write as _},
        os::unix::fs::MetadataExt as _,
        path::PathBuf,
        sync::LazyLock,
    };

    use nix::{
        fcntl::{Flock, FlockArg},
        sys::signal::{Signal, kill},
        unistd::getpid,
    };

    static COUNTED: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os(FILE).map(PathBuf::from));
    let Some(path) = &*COUNTED else { return };
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else { return };
    // Steps are passed one at a time, and none while the test reads how far it came and takes the file away.
    let mut file = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .expect("a test's own file can be locked");
    let gone = file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    let Some(left) = read.ok().and_then(|_| text.trim().parse::<u32>().ok()).filter(|_| !gone)
    else {
        return;
    };
    // What is read there in the end says where it died: no number, so that nothing is counted after.
    let rest = left.checked_sub(1).map_or_else(|| name.to_owned(), |rest| rest.to_string());
    file.rewind()
        .and_then(|()| file.set_len(0))
        .and_then(|()| file.write_all(rest.as_bytes()))
        .expect("a test's own file can be written");
    if left == 0 {
        kill(getpid(), Signal::SIGKILL).expect("a process may kill itself");
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn step(_name: &str) {}
