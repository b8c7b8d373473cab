//! Telling systemd how the daemon is doing, by the protocol of `sd_notify(3)`.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// The daemon works now.
pub(super) const READY: &str = "READY=1";
/// The daemon is about to end.
pub(super) const STOPPING: &str = "STOPPING=1";

/// Tells the service manager, if there is one, that the daemon is in `state`.
pub(super) fn notify(state: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, state, "the service manager cannot be told");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let unique = format!("{}-notify", dir.path().display());
        let abstract_name = SocketAddr::from_abstract_name(&unique).expect("a name");
        for (manager, socket) in [
            (UnixDatagram::bind(&path), path.clone().into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name), format!("@{unique}").into()),
        ] {
            let manager = manager.expect("a socket");
            send(&socket, READY).expect("sent");
            let mut heard = [0; 32];
            let length = manager.recv(&mut heard).expect("received");
            assert_eq!(&heard[..length], READY.as_bytes());
        }
    }
}
