//! The client: one method for each operation of the daemon.

use std::{
    io,
    path::{Path, PathBuf},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, task::JoinHandle};

use super::{Detachment, Disconnection, Version, failure};
use crate::{
    controller,
    model::{
        AttachSpec, ConnectSpec, CounterView, EventFilter, EventView, FdbView, HostView, JoinSpec,
        JoinView, KnownView, LeaveSpec, NeighView, NetworkSpec, NetworkView, RetainSpec, RunSpec,
        SandboxSpec, SandboxView, ServiceRef, ServiceSpec, ServiceView, StatusView, StoreProbeView,
        TrafficView,
    },
};

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers at the socket.
    #[error(
        "netctl daemon cannot be reached at {socket}: {reason}; start it with `netctl daemon`, or name its socket with --socket"
    )]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The socket is there for others.
    #[error("netctl daemon's socket {socket} is not for this user: run netctl as root")]
    Denied {
        /// The socket.
        socket: PathBuf,
    },
    /// The daemon says no.
    #[error(transparent)]
    Failed(#[from] controller::Error),
    /// What answers is no daemon of this version.
    #[error("netctl daemon at {socket} answers in a way that this netctl does not know: {reason}")]
    Garbled {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// The short form of a result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Calls a daemon.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the daemon that listens at `socket`. Each call makes its own connection.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Where the daemon listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Creates a network.
    pub async fn create_network(&self, spec: &NetworkSpec) -> Result<NetworkView> {
        self.post("/v1/networks", spec).await
    }

    /// The networks of the cluster and of the daemon's host, or `all`, those of other hosts too.
    pub async fn networks(&self, all: bool) -> Result<Vec<NetworkView>> {
        self.get(if all { "/v1/networks?all=true" } else { "/v1/networks" }).await
    }

    /// One network with its services.
    pub async fn network(&self, network: &str) -> Result<NetworkView> {
        self.get(&format!("/v1/networks/{}", escape(network))).await
    }

    /// Removes a network.
    pub async fn remove_network(&self, network: &str) -> Result<NetworkView> {
        self.delete(&format!("/v1/networks/{}", escape(network))).await
    }

    /// Publishes a service.
    pub async fn publish(&self, spec: &ServiceSpec) -> Result<ServiceView> {
        self.post("/v1/services", spec).await
    }

    /// Removes a service; one that is attached only if `force`.
    pub async fn unpublish(&self, service: &ServiceRef, force: bool) -> Result<ServiceView> {
        self.delete(&format!("/v1/services/{service}?force={force}")).await
    }

    /// All services of the cluster or of one network.
    pub async fn services(&self, network: Option<&str>) -> Result<Vec<ServiceView>> {
        match network {
            Some(network) => self.get(&format!("/v1/services?network={}", escape(network))).await,
            None => self.get("/v1/services").await,
        }
    }

    /// One service.
    pub async fn service(&self, service: &ServiceRef) -> Result<ServiceView> {
        self.get(&format!("/v1/services/{service}")).await
    }

    /// Attaches a service to a sandbox of the daemon's host.
    pub async fn attach(&self, service: &ServiceRef, spec: &AttachSpec) -> Result<ServiceView> {
        self.post(&format!("/v1/services/{service}/attach"), spec).await
    }

    /// Detaches a service from a sandbox of the daemon's host.
    pub async fn detach(&self, sandbox: &str, service: &ServiceRef) -> Result<ServiceView> {
        let sandbox = Detachment { sandbox: sandbox.to_owned() };
        self.post(&format!("/v1/services/{service}/detach"), &sandbox).await
    }

    /// Creates a sandbox.
    pub async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<SandboxView> {
        self.post("/v1/sandboxes", spec).await
    }

    /// The sandboxes of the daemon's host.
    pub async fn sandboxes(&self) -> Result<Vec<SandboxView>> {
        self.get("/v1/sandboxes").await
    }

    /// One sandbox.
    pub async fn sandbox(&self, sandbox: &str) -> Result<SandboxView> {
        self.get(&format!("/v1/sandboxes/{}", escape(sandbox))).await
    }

    /// Removes a sandbox.
    pub async fn remove_sandbox(&self, sandbox: &str) -> Result<SandboxView> {
        self.delete(&format!("/v1/sandboxes/{}", escape(sandbox))).await
    }

    /// Publishes a service for a sandbox and attaches it, both or nothing.
    pub async fn connect(&self, spec: &ConnectSpec) -> Result<ServiceView> {
        self.post("/v1/connect", spec).await
    }

    /// Takes a sandbox off a network, with what was published for it there.
    pub async fn disconnect(&self, sandbox: &str, network: &str) -> Result<Vec<ServiceView>> {
        let both = Disconnection { sandbox: sandbox.to_owned(), network: network.to_owned() };
        self.post("/v1/disconnect", &both).await
    }

    /// Creates a sandbox with services, all or nothing.
    pub async fn run(&self, spec: &RunSpec) -> Result<SandboxView> {
        self.post("/v1/run", spec).await
    }

    /// Joins a container to a network, all or nothing.
    pub async fn join(&self, spec: &JoinSpec) -> Result<JoinView> {
        self.post("/v1/containers/join", spec).await
    }

    /// Has a container leave a network, if it is there.
    pub async fn leave(&self, spec: &LeaveSpec) -> Result<()> {
        self.post("/v1/containers/leave", spec).await
    }

    /// Undoes all attachments of a network configuration but some.
    pub async fn retain(&self, spec: &RetainSpec) -> Result<()> {
        self.post("/v1/containers/retain", spec).await
    }

    /// The hosts of the cluster.
    pub async fn hosts(&self) -> Result<Vec<HostView>> {
        self.get("/v1/hosts").await
    }

    /// What the daemon's host knows without asking the store.
    pub async fn known(&self) -> Result<KnownView> {
        self.get("/v1/known").await
    }

    /// The forwarding database of the daemon's host.
    pub async fn fdb(&self) -> Result<Vec<FdbView>> {
        self.get("/v1/fdb").await
    }

    /// The neighbours of the daemon's host.
    pub async fn neigh(&self) -> Result<Vec<NeighView>> {
        self.get("/v1/neigh").await
    }

    /// The counters of the daemon's host.
    pub async fn counters(&self) -> Result<Vec<CounterView>> {
        self.get("/v1/counters").await
    }

    /// What the endpoints of the daemon's host have carried.
    pub async fn traffic(&self) -> Result<Vec<TrafficView>> {
        self.get("/v1/traffic").await
    }

    /// Packets that are dropped, and first packets of flows, as they happen from now on.
    pub async fn events(&self, filter: &EventFilter) -> Result<EventStream> {
        let target = format!("/v1/events?{}", query(filter).map_err(|e| self.garbled(&e))?);
        let (answer, connection) = self.request(Method::GET, &target, Bytes::new()).await?;
        if answer.status().is_success() {
            let (body, line) = (answer.into_body(), Vec::new());
            return Ok(EventStream { client: self.clone(), body, line, connection });
        }
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| self.unreachable(&error))?;
        Err(self.refusal(status, &body.to_bytes()))
    }

    /// How the daemon's host is doing.
    pub async fn status(&self) -> Result<StatusView> {
        self.get("/v1/status").await
    }

    /// Has the daemon try out its store.
    pub async fn probe_store(&self) -> Result<StoreProbeView> {
        self.post("/v1/store/probe", &()).await
    }

    /// The daemon's version.
    pub async fn version(&self) -> Result<Version> {
        self.get("/v1/version").await
    }

    async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T> {
        self.call(Method::GET, target, Bytes::new()).await
    }

    async fn delete<T: DeserializeOwned>(&self, target: &str) -> Result<T> {
        self.call(Method::DELETE, target, Bytes::new()).await
    }

    async fn post<B: Serialize, T: DeserializeOwned>(&self, target: &str, body: &B) -> Result<T> {
        let body = serde_json::to_vec(body).map_err(|error| self.garbled(&error))?;
        self.call(Method::POST, target, body.into()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<T> {
        let (status, answer) = self.exchange(method, target, body).await?;
        if status.is_success() {
            serde_json::from_slice(&answer).map_err(|error| self.garbled(&error))
        } else {
            Err(self.refusal(status, &answer))
        }
    }

    /// An answer that says no.
    fn refusal(&self, status: StatusCode, answer: &[u8]) -> Error {
        match serde_json::from_slice::<failure::Body>(answer) {
            Ok(body) => Error::Failed(body.into()),
            Err(error) => self.garbled(&format_args!("{status}, {error}")),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        let (answer, connection) = self.request(method, target, body).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| self.unreachable(&error))?;
        connection.abort();
        Ok((status, body.to_bytes()))
    }

    /// Asks, and gives the answer as far as it has come, with the task that has the rest come.
    async fn request(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>)> {
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|error| self.not_connected(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(&error))?;
        // It ends with `sender`; what goes wrong in it is said by the calls below.
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, "netctl")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.garbled(&error))?;
        let answer =
            sender.send_request(request).await.map_err(|error| self.unreachable(&error))?;
        Ok((answer, connection))
    }

    fn not_connected(&self, error: &io::Error) -> Error {
        if error.kind() == io::ErrorKind::PermissionDenied {
            Error::Denied { socket: self.socket.clone() }
        } else {
            self.unreachable(error)
        }
    }

    fn unreachable(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::Unreachable { socket: self.socket.clone(), reason: reason.to_string() }
    }

    fn garbled(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::Garbled { socket: self.socket.clone(), reason: reason.to_string() }
    }
}

/// Events as they happen, until it is dropped.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    body: Incoming,
    /// What has come of lines that were not taken yet.
    line: Vec<u8>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl EventStream {
    /// The next event.
    ///
    /// # Errors
    /// [`Error::Unreachable`] where the daemon has ended.
    pub async fn next(&mut self) -> Result<EventView> {
        loop {
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let rest = self.line.split_off(end + 1);
                let line = std::mem::replace(&mut self.line, rest);
                return serde_json::from_slice(&line).map_err(|error| self.client.garbled(&error));
            }
            match self.body.frame().await {
                None => return Err(self.client.unreachable(&"it has ended")),
                Some(Err(error)) => return Err(self.client.unreachable(&error)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.line.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What is said of a filter, as a query.
fn query(filter: &EventFilter) -> serde_json::Result<String> {
    let said = serde_json::to_value(filter)?;
    let pairs = said.as_object().into_iter().flatten().map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        format!("{name}={}", escape(&value))
    });
    Ok(pairs.collect::<Vec<_>>().join("&"))
}

/// A hexadecimal digit.
fn digit(value: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(value)])
}

/// Escapes all that has a meaning in a URI (RFC 3986, section 2.3, has what is left as it is).
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
        escaped
    })
}
