//! Server and client over a real socket, with routes that end as the test wants them to.

use std::{path::Path, time::Duration};

use axum::{
    Json, Router,
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_util::task::TaskTracker;

use super::{
    Client, client,
    failure::Failure,
    request::{Body, Named, Params},
    routes::closed,
    server::Operations,
};
use crate::{
    controller::{Error, Kind},
    model::{NetworkSpec, ServiceRef, ServiceSpec},
};

/// A running server; it ends with the test's runtime.
struct Served {
    dir: tempfile::TempDir,
}

impl Served {
    fn new(routes: Router) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(dir.path().join("s")).expect("a socket");
        tokio::spawn(async move { axum::serve(listener, closed(routes)).await });
        Self { dir }
    }

    fn socket(&self) -> impl AsRef<Path> + use<> {
        self.dir.path().join("s")
    }

    fn client(&self) -> Client {
        Client::new(self.socket().as_ref())
    }

    /// Sends bytes and reads what comes back to the end.
    async fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }

    async fn post(&self, path: &str, body: &str) -> String {
        let length = body.len();
        self.raw(&format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    async fn get(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
    }
}

fn failing(kind: Kind) -> Router {
    let fail = move || async move {
        Err::<Json<()>, _>(Failure::from(Error::new(kind, "network dev is taken")))
    };
    Router::new().route("/v1/networks", get(fail))
}

#[tokio::test]
async fn every_kind_of_failure_reaches_the_caller_as_it_is() {
    for (kind, status) in [
        (Kind::Unusable, "400"),
        (Kind::Forbidden, "403"),
        (Kind::NotFound, "404"),
        (Kind::Conflict, "409"),
        (Kind::Unavailable, "503"),
        (Kind::Internal, "500"),
    ] {
        let served = Served::new(failing(kind));
        let answer = served.get("/v1/networks").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let error = served.client().networks(false).await.expect_err("it fails");
        let client::Error::Failed(error) = error else { panic!("{error}") };
        assert_eq!((error.kind, &*error.message), (kind, "network dev is taken"));
    }
}

#[tokio::test]
async fn what_is_no_request_of_ours_is_refused_in_the_same_form() {
    let routes =
        Router::new().route("/v1/networks", post(async |Body(_): Body<NetworkSpec>| "done")).route(
            "/v1/services",
            get(async |Params(_): Params<super::ServiceFilter>| "done")
                .post(async |Body(_): Body<ServiceSpec>| "done"),
        );
    let served = Served::new(routes);
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(300_000));
    for (answer, status, sentence) in [
        (
            served.get("/v2/networks").await,
            "404",
            "there is no GET /v2/networks; routes begin with /v1",
        ),
        (served.get("/v1/networks").await, "405", "/v1/networks cannot be asked with GET"),
        (
            served.get("/v1/services?netwrk=dev").await,
            "400",
            "query \\\"netwrk=dev\\\": netwrk: unknown field `netwrk`, expected `network`",
        ),
        (served.post("/v1/networks", "{").await, "400", "the request's body is not JSON: EOF"),
        (
            served.post("/v1/networks", "{\"name\": \"a b\"}").await,
            "400",
            "field name is \\\"a b\\\": name \\\"a b\\\" must consist of",
        ),
        (
            served
                .post("/v1/services", "{\"service\": \"a.b\", \"ports\": [\"80\", \"81/icmp\"]}")
                .await,
            "400",
            "field ports[1] is \\\"81/icmp\\\": port \\\"81/icmp\\\": the protocol must be tcp, udp or sctp",
        ),
        (
            served.post("/v1/networks", &long).await,
            "413",
            "the request's body is longer than 262144 bytes",
        ),
    ] {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(&format!("{{\"error\":\"{sentence}")), "{answer}");
        assert!(answer.contains("\"kind\":\""), "{answer}");
    }
}

#[tokio::test]
async fn names_travel_as_they_are() {
    let echo = async |Named(name): Named| Err::<(), _>(Failure::from(Error::not_found(name)));
    let routes = Router::new()
        .route("/v1/networks/{name}", get(echo))
        .route("/v1/services/{name}", get(echo));
    let served = Served::new(routes);
    for name in ["dev", "a/b", "a%2fb", "..", "ä ö?x=y#z", "a.b"] {
        let error = served.client().network(name).await.expect_err("an echo");
        assert_eq!(error.to_string(), name);
    }
    let service: ServiceRef = "svc1.dev".parse().expect("a service");
    assert_eq!(
        served.client().service(&service).await.expect_err("an echo").to_string(),
        "svc1.dev"
    );
    let answer = served.get("/v1/networks/%ff").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("/v1/networks/%ff"), "{answer}");
}

#[tokio::test]
async fn an_operation_is_done_to_its_end_without_its_client() {
    let (begun, mut begins) = mpsc::channel(1);
    let (done, mut ends) = mpsc::channel(1);
    let (go, gate) = tokio::sync::watch::channel(false);
    let tracker = TaskTracker::new();
    let operations = Operations(tracker.clone());
    let operate = async move || {
        let (begun, done, mut gate) = (begun.clone(), done.clone(), gate.clone());
        let operation = async move {
            begun.send(()).await.expect("the test waits");
            gate.wait_for(|open| *open).await.expect("the test opens it");
            done.send(()).await.expect("the test waits");
            Ok(())
        };
        operations.finish(operation).await.map(Json)
    };
    let served = Served::new(Router::new().route("/v1/run", get(operate)));
    let mut stream = UnixStream::connect(served.socket()).await.expect("a connection");
    stream.write_all(b"GET /v1/run HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    begins.recv().await.expect("it began");
    drop(stream);
    tokio::time::sleep(Duration::from_millis(50)).await;
    go.send(true).expect("the operation waits");
    ends.recv().await.expect("it went on to its end");
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let routes = Router::new().route(
        "/v1/status",
        get(async || {
            let operations = Operations(TaskTracker::new());
            operations.finish::<()>(async { panic!("on purpose") }).await.map(Json)
        }),
    );
    let error = Served::new(routes).client().status().await.expect_err("it broke off");
    assert_eq!(
        error.to_string(),
        "the operation broke off inside netctl; the daemon's log says where"
    );
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_said_with_the_way_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("s");
    let error = Client::new(&socket).status().await.expect_err("nobody is there");
    assert_eq!(
        error.to_string(),
        format!(
            "netctl daemon cannot be reached at {}: No such file or directory (os error 2); \
             start it with `netctl daemon`, or name its socket with --socket",
            socket.display()
        )
    );
}

#[tokio::test]
async fn an_answer_of_another_kind_of_server_is_said() {
    let routes = Router::new().route("/v1/networks", get(async || "hello"));
    let served = Served::new(routes);
    let error = served.client().networks(false).await.expect_err("not JSON");
    assert!(matches!(error, client::Error::Garbled { .. }), "{error}");
    assert!(
        error.to_string().contains("answers in a way that this netctl does not know"),
        "{error}"
    );
}
