//! What is taken from a request: the name in its path, its query, its body. What is unusable is named in one sentence.

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::failure::Failure;
use crate::controller::Error;

/// The most bytes that a body may have; the largest sensible request has a few thousand.
const BODY_LIMIT: usize = 256 * 1024;
/// The most characters of an unusable value that an error repeats.
const VALUE_LIMIT: usize = 80;

/// The one variable part of a path, decoded.
pub(super) struct Named(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(error) => {
                Err(Error::unusable(format!("path {:?}: {error}", parts.uri.path())).into())
            }
        }
    }
}

/// The query.
pub(super) struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(error) => {
                let query = parts.uri.query().unwrap_or_default();
                let why = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), ToString::to_string);
                Err(Error::unusable(format!("query {query:?}: {why}")).into())
            }
        }
    }
}

/// The body, which is JSON.
pub(super) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let bytes = to_bytes(request.into_body(), BODY_LIMIT).await.map_err(|error| {
            let too_large = std::error::Error::source(&error)
                .is_some_and(<dyn std::error::Error>::is::<LengthLimitError>);
            if too_large {
                let why = format!("the request's body is longer than {BODY_LIMIT} bytes");
                Failure::from(Error::unusable(why)).with_status(StatusCode::PAYLOAD_TOO_LARGE)
            } else {
                Error::unusable(format!("the request's body ended early: {error}")).into()
            }
        })?;
        parse(&bytes).map(Self).map_err(|why| Error::unusable(why).into())
    }
}

/// Reads JSON; what is wrong is said with the field that it is wrong in.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let whole: Value = serde_json::from_slice(bytes)
        .map_err(|error| format!("the request's body is not JSON: {error}"))?;
    serde_path_to_error::deserialize(&whole).map_err(|error| {
        let path = error.path().to_string();
        let why = error.inner();
        match value_at(&whole, error.path()) {
            Some(value) if path != "." => format!("field {path} is {}: {why}", shorten(value)),
            _ if path != "." => format!("field {path}: {why}"),
            _ => format!("the request's body: {why}"),
        }
    })
}

fn value_at<'a>(whole: &'a Value, path: &serde_path_to_error::Path) -> Option<&'a Value> {
    path.iter().try_fold(whole, |value, segment| match segment {
        Segment::Map { key } => value.get(key),
        Segment::Seq { index } => value.get(index),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        AttachSpec, ConnectSpec, LeaveSpec, NetworkSpec, RetainSpec, RunSpec, SandboxSpec,
        ServiceSpec,
    };

    fn refusal<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> String {
        parse::<T>(body.as_bytes()).expect_err(body)
    }

    fn body<T>(corpus: &[&str])
    where
        T: DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug,
    {
        let write = |value: &T| serde_json::to_vec(value).expect("it can be written");
        crate::fuzz::same_again(corpus, |text| parse::<T>(text).ok(), write);
    }

    #[test]
    fn bodies_are_read_as_they_are_written_or_refused() {
        body::<NetworkSpec>(&[
            r#"{"name":"dev"}"#,
            r#"{"name":"dev","driver":"overlay","subnets":["10.0.0.0/24","fd00::/64"],"ipv6":true,
                "gateways":["10.0.0.1"],"aux_addresses":{"router":"10.0.0.9"},"internal":false,
                "options":{"mtu":"1400"},"labels":{"a":"b"}}"#,
        ]);
        let service = r#"{"service":"web.dev","aliases":["www"],"ports":["8080:80/tcp"],
            "address":"10.0.0.2","address6":"fd00::2","mac":"02:42:0a:00:00:02","bridging":false}"#;
        body::<ServiceSpec>(&[service]);
        body::<AttachSpec>(&[
            r#"{"sandbox":"box","force":true,"aliases":["db:web"],"gw_priority":-1,"device":"eth3"}"#,
        ]);
        let sandbox = r#"{"name":"box","dns":["10.0.0.9"],"dns_search":["example.org"],"hostname":"box",
            "dns_options":["ndots:1"],"pid":7}"#;
        body::<SandboxSpec>(&[sandbox, "{}"]);
        body::<RunSpec>(&[&format!(r#"{{"sandbox":{sandbox},"publish":[{service}]}}"#)]);
        body::<ConnectSpec>(&[&format!(r#"{{"publish":{service},"attach":{{"sandbox":"box"}}}}"#)]);
        body::<LeaveSpec>(&[
            r#"{"configuration":"net","attachment":{"container":"c0ffee","device":"eth0"}}"#,
        ]);
        body::<RetainSpec>(&[
            r#"{"configuration":"net","keep":[{"container":"c0ffee","device":"eth0"}]}"#,
        ]);
    }

    #[test]
    fn queries_are_read_or_refused() {
        let corpus = ["all=true", "all=false&x=1", "force=true", "network=dev", "%61ll=tru%65"];
        crate::fuzz::each(&corpus, |text| {
            let Ok(text) = std::str::from_utf8(text) else { return };
            let Ok(uri) = format!("/v1/networks?{text}").parse::<axum::http::Uri>() else { return };
            drop(Query::<super::super::NetworkFilter>::try_from_uri(&uri));
            drop(Query::<super::super::Removal>::try_from_uri(&uri));
            drop(Query::<super::super::ServiceFilter>::try_from_uri(&uri));
        });
    }

    #[test]
    fn a_bad_body_is_answered_with_the_field_and_the_value() {
        for (said, expected) in [
            (refusal::<NetworkSpec>(""), "the request's body is not JSON: EOF while parsing"),
            (refusal::<NetworkSpec>("{\"name\": \"dev\""), "the request's body is not JSON: EOF"),
            (refusal::<NetworkSpec>("[]"), "the request's body: invalid length 0"),
            (refusal::<NetworkSpec>("7"), "the request's body: invalid type: integer `7`"),
            (refusal::<NetworkSpec>("{}"), "the request's body: missing field `name`"),
            (
                refusal::<NetworkSpec>(r#"{"name": "a b"}"#),
                r#"field name is "a b": name "a b" must consist of letters"#,
            ),
            (
                refusal::<NetworkSpec>(r#"{"name": ""}"#),
                r#"field name is "": a name must not be empty"#,
            ),
            (
                refusal::<NetworkSpec>(
                    r#"{"name": "dev", "subnets": ["10.0.0.0/24", "10.1.0.0/40"]}"#,
                ),
                r#"field subnets[1] is "10.1.0.0/40": "#,
            ),
            (
                refusal::<NetworkSpec>(r#"{"name": "dev", "gateways": ["x"]}"#),
                r#"field gateways[0] is "x": invalid IP address syntax"#,
            ),
            (
                refusal::<NetworkSpec>(r#"{"name": "dev", "subnet": "10.0.0.0/24"}"#),
                r#"field subnet is "10.0.0.0/24": unknown field `subnet`, expected one of `name`"#,
            ),
            (
                refusal::<NetworkSpec>(r#"{"name": "dev", "internal": "yes"}"#),
                r#"field internal is "yes": invalid type: string "yes", expected a boolean"#,
            ),
            (
                refusal::<ServiceSpec>(r#"{"service": "a..b"}"#),
                r#"field service is "a..b": service "a..b": a name must not be empty"#,
            ),
            (
                refusal::<ServiceSpec>(r#"{"service": "a.b", "mac": "02:00"}"#),
                r#"field mac is "02:00": "#,
            ),
            (
                refusal::<SandboxSpec>(r#"{"name": 1}"#),
                r"field name is 1: invalid type: integer `1`, expected a string",
            ),
            (
                refusal::<RunSpec>(r#"{"sandbox": {"dns": ["10.0.0.300"]}}"#),
                r#"field sandbox.dns[0] is "10.0.0.300": invalid IP address syntax"#,
            ),
        ] {
            assert!(said.starts_with(expected), "{said}");
            assert!(!said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        let said = refusal::<NetworkSpec>(&format!("{{\"name\": \"{}\"}}", "ä".repeat(1000)));
        assert!(said.starts_with(&format!("field name is \"{}…", "ä".repeat(79))), "{said}");
    }
}
