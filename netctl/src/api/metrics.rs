//! Metrics for Prometheus: on the daemon's own socket beside the API, and by TCP where that is asked for, alone.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
    routing::get,
};
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

use super::{failure::Failure, routes::closed};
use crate::{
    controller::{Controller, Result},
    observe::metrics,
};

/// Where metrics are asked for.
pub(super) const PATH: &str = "/metrics";
/// How many may be answered at once: there are few who ask, and each looks at all interfaces.
const CONNECTIONS: usize = 8;
/// How long a connection may take for its one request and the answer to it: as long as Prometheus waits by default.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait after the kernel refused a connection, as it does when descriptors run out.
const PAUSE: Duration = Duration::from_millis(100);

/// The metrics as an answer.
pub(super) async fn answer(controller: &Controller) -> Response {
    match controller.observe().await {
        Ok(seen) => {
            let content = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
            (content, metrics::render(&seen)).into_response()
        }
        Err(error) => Failure::from(error).into_response(),
    }
}

/// A TCP socket at which metrics are served and nothing else.
#[derive(Debug)]
pub struct MetricsListener(TcpListener);

/// Why there is no such socket.
#[derive(Debug, thiserror::Error)]
#[error(
    "metrics cannot be served at {address}: {source}; name another address with --metrics-listen"
)]
pub struct MetricsListenError {
    address: SocketAddr,
    source: std::io::Error,
}

impl MetricsListener {
    /// Listens there.
    ///
    /// # Errors
    /// The address is not this host's, or somebody else listens at it.
    pub async fn bind(address: SocketAddr) -> Result<Self, MetricsListenError> {
        let bound = TcpListener::bind(address).await;
        bound.map(Self).map_err(|source| MetricsListenError { address, source })
    }

    /// Answers until `stop` is cancelled. Who asks gets one answer for each connection, and who dawdles none.
    pub async fn serve(self, controller: Arc<Controller>, stop: CancellationToken) {
        let metrics =
            |State(controller): State<Arc<Controller>>| async move { answer(&controller).await };
        let router = closed(Router::new().route(PATH, get(metrics))).with_state(controller);
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        let tasks = TaskTracker::new();
        while let Some(Ok(permit)) =
            stop.run_until_cancelled(Arc::clone(&free).acquire_owned()).await
        {
            match stop.run_until_cancelled(self.0.accept()).await {
                None => break,
                Some(Ok((stream, from))) => {
                    let conversation = converse(stream, from, router.clone());
                    let stop = stop.clone();
                    tasks.spawn(async move {
                        stop.run_until_cancelled(conversation).await;
                        drop(permit);
                    });
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot take a connection for metrics");
                    stop.run_until_cancelled(sleep(PAUSE)).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }
}

async fn converse(stream: TcpStream, from: SocketAddr, router: Router) {
    let service = TowerToHyperService::new(router);
    let mut protocol = http1::Builder::new();
    protocol.keep_alive(false).timer(TokioTimer::new());
    match timeout(PATIENCE, protocol.serve_connection(TokioIo::new(stream), service)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%from, %error, "a connection for metrics broke off"),
        Err(_elapsed) => tracing::debug!(%from, "a connection for metrics took too long"),
    }
}
