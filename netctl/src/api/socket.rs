//! The daemon's claim on its run directory, and the socket in it.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use tokio::net::UnixListener;

/// The socket's name in the run directory.
const SOCKET: &str = "netctl.sock";
const LOCK: &str = "netctl.lock";

/// Why a run directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another daemon works there.
    #[error(
        "another netctl daemon is running with --run-dir {run_dir}; stop it, or give this one directories of its own"
    )]
    Taken {
        /// The directory.
        run_dir: PathBuf,
    },
    /// A file or directory cannot be made.
    #[error("{path} cannot be made: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory cannot be removed.
    #[error("{path} cannot be removed: {source}")]
    Left {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The right to use a run directory: at most one daemon has it. It ends with the process, however that ends.
#[derive(Debug)]
pub struct Claim {
    run_dir: PathBuf,
    /// Whether it made the socket.
    listens: bool,
    _lock: Flock<File>,
}

impl Claim {
    /// Claims `run_dir`, which is made where it is not there.
    pub fn take(run_dir: &Path) -> Result<Self, ClaimError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(run_dir)
            .map_err(|source| ClaimError::Io { path: run_dir.to_owned(), source })?;
        let path = run_dir.join(LOCK);
        let io = |source| ClaimError::Io { path: path.clone(), source };
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(io)?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                // One who had it may have removed it meanwhile: another would be made then, and locked too.
                Ok(lock) if lock.metadata().map_err(io)?.nlink() == 0 => {}
                Ok(lock) => {
                    return Ok(Self { run_dir: run_dir.to_owned(), listens: false, _lock: lock });
                }
                Err((_, Errno::EWOULDBLOCK)) => {
                    return Err(ClaimError::Taken { run_dir: run_dir.to_owned() });
                }
                Err((_, errno)) => return Err(io(errno.into())),
            }
        }
    }

    /// Gives the run directory up, and removes it where nothing is left in it.
    pub fn release(self) -> Result<(), ClaimError> {
        let path = self.run_dir.join(LOCK);
        fs::remove_file(&path).map_err(|source| ClaimError::Left { path, source })?;
        match fs::remove_dir(&self.run_dir) {
            // What others have in it is theirs.
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                Err(ClaimError::Left { path: self.run_dir.clone(), source: error })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Where the socket is.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join(SOCKET)
    }

    /// Listens on the socket, in place of one that a dead daemon left. Only the daemon's user may connect.
    pub fn listen(&mut self) -> Result<UnixListener, ClaimError> {
        let path = self.socket();
        // Under another name until its mode is right: nobody may connect in between.
        let fresh = path.with_extension("new");
        let io = |source| ClaimError::Io { path: path.clone(), source };
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(io)?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o600)).map_err(io)?;
        fs::rename(&fresh, &path).map_err(io)?;
        self.listens = true;
        Ok(listener)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let path = self.socket();
        // One that the service manager listens on stays.
        if self.listens
            && let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "the socket is left over");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_directory_has_one_daemon() {
        let dir = tempfile::tempdir().expect("a directory");
        let run_dir = dir.path().join("a/b");
        let claim = Claim::take(&run_dir).expect("free");
        let error = Claim::take(&run_dir).expect_err("taken").to_string();
        assert_eq!(
            error,
            format!(
                "another netctl daemon is running with --run-dir {}; stop it, or give this one directories of its own",
                run_dir.display()
            )
        );
        drop(claim);
        Claim::take(&run_dir).expect("free again");
    }

    #[test]
    fn a_run_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("a file");
        let error = Claim::take(&file.join("run")).expect_err("below a file").to_string();
        assert!(error.starts_with(&format!("{}/run cannot be made: ", file.display())), "{error}");
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced_and_only_its_user_may_connect() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(SOCKET);
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket to leave behind"));
        let mut claim = Claim::take(dir.path()).expect("free");
        let _listener = claim.listen().expect("the stale one is replaced");
        tokio::net::UnixStream::connect(&path).await.expect("somebody listens");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(claim);
        assert!(!path.exists());
    }
}
