//! Which name servers the host itself uses.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::directory::Directory;

/// As many as a resolver of the C library uses (resolv.conf(5), `MAXNS`).
const MAX_SERVERS: usize = 3;
/// Where name servers listen.
const PORT: u16 = 53;

/// The host's name servers, read again when their file changed.
///
/// A stub on a loopback address (systemd-resolved's 127.0.0.53) is as good as another: queries are sent from the host's
/// own namespace.
#[derive(Debug)]
pub struct Upstreams {
    path: PathBuf,
    last: Mutex<Read>,
}

/// What was read, and from which state of the file.
#[derive(Clone, Debug, Default)]
struct Read {
    stamp: Option<Stamp>,
    servers: Arc<[SocketAddr]>,
}

/// Device, inode, size, and the times of change in nanoseconds: an editor's rename or a write changes one of them.
type Stamp = (u64, u64, u64, (i64, i64));

impl Upstreams {
    /// Reads name servers from `path`, which is `/etc/resolv.conf` but in tests. It need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), last: Mutex::default() }
    }

    /// The servers to ask, in their order, without ourselves.
    pub(super) fn servers(&self, directory: &Directory) -> Vec<SocketAddr> {
        let servers = self.current();
        servers.iter().filter(|server| !directory.is_gateway(server.ip())).copied().collect()
    }

    fn current(&self) -> Arc<[SocketAddr]> {
        let stamp = fs::metadata(&self.path)
            .ok()
            .map(|file| (file.dev(), file.ino(), file.size(), (file.ctime(), file.ctime_nsec())));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.stamp != stamp {
            match fs::read_to_string(&self.path) {
                Ok(text) => *last = Read { stamp, servers: parse(&text).into() },
                Err(error) => {
                    // The servers known last serve on, and the next query reads again.
                    tracing::debug!(path = %self.path.display(), %error, "cannot read name servers");
                }
            }
        }
        Arc::clone(&last.servers)
    }
}

/// The name servers of a resolv.conf(5).
fn parse(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next())?
    });
    servers.filter_map(address).take(MAX_SERVERS).collect()
}

fn address(text: &str) -> Option<SocketAddr> {
    if let Some((address, zone)) = text.split_once('%') {
        let index = zone.parse().ok().or_else(|| nix::net::if_::if_nametoindex(zone).ok())?;
        return Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, index).into());
    }
    let address: IpAddr = text.parse().ok()?;
    // The C library takes 0.0.0.0 for this host.
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Some(SocketAddr::new(if address.is_unspecified() { local } else { address }, PORT))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::discovery::tests::network;

    #[test]
    fn name_servers_are_read_as_the_c_library_does() {
        for (text, servers) in [
            ("", vec![]),
            ("# nameserver 10.0.0.1\n;nameserver 10.0.0.2\nsearch a.b\n", vec![]),
            (
                "nameserver\t10.0.0.1 \n  nameserver 127.0.0.53\noptions ndots:1",
                vec!["10.0.0.1:53", "127.0.0.53:53"],
            ),
            ("nameserver nonsense\nnameserver ::1\n", vec!["[::1]:53"]),
            ("nameserver 0.0.0.0\n", vec!["127.0.0.1:53"]),
            ("nameserver fe80::1%1\n", vec!["[fe80::1%1]:53"]),
            (
                "nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4\n",
                vec!["1.0.0.1:53", "1.0.0.2:53", "1.0.0.3:53"],
            ),
        ] {
            let parsed: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
            assert_eq!(parsed, servers, "{text:?}");
        }
    }

    #[test]
    fn the_file_is_read_again_and_we_are_not_in_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let upstreams = Upstreams::new(file.path());
        let network = network("dev", "10.1.0.0/24", false);
        let directory = Directory::build([&network], [], &BTreeMap::new());
        assert_eq!(upstreams.servers(&directory), []);
        fs::write(file.path(), "nameserver 10.1.0.1\nnameserver 10.9.0.1\n").expect("written");
        assert_eq!(upstreams.servers(&directory), ["10.9.0.1:53".parse().expect("an address")]);
        fs::remove_file(file.path()).expect("removed");
        assert_eq!(upstreams.servers(&directory).len(), 1, "what was known last serves on");
    }
}
