//! Handing signals on to a child process.
//!
//! The child stays in this process' group, so that it has the terminal. What the terminal itself sends (Ctrl-C, a
//! hang-up) the kernel gives to the whole group: only signals sent to this process alone are handed on, which a handler
//! can tell by `si_code`.

use std::sync::atomic::{AtomicI32, Ordering};

use nix::{
    errno::Errno,
    libc::{self, c_int, c_void, siginfo_t},
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};

const FORWARDED: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// The child to signal; 0 while there is none.
static CHILD: AtomicI32 = AtomicI32::new(0);
/// The last signal that came before the child did; 0 for none.
static EARLY: AtomicI32 = AtomicI32::new(0);

/// While this lives, signals go to the child. One at a time in a process.
pub(super) struct Forwarding {
    before: Vec<(Signal, SigAction)>,
}

impl Forwarding {
    /// Signals that come from here on are kept for the child.
    pub(super) fn begin() -> Result<Self, Errno> {
        let action = SigAction::new(
            SigHandler::SigAction(forward),
            SaFlags::SA_RESTART | SaFlags::SA_SIGINFO,
            SigSet::empty(),
        );
        let mut forwarding = Self { before: Vec::new() };
        for signal in FORWARDED {
            // SAFETY: the handler calls nothing but atomics and kill(2), which are async-signal-safe.
            let before = unsafe { sigaction(signal, &action) }?;
            forwarding.before.push((signal, before));
        }
        Ok(forwarding)
    }

    /// Names the child, and hands on what came before it.
    #[expect(clippy::unused_self, reason = "there must be handlers for this to mean something")]
    pub(super) fn to(&self, child: i32) {
        CHILD.store(child, Ordering::SeqCst);
        send(child, EARLY.swap(0, Ordering::SeqCst));
    }

    /// Signals that come from here on are dropped: the child has ended, and its number may become another's.
    #[expect(clippy::unused_self, reason = "there must be handlers for this to mean something")]
    pub(super) fn stop(&self) {
        CHILD.store(-1, Ordering::SeqCst);
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        for (signal, before) in self.before.drain(..) {
            // SAFETY: the action is the one that was there before.
            if let Err(errno) = unsafe { sigaction(signal, &before) } {
                tracing::warn!(%errno, %signal, "the signal's old handler could not be put back");
            }
        }
        EARLY.store(0, Ordering::SeqCst);
        CHILD.store(0, Ordering::SeqCst);
    }
}

extern "C" fn forward(signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel gives a valid siginfo to a handler with SA_SIGINFO.
    let from_kernel = unsafe { (*info).si_code } > 0;
    if from_kernel {
        return;
    }
    hand_on(signal);
}

/// Hands a signal on to the command of [`super::NetnsCommand::run`], or keeps it until there is one. For signals that
/// came before its handlers did, and that somebody else's handlers took.
pub fn hand_on(signal: c_int) {
    // It is kept first and looked for afterwards, as `Forwarding::to` names the child first and looks for what was
    // kept afterwards: one of the two sees both.
    EARLY.store(signal, Ordering::SeqCst);
    let child = CHILD.load(Ordering::SeqCst);
    if child != 0 {
        send(child, EARLY.swap(0, Ordering::SeqCst));
    }
}

fn send(child: i32, signal: c_int) {
    if child > 0 && signal > 0 {
        // SAFETY: kill(2) touches no memory of ours. That the child has just ended is no error here.
        unsafe { libc::kill(child, signal) };
    }
}
