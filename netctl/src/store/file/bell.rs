//! Telling the other processes that the file has changed.
//!
//! Ringing is touching the file's times, hearing is inotify's `IN_ATTRIB` on it. The file is named by path and never
//! opened for this: closing any descriptor of it would drop the locks that SQLite holds in this process (POSIX record
//! locks, `fcntl_locking(2)`). It rings after the commit; inotify on the write-ahead log itself would ring before the
//! change can be read.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::AT_FDCWD,
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        stat::{UtimensatFlags, utimensat},
        time::TimeSpec,
    },
};

/// Hears when a file's bell is rung, by any process.
#[derive(Debug)]
pub(super) struct Bell {
    inotify: Inotify,
}

impl Bell {
    /// Fails where the machine's inotify instances are used up.
    pub(super) fn new(path: &Path) -> Result<Self, Errno> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(path, AddWatchFlags::IN_ATTRIB)?;
        Ok(Self { inotify })
    }

    /// Readable when it was rung.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Makes it silent until it is rung again.
    pub(super) fn hush(&self) {
        while self.inotify.read_events().is_ok() {}
    }
}

/// Rings the bell of a file. Who does not hear it looks by himself a little later, so that an error is no loss.
pub(super) fn ring(path: &Path) {
    let now = TimeSpec::UTIME_NOW;
    if let Err(error) = utimensat(AT_FDCWD, path, &now, &now, UtimensatFlags::FollowSymlink) {
        tracing::debug!(path = %path.display(), %error, "cannot touch the store's file");
    }
}
