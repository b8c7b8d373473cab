//! Which name servers are asked for names from outside.

use std::{
    collections::HashMap,
    fmt, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::{directory::Directory, resolve::Outside};
use crate::model::Transport;

/// As many as a resolver of the C library uses (resolv.conf(5), `MAXNS`).
const MAX_SERVERS: usize = 3;
/// Where name servers listen.
const PORT: u16 = 53;
/// For how long a server that said nothing is asked after all others.
const LAST: Duration = Duration::from_secs(30);

/// Knows whom questions were meant for that were led here.
#[async_trait]
pub trait Led: fmt::Debug + Send + Sync {
    /// Whom `asker` meant to ask, where that was not who listens `here`.
    async fn meant(
        &self,
        transport: Transport,
        asker: SocketAddr,
        here: SocketAddr,
    ) -> Option<SocketAddr>;
}

/// A question as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) transport: Transport,
    pub(super) asker: SocketAddr,
    pub(super) here: SocketAddr,
}

/// The host's name servers, read again when their file changed.
///
/// A stub on a loopback address (systemd-resolved's 127.0.0.53) is as good as another: queries are sent from the host's
/// own namespace.
#[derive(Debug)]
pub struct Upstreams {
    path: PathBuf,
    last: Mutex<Read>,
    /// Servers that said nothing, and when.
    silent: Mutex<HashMap<SocketAddr, Instant>>,
    led: Option<Arc<dyn Led>>,
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
        let path = path.into();
        Self { path, last: Mutex::default(), silent: Mutex::default(), led: None }
    }

    /// The same where questions to others are led here.
    #[must_use]
    pub fn with_led(self, led: Arc<dyn Led>) -> Self {
        Self { led: Some(led), ..self }
    }

    /// The servers to ask for who asks, in their order; those that said nothing lately after the others.
    ///
    /// Neither we ourselves nor the asker are among them: a question would go round.
    pub(super) async fn servers(
        &self,
        directory: &Directory,
        outside: &Outside,
        way: Way,
    ) -> Vec<SocketAddr> {
        let servers: Vec<SocketAddr> = match outside {
            Outside::OfHost => self.current().to_vec(),
            Outside::Own(own) => {
                own.iter().take(MAX_SERVERS).map(|&server| (server, PORT).into()).collect()
            }
            Outside::Meant => match self.meant(way).await {
                Some(server) => vec![server],
                None => self.current().to_vec(),
            },
        };
        let mut servers: Vec<SocketAddr> = servers
            .into_iter()
            .filter(|server| !directory.is_gateway(server.ip()) && server.ip() != way.asker.ip())
            .collect();
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        servers.sort_by_key(|server| silent.get(server).is_some_and(|at| at.elapsed() < LAST));
        servers
    }

    async fn meant(&self, way: Way) -> Option<SocketAddr> {
        let Way { transport, asker, here } = way;
        self.led.as_ref()?.meant(transport, asker, here).await
    }

    /// Takes note that a server said nothing for as long as it was waited for.
    pub(super) fn silent(&self, server: SocketAddr) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|_, at| at.elapsed() < LAST);
        silent.insert(server, Instant::now());
    }

    /// Takes note that a server answers.
    pub(super) fn answered(&self, server: SocketAddr) {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).remove(&server);
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
    use super::*;
    use crate::discovery::{
        Askers, Zone,
        tests::{ip, network},
    };

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

    /// Knows of one question that it was led here.
    #[derive(Debug)]
    struct One(SocketAddr);

    #[async_trait]
    impl Led for One {
        async fn meant(
            &self,
            _: Transport,
            asker: SocketAddr,
            _: SocketAddr,
        ) -> Option<SocketAddr> {
            (asker.port() == 1).then_some(self.0)
        }
    }

    #[tokio::test]
    async fn who_was_meant_is_asked() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "nameserver 10.9.0.1\n").expect("written");
        let meant = "192.0.2.53:53".parse().expect("an address");
        let upstreams = Upstreams::new(file.path()).with_led(Arc::new(One(meant)));
        for (port, server) in [(1, "192.0.2.53:53"), (2, "10.9.0.1:53")] {
            let way = Way {
                transport: Transport::Udp,
                asker: (ip("10.1.0.2"), port).into(),
                here: (ip("10.1.0.1"), PORT).into(),
            };
            let servers = upstreams.servers(&Directory::default(), &Outside::Meant, way).await;
            assert_eq!(servers, [server.parse().expect("an address")]);
        }
    }

    #[tokio::test]
    async fn the_file_is_read_again_and_we_are_not_in_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let upstreams = Upstreams::new(file.path());
        let network = network("dev", "10.1.0.0/24", false);
        let zone = Arc::new(Zone::build(&network, [], |_| false));
        let directory = Directory::new([(network.id.clone(), zone)], Askers::default());
        let asked = async |outside: &Outside, asker| -> Vec<String> {
            let way = Way {
                transport: Transport::Udp,
                asker: (ip(asker), 1).into(),
                here: (ip("10.1.0.1"), PORT).into(),
            };
            let servers = upstreams.servers(&directory, outside, way).await;
            servers.iter().map(ToString::to_string).collect()
        };
        let own = Outside::Own(vec![ip("10.9.0.2"), ip("10.1.0.1"), ip("fd00::53")]);
        assert!(asked(&Outside::OfHost, "10.1.0.2").await.is_empty());
        assert_eq!(asked(&own, "10.1.0.2").await, ["10.9.0.2:53", "[fd00::53]:53"]);
        fs::write(file.path(), "nameserver 10.1.0.1\nnameserver 10.9.0.1\nnameserver 10.1.0.7\n")
            .expect("written");
        assert_eq!(asked(&Outside::OfHost, "10.1.0.2").await, ["10.9.0.1:53", "10.1.0.7:53"]);
        assert_eq!(asked(&Outside::OfHost, "10.1.0.7").await, ["10.9.0.1:53"]);
        fs::remove_file(file.path()).expect("removed");
        assert_eq!(
            asked(&Outside::OfHost, "10.1.0.7").await.len(),
            1,
            "what was known last serves on"
        );
        // Who said nothing comes last, until it answers.
        let silent = "10.9.0.2:53".parse().expect("an address");
        upstreams.silent(silent);
        assert_eq!(asked(&own, "10.1.0.2").await, ["[fd00::53]:53", "10.9.0.2:53"]);
        upstreams.answered(silent);
        assert_eq!(asked(&own, "10.1.0.2").await, ["10.9.0.2:53", "[fd00::53]:53"]);
    }
}
