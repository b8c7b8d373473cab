//! The socket at which an engine finds the plugin.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another program answers there.
    #[error(
        "the plugin socket {path} is another program's, which answers there: stop it, or give this daemon a socket of \
         its own"
    )]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("the plugin socket {path} cannot be made: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A socket that is ours for as long as nobody puts another in its place; it is removed when this is dropped.
#[derive(Debug)]
pub struct PluginSocket {
    path: PathBuf,
    /// Device and inode of what is ours.
    identity: (u64, u64),
}

impl PluginSocket {
    /// Listens at `path`, in place of what a dead daemon left there; its directory is made. Only root may connect.
    ///
    /// # Errors
    /// Another program answers there, or the socket cannot be made.
    pub async fn listen(path: &Path) -> Result<(Self, UnixListener), SocketError> {
        let io = |source| SocketError::Io { path: path.to_owned(), source };
        if let Some(dir) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(io)?;
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(SocketError::Taken { path: path.to_owned() });
        }
        // Under another name until its mode is right: nobody may connect in between.
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(io)?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o600)).map_err(io)?;
        let identity = identity(&fresh).map_err(io)?;
        fs::rename(&fresh, path).map_err(io)?;
        Ok((Self { path: path.to_owned(), identity }, listener))
    }
}

impl Drop for PluginSocket {
    fn drop(&mut self) {
        if identity(&self.path).ok() != Some(self.identity) {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the plugin socket is left over");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_daemons_socket_is_taken_over_and_a_living_ones_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("docker/plugins/netctl.sock");
        let (socket, _listener) = PluginSocket::listen(&path).await.expect("nothing is there");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = PluginSocket::listen(&path).await.expect_err("it is taken").to_string();
        let expected = format!("the plugin socket {} is another program's", path.display());
        assert!(error.starts_with(&expected), "{error}");
        drop(socket);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket to leave behind"));
        let (_socket, _listener) = PluginSocket::listen(&path).await.expect("nobody listens");
        UnixStream::connect(&path).await.expect("somebody listens");
    }

    #[tokio::test]
    async fn what_another_put_in_its_place_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("netctl.sock");
        let (socket, _listener) = PluginSocket::listen(&path).await.expect("nothing is there");
        fs::remove_file(&path).expect("ours");
        fs::write(&path, "").expect("another's");
        drop(socket);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_made_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("a file");
        let path = file.join("netctl.sock");
        let error = PluginSocket::listen(&path).await.expect_err("below a file").to_string();
        let expected = format!("the plugin socket {} cannot be made: ", path.display());
        assert!(error.starts_with(&expected), "{error}");
    }
}
