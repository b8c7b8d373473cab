//! The page for a browser: what it is made of, and what it shows as JSON. By TCP where that is asked for, and to be read
//! alone.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio_util::sync::CancellationToken;

use super::{
    failure::Failure,
    routes::no_such_method,
    tcp::{Door, ListenError},
};
use crate::controller::{Controller, Error};

/// What the page shows, as JSON.
const SCENE: &str = "/scene.json";
/// All that the page is made of: where it is, what it is, and itself.
const FILES: [(&str, &str, &str); 8] = [
    ("/", "text/html; charset=utf-8", include_str!("web/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("web/style.css")),
    ("/icon.svg", "image/svg+xml", include_str!("web/icon.svg")),
    ("/main.js", SCRIPT, include_str!("web/main.js")),
    ("/scene.js", SCRIPT, include_str!("web/scene.js")),
    ("/layout.js", SCRIPT, include_str!("web/layout.js")),
    ("/map.js", SCRIPT, include_str!("web/map.js")),
    ("/tables.js", SCRIPT, include_str!("web/tables.js")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// What a browser is told of each answer: the page is made of these files alone, nobody shows it inside another or reads it
/// from one, and what it says holds for a moment.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// A TCP socket at which the page is served and nothing else.
#[derive(Debug)]
pub struct WebListener {
    door: Door,
    address: IpAddr,
}

impl WebListener {
    /// Listens there.
    ///
    /// # Errors
    /// The address is not this host's, or somebody else listens at it.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let door = Door::bind(address, "the page", "web-listen").await?;
        if address.ip().is_loopback() {
            tracing::info!("the page is at http://{address}/, for this host alone");
        } else {
            tracing::warn!(
                "the page is at http://{address}/, for all who reach that address: there is no authentication"
            );
        }
        Ok(Self { door, address: address.ip() })
    }

    /// Answers until `stop` is cancelled.
    pub async fn serve(self, controller: Arc<Controller>, stop: CancellationToken) {
        let Self { door, address } = self;
        let mut routes = Router::new().route(SCENE, get(scene));
        for (path, kind, content) in FILES {
            routes =
                routes.route(path, get(async move || ([(header::CONTENT_TYPE, kind)], content)));
        }
        let guarded = middleware::from_fn(move |request, next| guard(address, request, next));
        let router = routes
            .method_not_allowed_fallback(no_such_method)
            .fallback(nothing_else)
            .layer(guarded)
            .with_state(controller);
        door.serve(router, stop).await;
    }
}

async fn scene(State(controller): State<Arc<Controller>>) -> Response {
    match controller.scene().await {
        Ok(scene) => Json(scene).into_response(),
        Err(error) => Failure::from(error).into_response(),
    }
}

async fn nothing_else(uri: Uri) -> Failure {
    Error::not_found(format!("there is no {} here, but the page at / alone", uri.path())).into()
}

/// Lets those pass who only look, and who mean this host; says to each browser what [`HEADERS`] say.
async fn guard(listening: IpAddr, request: Request, next: Next) -> Response {
    let mut response = match refusal(listening, &request) {
        Some(failure) => failure.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refusal(listening: IpAddr, request: &Request) -> Option<Failure> {
    let method = request.method();
    if ![Method::GET, Method::HEAD].contains(method) {
        let why = format!("{method} is not taken: the page can only be looked at");
        let failure = Failure::from(Error::unusable(why));
        return Some(failure.with_status(StatusCode::METHOD_NOT_ALLOWED));
    }
    let named = match request.uri().authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => request.headers().get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes),
    };
    let named = String::from_utf8_lossy(named);
    (!is_meant(listening, &named)).then(|| {
        let why = format!(
            "the page of {:?} is not here; ask for http://localhost/ with the port that it is served at",
            named.chars().take(80).collect::<String>()
        );
        Failure::from(Error::unusable(why)).with_status(StatusCode::MISDIRECTED_REQUEST)
    })
}

/// Whether who asks for `named` means what listens at this address.
///
/// A page of somebody else's may have its own name lead here, to read with its visitor's browser what is served to this host
/// alone; its requests bear that name. Who serves to others knows by which names they come.
fn is_meant(listening: IpAddr, named: &str) -> bool {
    if !listening.is_loopback() {
        return true;
    }
    let host = match named.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => named,
    };
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn on_loopback_only_its_own_names_are_answered() {
        let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
        for (named, meant) in [
            ("localhost", true),
            ("LOCALHOST:9470", true),
            ("127.0.0.1:9470", true),
            ("127.0.0.1", true),
            ("127.1.2.3:1", true),
            ("[::1]:9470", true),
            ("[::1]", true),
            ("", false),
            (":9470", false),
            ("localhost.", false),
            ("localhost.evil.example", false),
            ("evil.example:9470", false),
            ("127.0.0.1.evil.example", false),
            ("192.0.2.1:9470", false),
            ("[::1", false),
            ("localhost:x", false),
            ("user@localhost", false),
        ] {
            for listening in [v4, v6] {
                assert_eq!(is_meant(listening, named), meant, "{named}");
            }
            assert!(is_meant(IpAddr::V4(Ipv4Addr::UNSPECIFIED), named), "{named}");
        }
    }

    #[test]
    fn the_page_asks_for_nothing_that_is_not_served() {
        for (_, _, content) in FILES {
            assert!(!content.contains("innerHTML"), "{content}");
            for outside in ["https://", "src=\"//", "@import", "url(", "eval("] {
                assert!(!content.contains(outside), "{outside} in {content}");
            }
        }
        let page = FILES[0].2;
        for (path, ..) in &FILES[1..=3] {
            assert!(page.contains(&format!("\"{}\"", &path[1..])), "{path}");
        }
    }
}
