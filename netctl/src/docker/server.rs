//! Serving the calls, to the end of what was begun.

use std::{io, sync::Arc};

use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Scope, call};
use crate::controller::Controller;

/// The most bytes that a call may have; the largest sensible one, with a thousand ports, has some hundred thousand.
const BODY_LIMIT: usize = 1 << 20;
/// The form of answers that engines of today ask for, and that older ones do (moby, `pkg/plugins/transport`).
const MIME: &str = "application/vnd.docker.plugins.v1.2+json";
const MIME_OLD: &str = "application/vnd.docker.plugins.v1+json";

#[derive(Clone)]
struct Plugin {
    controller: Arc<Controller>,
    scope: Scope,
    operations: TaskTracker,
}

/// An answer that says no.
struct Refusal {
    status: StatusCode,
    sentence: String,
}

/// Serves an engine's calls, for networks of `scope`, until `stop` is cancelled; then answers those that were begun.
///
/// What an engine that has gone asked for is done to the end too.
///
/// # Errors
/// The socket broke.
pub async fn serve(
    listener: UnixListener,
    controller: Arc<Controller>,
    scope: Scope,
    stop: CancellationToken,
) -> io::Result<()> {
    let operations = TaskTracker::new();
    let plugin = Plugin { controller, scope, operations: operations.clone() };
    let router = Router::new().fallback(answer).with_state(plugin);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    operations.close();
    operations.wait().await;
    served
}

async fn answer(State(plugin): State<Plugin>, request: Request) -> Response {
    let mime = mime(request.headers());
    let (status, body) = match plugin.call(request).await {
        Ok(body) => (StatusCode::OK, body),
        // A network driver's error has the one name, an IPAM driver's the other; with another status than 200 the engine
        // reads the first of both (moby, `pkg/plugins/client.go`).
        Err(Refusal { status, sentence }) => (status, json!({"Err": sentence, "Error": sentence})),
    };
    let content = [(header::CONTENT_TYPE, HeaderValue::from_static(mime))];
    (status, content, body.to_string()).into_response()
}

impl Plugin {
    async fn call(self, request: Request) -> Result<Value, Refusal> {
        let method = request.uri().path().trim_start_matches('/').to_owned();
        if request.method() != Method::POST {
            return Err(Refusal {
                status: StatusCode::METHOD_NOT_ALLOWED,
                sentence: format!("{method} is called by POST, not by {}", request.method()),
            });
        }
        let body = to_bytes(request.into_body(), BODY_LIMIT).await.map_err(|error| Refusal {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            sentence: format!(
                "a call has at most {BODY_LIMIT} bytes, all of which are there: {error}"
            ),
        })?;
        let Self { controller, scope, operations } = self;
        let called = method.clone();
        let call = async move { call::call(&controller, scope, &called, &body).await };
        let done = operations.spawn(call).await.unwrap_or_else(|error| {
            tracing::error!(%error, method, "a call of an engine panicked");
            Err(call::Failure::Broke)
        });
        done.map_err(|failure| {
            let sentence = failure.to_string();
            let status = match failure {
                call::Failure::Unknown { .. } => StatusCode::NOT_FOUND,
                call::Failure::Garbled { .. } => StatusCode::BAD_REQUEST,
                call::Failure::Refused(_) | call::Failure::Broke => {
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            };
            tracing::info!(method, sentence, "refused to an engine");
            Refusal { status, sentence }
        })
    }
}

/// The form that the caller asks for.
fn mime(headers: &HeaderMap) -> &'static str {
    let accepts = |mime: &str| {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        accept.is_some_and(|accept| accept.contains(mime))
    };
    if accepts(MIME_OLD) && !accepts(MIME) { MIME_OLD } else { MIME }
}
