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
        fs,
        path::PathBuf,
        sync::{LazyLock, Mutex, PoisonError},
    };

    use nix::{
        sys::signal::{Signal, kill},
        unistd::getpid,
    };

    static COUNTED: LazyLock<Option<Mutex<PathBuf>>> =
        LazyLock::new(|| std::env::var_os(FILE).map(|file| Mutex::new(file.into())));
    let Some(counted) = &*COUNTED else { return };
    let file = counted.lock().unwrap_or_else(PoisonError::into_inner);
    let left = fs::read_to_string(&*file).ok().and_then(|text| text.trim().parse::<u32>().ok());
    match left {
        None => {}
        Some(0) => {
            // What is read here says where it died: no number, so that nothing is counted after.
            fs::write(&*file, name).expect("a test's own file can be written");
            kill(getpid(), Signal::SIGKILL).expect("a process may kill itself");
        }
        Some(left) => {
            fs::write(&*file, (left - 1).to_string()).expect("a test's own file can be written");
        }
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn step(_name: &str) {}
