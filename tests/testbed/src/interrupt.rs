//! Ctrl-C: everything that is up is cleaned, then the process dies of the signal as it would have.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, killpg, raise, sigaction};
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

thread_local! {
    /// Whether this is the thread that cleans up, behind the gate.
    static CLEANS: Cell<bool> = const { Cell::new(false) };
}

/// Waits, for ever, if the process is being ended by a signal; but not where that is what it is asked for.
pub(crate) fn gate() -> Option<RwLockReadGuard<'static, ()>> {
    if CLEANS.get() {
        return None;
    }
    Some(GATE.read().unwrap_or_else(PoisonError::into_inner))
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

/// The signal that has come; 0 while none has.
static CAME: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_signal(number: i32) {
    CAME.store(number, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP first clean up every run of this process, call
/// `afterwards`, and then end the process by the same signal.
///
/// By a handler and a thread that looks, not by blocking the signals and waiting for them: a
/// blocked signal stays blocked in the programs that are started, a handler does not.
pub fn clean_on_interrupt(afterwards: fn()) -> Result<()> {
    let handler = SigHandler::Handler(on_signal);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        handle(signal, handler).with_context(|| format!("cannot handle {signal}"))?;
    }
    thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            let signal = loop {
                match Signal::try_from(CAME.load(Ordering::Relaxed)) {
                    Ok(signal) => break signal,
                    Err(_none_yet) => thread::sleep(Duration::from_millis(20)),
                }
            };
            CLEANS.set(true);
            let _gate = GATE.write().unwrap_or_else(PoisonError::into_inner);
            clean(signal);
            afterwards();
            // Dying of the signal itself tells the shell what happened.
            ignore(handle(signal, SigHandler::SigDfl).and_then(|()| raise(signal)));
        })
        .context("cannot start the thread that waits for signals")?;
    Ok(())
}

fn handle(signal: Signal, handler: SigHandler) -> nix::Result<()> {
    // Calls that are interrupted are taken up again, as if nothing had come.
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler stores into an atomic, which signal-safety(7) allows, and does no more.
    unsafe { sigaction(signal, &action) }.map(drop)
}

fn clean(signal: Signal) {
    for group in lock(&GROUPS).iter() {
        // A group that is gone already needs no signal.
        ignore(killpg(Pid::from_raw(*group), signal));
    }
    let runs: Vec<PathBuf> = lock(&RUNS).iter().cloned().collect();
    for dir in runs {
        if let Err(error) = crate::run::end(&dir) {
            #[expect(clippy::print_stderr, reason = "nobody is left to return the error to")]
            {
                eprintln!("{error:#}");
            }
        }
    }
}
