//! Failures as HTTP has them.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::controller::{Error, Kind};

/// Each sort of failure with its name in bodies and its status.
const KINDS: [(Kind, &str, StatusCode); 6] = [
    (Kind::Unusable, "unusable", StatusCode::BAD_REQUEST),
    (Kind::Forbidden, "forbidden", StatusCode::FORBIDDEN),
    (Kind::NotFound, "not-found", StatusCode::NOT_FOUND),
    (Kind::Conflict, "conflict", StatusCode::CONFLICT),
    (Kind::Unavailable, "unavailable", StatusCode::SERVICE_UNAVAILABLE),
    (Kind::Internal, "internal", StatusCode::INTERNAL_SERVER_ERROR),
];

/// The body of an answer that says no.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Body {
    /// The sentence.
    pub error: String,
    /// The sort, by its name.
    pub kind: String,
}

impl From<Body> for Error {
    /// A sort that this version does not know is the daemon's own affair.
    fn from(body: Body) -> Self {
        let known = KINDS.iter().find(|(_, name, _)| *name == body.kind);
        Self::new(known.map_or(Kind::Internal, |(kind, ..)| *kind), body.error)
    }
}

/// An answer that says no.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    body: Body,
}

impl Failure {
    /// The same failure with a status that says more than that of its sort.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (_, name, status) = KINDS
            .into_iter()
            .find(|(kind, ..)| *kind == error.kind)
            .unwrap_or((Kind::Internal, "internal", StatusCode::INTERNAL_SERVER_ERROR));
        Self { status, body: Body { error: error.message, kind: name.to_owned() } }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_status_and_comes_back_as_itself() {
        for (kind, status) in [
            (Kind::Unusable, 400),
            (Kind::Forbidden, 403),
            (Kind::NotFound, 404),
            (Kind::Conflict, 409),
            (Kind::Unavailable, 503),
            (Kind::Internal, 500),
        ] {
            let failure = Failure::from(Error::new(kind, "network dev is taken"));
            assert_eq!(failure.status.as_u16(), status);
            let error = Error::from(failure.body);
            assert_eq!((error.kind, &*error.message), (kind, "network dev is taken"));
        }
    }

    #[test]
    fn a_kind_of_a_later_version_is_internal() {
        let body = Body { error: "too hot".to_owned(), kind: "teapot".to_owned() };
        assert_eq!(Error::from(body).kind, Kind::Internal);
    }
}
