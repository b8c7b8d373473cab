//! What is served by TCP: a few routes to whoever reaches the address, one answer for each connection, and to few at once.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How many may be answered at once: there are few who ask, and each may look at all interfaces.
const CONNECTIONS: usize = 8;
/// How long a connection may take for its one request and the answer to it: as long as Prometheus waits by default.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait after the kernel refused a connection, as it does when descriptors run out.
const PAUSE: Duration = Duration::from_millis(100);

/// A TCP socket at which something is served and nothing else.
#[derive(Debug)]
pub(super) struct Door {
    socket: TcpListener,
    what: &'static str,
}

/// Why there is no such socket.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be served at {address}: {source}; name another address with --{option}")]
pub struct ListenError {
    what: &'static str,
    option: &'static str,
    address: SocketAddr,
    source: std::io::Error,
}

impl Door {
    /// Listens there for those who want `what`, as the setting `option` says.
    pub(super) async fn bind(
        address: SocketAddr,
        what: &'static str,
        option: &'static str,
    ) -> Result<Self, ListenError> {
        let bound = TcpListener::bind(address).await;
        let socket = bound.map_err(|source| ListenError { what, option, address, source })?;
        Ok(Self { socket, what })
    }

    /// Answers until `stop` is cancelled. Who asks gets one answer for each connection, and who dawdles none.
    pub(super) async fn serve(self, router: Router, stop: CancellationToken) {
        let Self { socket, what } = self;
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        let tasks = TaskTracker::new();
        while let Some(Ok(permit)) =
            stop.run_until_cancelled(Arc::clone(&free).acquire_owned()).await
        {
            match stop.run_until_cancelled(socket.accept()).await {
                None => break,
                Some(Ok((stream, from))) => {
                    let conversation = converse(stream, from, what, router.clone());
                    let stop = stop.clone();
                    tasks.spawn(async move {
                        stop.run_until_cancelled(conversation).await;
                        drop(permit);
                    });
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot take a connection for {what}");
                    stop.run_until_cancelled(sleep(PAUSE)).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }
}

async fn converse(stream: TcpStream, from: SocketAddr, what: &'static str, router: Router) {
    let service = TowerToHyperService::new(router);
    let mut protocol = http1::Builder::new();
    protocol.keep_alive(false).timer(TokioTimer::new());
    match timeout(PATIENCE, protocol.serve_connection(TokioIo::new(stream), service)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%from, %error, "a connection for {what} broke off"),
        Err(_elapsed) => tracing::debug!(%from, "a connection for {what} took too long"),
    }
}
