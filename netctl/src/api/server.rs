//! Serving the routes, to the end of what was begun.

use std::{io, sync::Arc};

use tokio::net::UnixListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{failure::Failure, routes};
use crate::controller::{self, Controller, Error};

/// Serves requests until `stop` is cancelled, then answers those that were begun and returns.
///
/// An operation whose client has gone is awaited too.
pub async fn serve(
    listener: UnixListener,
    controller: Arc<Controller>,
    stop: CancellationToken,
) -> io::Result<()> {
    let operations = TaskTracker::new();
    let router = routes::router(controller, operations.clone(), stop.clone());
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    operations.close();
    operations.wait().await;
    served
}

/// The operations under way.
#[derive(Clone)]
pub(super) struct Operations(pub TaskTracker);

impl Operations {
    /// Runs an operation in a task of its own, so that a client that goes away does not cut it off in the middle.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        operation: impl Future<Output = controller::Result<T>> + Send + 'static,
    ) -> Result<T, Failure> {
        match self.0.spawn(operation).await {
            Ok(result) => result.map_err(Failure::from),
            Err(error) => {
                tracing::error!(%error, "an operation panicked");
                let why = "the operation broke off inside netctl; the daemon's log says where";
                Err(Error::internal(why).into())
            }
        }
    }
}
