//! Events, as they happen: one object of JSON on each line, for as long as somebody reads them.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use crate::{
    controller::{Controller, Kind},
    model::{EventFilter, EventView},
    observe::Events,
};

/// What the lines are: JSON by lines has no type of its own in any register.
const CONTENT_TYPE: &str = "application/x-ndjson";

/// Begins to tell what is wanted; the answer ends when `stop` is cancelled. What its reader is too slow for waits in the
/// queue that [`Events`] has, and no longer.
pub(super) async fn answer(
    controller: &Controller,
    filter: EventFilter,
    stop: CancellationToken,
) -> Result<Response, Failure> {
    if let Some(network) = &filter.network {
        match controller.network(network.as_str()).await {
            // Whether there is such a network cannot be told now.
            Err(error) if error.kind == Kind::Unavailable => {}
            found => drop(found?),
        }
    }
    let events = Events::listen(controller, filter).await;
    let lines = stream::unfold((events, stop), async |(mut events, stop)| {
        let event = stop.run_until_cancelled(events.next()).await.flatten()?;
        Some((Ok::<_, Infallible>(line(&event)), (events, stop)))
    });
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], Body::from_stream(lines)).into_response())
}

fn line(event: &EventView) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
