//! Ctrl-C: everything that is up is cleaned, then the process dies of the signal as it would have.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread;

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal, killpg, raise};
use nix::unistd::Pid;

use crate::command::ignore;

/// The directories of the runs that are up in this process.
static RUNS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The process groups that a signal is passed on to.
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Held for reading by whoever makes something that has to be cleaned. The clean-up takes it for
/// writing and never gives it back, so nothing new is made behind its back.
static GATE: RwLock<()> = RwLock::new(());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits, for ever, if the process is being ended by a signal.
pub(crate) fn gate() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn register(dir: &Path) {
    lock(&RUNS).insert(dir.to_owned());
}

pub(crate) fn unregister(dir: &Path) {
    lock(&RUNS).remove(dir);
}

/// Passes SIGINT, SIGTERM and SIGHUP on to a process group, for as long as it lives.
#[derive(Debug)]
pub struct Forward(i32);

impl Forward {
    /// `group` is the id of a process that was started as the leader of its own group.
    pub fn to(group: u32) -> Self {
        let group = group.cast_signed();
        lock(&GROUPS).insert(group);
        Self(group)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        lock(&GROUPS).remove(&self.0);
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP first clean up every run of this process, call
/// `afterwards`, and then end the process by the same signal.
///
/// To be called before any other thread is started: threads inherit the mask that it sets.
/// Processes started with [`std::process::Command`] do not.
pub fn clean_on_interrupt(afterwards: fn()) -> Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().context("cannot block signals")?;
    thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            let Ok(signal) = signals.wait() else { return };
            let _gate = GATE.write().unwrap_or_else(PoisonError::into_inner);
            clean(signal);
            afterwards();
            // Dying of the signal itself tells the shell what happened.
            ignore(signals.thread_unblock().and_then(|()| raise(signal)));
            // A shell may have started us with the signal ignored.
            #[expect(clippy::exit, clippy::disallowed_methods, reason = "all is cleaned already")]
            std::process::exit(128 + signal as i32);
        })
        .context("cannot start the thread that waits for signals")?;
    Ok(())
}

fn clean(signal: Signal) {
    for group in lock(&GROUPS).iter() {
        // A group that is gone already needs no signal.
        ignore(killpg(Pid::from_raw(*group), signal));
    }
    let runs: Vec<PathBuf> = lock(&RUNS).iter().cloned().collect();
    for dir in runs {
        if let Err(error) = crate::run::clean(&dir) {
            #[expect(clippy::print_stderr, reason = "nobody is left to return the error to")]
            {
                eprintln!("{error:#}");
            }
        }
    }
}
