//! Metrics for Prometheus: on the daemon's own socket beside the API, and by TCP where that is asked for, alone.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{Uri, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio_util::sync::CancellationToken;

use super::{
    failure::Failure,
    routes::no_such_method,
    tcp::{Door, ListenError},
};
use crate::{
    controller::{Controller, Error},
    observe::metrics,
};

/// Where metrics are asked for.
pub(super) const PATH: &str = "/metrics";

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
pub struct MetricsListener(Door);

impl MetricsListener {
    /// Listens there.
    ///
    /// # Errors
    /// The address is not this host's, or somebody else listens at it.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        Door::bind(address, "metrics", "metrics-listen").await.map(Self)
    }

    /// Answers until `stop` is cancelled.
    pub async fn serve(self, controller: Arc<Controller>, stop: CancellationToken) {
        let metrics =
            |State(controller): State<Arc<Controller>>| async move { answer(&controller).await };
        let routes = Router::new().route(PATH, get(metrics)).fallback(nothing_else);
        let router = routes.method_not_allowed_fallback(no_such_method).with_state(controller);
        self.0.serve(router, stop).await;
    }
}

async fn nothing_else(uri: Uri) -> Failure {
    let path = uri.path();
    let why = format!(
        "there is no {path} here, but {PATH} alone; all else is at the daemon's own socket"
    );
    Error::not_found(why).into()
}
