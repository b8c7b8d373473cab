//! One listener's tasks: receive, answer, or ask elsewhere.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    answer::{self, Query, Reply, Transport},
    directory::Directory,
    forward,
    packet::Packet,
    server::Shared,
    upstream::Way,
};
use crate::model::{self, NetworkId};

/// How many of a network's queries may be out with other name servers at once: no network can keep the others waiting.
const MAX_FORWARDS: usize = 64;
/// How many TCP connections a network may have.
const MAX_CONNECTIONS: usize = 32;
/// How long a TCP connection may take for its next query, or to take an answer.
const IDLE: Duration = Duration::from_secs(10);
/// The longest query that is read: far more than a name, an OPT record and a signature have.
const MAX_QUERY: usize = 4096;
/// How long to wait after the kernel refused to receive or accept, as it does when descriptors run out.
const PAUSE: Duration = Duration::from_millis(100);

/// What the tasks of a listener know.
#[derive(Debug)]
pub(super) struct Context {
    network: NetworkId,
    here: SocketAddr,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    forwards: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// The right to ask other name servers once.
struct Permit {
    _network: OwnedSemaphorePermit,
    _host: OwnedSemaphorePermit,
}

impl Context {
    pub(super) fn new(
        (network, here): (NetworkId, SocketAddr),
        shared: Arc<Shared>,
        cancel: CancellationToken,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        let forwards = Arc::new(Semaphore::new(MAX_FORWARDS));
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Arc::new(Self { network, here, shared, cancel, tasks, forwards, connections })
    }

    /// Serves UDP until cancelled.
    pub(super) async fn serve_udp(self: Arc<Self>, socket: UdpSocket) {
        let socket = Arc::new(socket);
        let mut buffer = vec![0; MAX_QUERY];
        while let Some(received) = self.live(socket.recv_from(&mut buffer)).await {
            match received {
                Ok((length, from)) => self.take_datagram(&socket, &buffer[..length], from),
                Err(error) => self.pause("receive a query", &error).await,
            }
        }
    }

    fn take_datagram(self: &Arc<Self>, socket: &Arc<UdpSocket>, bytes: &[u8], from: SocketAddr) {
        let directory = self.directory();
        match self.reply(&directory, from.ip(), Transport::Udp, bytes) {
            Reply::Ignore => {}
            Reply::Answer(answer) | Reply::Malformed(answer) => send(socket, &answer, from),
            Reply::Forward(query, outside) => {
                let Some(permit) = self.permit() else {
                    return send(socket, &query.refused(), from);
                };
                let (context, socket, bytes) =
                    (Arc::clone(self), Arc::clone(socket), bytes.to_vec());
                let way = self.way(model::Transport::Udp, from);
                self.tasks.spawn(async move {
                    let asking = async {
                        let upstreams = &context.shared.upstreams;
                        let servers = upstreams.servers(&directory, &outside, way).await;
                        context.ask(permit, &servers, &query, &bytes).await
                    };
                    if let Some(answer) = context.live(asking).await {
                        send(&socket, &answer, from);
                    }
                });
            }
        }
    }

    /// Serves TCP until cancelled.
    pub(super) async fn serve_tcp(self: Arc<Self>, listener: TcpListener) {
        while let Some(accepted) = self.live(listener.accept()).await {
            match accepted {
                Ok((stream, from)) => self.take_connection(stream, from),
                Err(error) => self.pause("accept a connection", &error).await,
            }
        }
    }

    fn take_connection(self: &Arc<Self>, stream: TcpStream, from: SocketAddr) {
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            return self.shared.counters.refused.add();
        };
        let context = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Some(Err(error)) = context.live(context.converse(stream, from)).await {
                tracing::trace!(%from, %error, "a connection for names ended");
            }
            drop(permit);
        });
    }

    /// Answers one query after another until the asker closes, stalls or sends what is no query.
    async fn converse(&self, mut stream: TcpStream, asker: SocketAddr) -> io::Result<()> {
        let mut buffer = vec![0; MAX_QUERY];
        loop {
            let length = timeout(IDLE, read_query(&mut stream, &mut buffer)).await??;
            let bytes = &buffer[..length];
            let directory = self.directory();
            let answer = match self.reply(&directory, asker.ip(), Transport::Tcp, bytes) {
                Reply::Ignore => return Ok(()),
                Reply::Answer(answer) | Reply::Malformed(answer) => answer,
                Reply::Forward(query, outside) => match self.permit() {
                    Some(permit) => {
                        let way = self.way(model::Transport::Tcp, asker);
                        let servers =
                            self.shared.upstreams.servers(&directory, &outside, way).await;
                        self.ask(permit, &servers, &query, bytes).await
                    }
                    None => query.refused(),
                },
            };
            timeout(IDLE, stream.write_all(&forward::framed(&answer))).await??;
        }
    }

    fn reply(&self, directory: &Directory, asker: IpAddr, by: Transport, bytes: &[u8]) -> Reply {
        let begun = Instant::now();
        let reply = answer::reply(directory, &self.network, asker, by, bytes);
        let counters = &self.shared.counters;
        counters.queries.add();
        match reply {
            Reply::Ignore | Reply::Malformed(_) => counters.malformed.add(),
            Reply::Answer(_) => {
                counters.answered.add();
                counters.answering.add(begun.elapsed());
            }
            Reply::Forward(..) => {}
        }
        reply
    }

    async fn ask(
        &self,
        permit: Permit,
        servers: &[SocketAddr],
        query: &Query,
        bytes: &[u8],
    ) -> Vec<u8> {
        let counters = &self.shared.counters;
        counters.forwarded.add();
        let answer = forward::ask(&self.shared.upstreams, servers, bytes).await;
        drop(permit);
        let answer = answer.as_deref().and_then(Packet::new).zip(Packet::new(bytes));
        if let Some((answer, asked)) = answer {
            counters.relayed.add();
            query.relayed(asked, answer)
        } else {
            counters.failed.add();
            query.failed()
        }
    }

    fn way(&self, transport: model::Transport, asker: SocketAddr) -> Way {
        Way { transport, asker, here: self.here }
    }

    fn permit(&self) -> Option<Permit> {
        let network = Arc::clone(&self.forwards).try_acquire_owned();
        let host = Arc::clone(&self.shared.forwards).try_acquire_owned();
        let permit = network.ok().zip(host.ok());
        if permit.is_none() {
            self.shared.counters.refused.add();
        }
        permit.map(|(network, host)| Permit { _network: network, _host: host })
    }

    fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.shared.directory.borrow())
    }

    /// What `work` comes to, or nothing where it is cancelled before.
    async fn live<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.cancel.run_until_cancelled(work).await
    }

    async fn pause(&self, what: &str, error: &io::Error) {
        tracing::warn!(network = ?self.network, %error, "cannot {what} for names");
        self.live(sleep(PAUSE)).await;
    }
}

/// Answers over UDP may get lost: one that the kernel has no room for is, instead of keeping all others waiting.
fn send(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    if let Err(error) = socket.try_send_to(answer, to) {
        tracing::debug!(%to, %error, "cannot send an answer for names");
    }
}

/// Reads a query with its length before it (RFC 1035, section 4.2.2).
async fn read_query(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let length = usize::from(stream.read_u16().await?);
    let room = buffer.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
    stream.read_exact(room).await
}
