//! Sockets that systemd listens on for the daemon, by the protocol of `sd_listen_fds(3)`: who calls while there is no daemon
//! waits for it, and has it started.

use std::{
    env, io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    process,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::socket::{getsockopt, sockopt::AcceptConn},
};
use tokio::net;

/// The first that is passed (`SD_LISTEN_FDS_START` of `sd-daemon.h`).
const FIRST: RawFd = 3;
/// More than a service manager would pass.
const MOST: RawFd = 64;

/// Why what was passed is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("LISTEN_FDS is {value:?}: a service manager passes from 0 to {MOST} sockets")]
    Count { value: String },
    #[error(
        "file descriptor {fd}, which LISTEN_FDS passes, is no unix socket that listens at a path: netctl takes none but \
         such, as netctl.socket has them"
    )]
    NoSocket { fd: RawFd },
    #[error("file descriptor {fd}, which LISTEN_FDS passes, cannot be taken: {source}")]
    Io { fd: RawFd, source: io::Error },
}

/// The sockets that were passed and that nobody took yet.
#[derive(Debug, Default)]
pub(super) struct Passed(Vec<(PathBuf, UnixListener)>);

impl Passed {
    /// Those that were passed to this process.
    pub(super) fn to_us() -> Result<Self, Error> {
        let (pid, count) = (env::var("LISTEN_PID").ok(), env::var("LISTEN_FDS").ok());
        let fds = descriptors(pid.as_deref(), count.as_deref(), process::id())?;
        fds.map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Takes the one that is at `path`, if one is.
    pub(super) fn take(&mut self, path: &Path) -> Option<io::Result<net::UnixListener>> {
        let index = self.0.iter().position(|(at, _)| at == path)?;
        let (_, listener) = self.0.swap_remove(index);
        Some(listener.set_nonblocking(true).and_then(|()| net::UnixListener::from_std(listener)))
    }

    /// Where those are that nobody took.
    pub(super) fn left(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(path, _)| path.as_path())
    }
}

/// The file descriptors that were passed to process `own`; what a parent was passed is not its children's.
fn descriptors(
    pid: Option<&str>,
    count: Option<&str>,
    own: u32,
) -> Result<impl Iterator<Item = RawFd>, Error> {
    let ours = pid.and_then(|pid| pid.parse().ok()) == Some(own);
    let count = count.filter(|_| ours).unwrap_or("0");
    let value = || Error::Count { value: count.to_owned() };
    let number: RawFd = count.parse().map_err(|_error| value())?;
    if !(0..=MOST).contains(&number) {
        return Err(value());
    }
    Ok((0..number).map(|number| FIRST + number))
}

/// A passed socket, with its path. It stays open under its number too, but for the programs that the daemon runs.
fn open(fd: RawFd) -> Result<(PathBuf, UnixListener), Error> {
    let failed = |source: io::Error| Error::Io { fd, source };
    if !Path::new(&format!("/proc/self/fd/{fd}")).exists() {
        return Err(Error::NoSocket { fd });
    }
    // SAFETY: it is open, as was just seen; and who passed it has us keep it open, whose it is from the start.
    let passed = unsafe { BorrowedFd::borrow_raw(fd) };
    if !getsockopt(&passed, AcceptConn).unwrap_or(false) {
        return Err(Error::NoSocket { fd });
    }
    let own: OwnedFd = passed.try_clone_to_owned().map_err(failed)?;
    fcntl(passed.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
        .map_err(|errno| failed(errno.into()))?;
    let listener = UnixListener::from(own);
    let address = listener.local_addr().map_err(|_error| Error::NoSocket { fd })?;
    let path = address.as_pathname().ok_or(Error::NoSocket { fd })?.to_owned();
    Ok((path, listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_to_another_process_is_not_ours() {
        let found = |pid, count| {
            let fds = descriptors(pid, count, 7).map_err(|error| error.to_string())?;
            Ok::<Vec<RawFd>, String>(fds.collect())
        };
        assert_eq!(found(Some("7"), Some("2")), Ok(vec![3, 4]));
        for (pid, count) in [(Some("8"), Some("2")), (None, Some("2")), (Some("7"), None)] {
            assert_eq!(found(pid, count), Ok(vec![]));
        }
        for count in ["x", "-1", "65"] {
            let sentence =
                format!("LISTEN_FDS is {count:?}: a service manager passes from 0 to 64 sockets");
            assert_eq!(found(Some("7"), Some(count)), Err(sentence));
        }
    }
}
