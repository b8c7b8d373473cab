//! The engine's own API, which tells what the plugin protocol does not.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

/// How long an engine may take for an answer.
///
/// It tells of a container that is being started only once it is.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes: some hundred bytes for each container.
const ANSWER: usize = 64 << 20;

/// The longest event.
const EVENT: usize = 1 << 20;
/// Where it tells what happens, with `{"type":["container","network"],"event":["connect","disconnect","create","rename","start"]}`.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%2C%22event%22%3A%5B%22connect%22\
                      %2C%22disconnect%22%2C%22create%22%2C%22rename%22%2C%22start%22%5D%7D";

/// Why an engine has told nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// It is not there.
    #[error("Docker cannot be reached at {socket}: {source}")]
    Unreachable {
        /// Where it was sought.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not know what was asked for.
    #[error("Docker has no {path}")]
    Missing {
        /// What was asked for.
        path: String,
    },
    /// What it says is of no use.
    #[error("Docker at {socket} answers {path} in a way that netctl does not know: {reason}")]
    Garbled {
        /// Where it is.
        socket: PathBuf,
        /// What was asked for.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

/// An engine, by the socket of its API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    socket: PathBuf,
}

/// A network as the engine lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ListedNetwork {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(rename = "IPAM")]
    pub(super) ipam: ListedIpam,
    pub(super) internal: bool,
    /// What is in it, where one network was asked for. An endpoint outside of a container is here too.
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) containers: BTreeMap<String, ListedEndpoint>,
}

/// Where its addresses come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ListedIpam {
    pub(super) driver: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) config: Vec<ListedPool>,
}

/// One of its subnets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ListedPool {
    pub(super) subnet: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) auxiliary_addresses: BTreeMap<String, String>,
}

/// An endpoint as the engine lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct ListedEndpoint {
    #[serde(rename = "EndpointID")]
    pub(super) endpoint: String,
}

/// A container as the engine lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ListedContainer {
    pub(super) id: String,
    pub(super) network_settings: NetworkSettings,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Container {
    pub(super) id: String,
    /// With a slash before it.
    pub(super) name: String,
    pub(super) config: ContainerConfig,
    pub(super) network_settings: NetworkSettings,
}

/// What a container was made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ContainerConfig {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) labels: BTreeMap<String, String>,
}

/// A container's networks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct NetworkSettings {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) networks: BTreeMap<String, Attached>,
}

/// A container in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Attached {
    /// Empty before the container's first start.
    #[serde(rename = "NetworkID")]
    pub(super) network: String,
    /// Empty where the container does not run.
    #[serde(rename = "EndpointID")]
    pub(super) endpoint: String,
    /// The names there that it was given; not in a list.
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) aliases: Vec<String>,
    /// All its names there, since API 1.44.
    #[serde(rename = "DNSNames", deserialize_with = "null_is_empty")]
    pub(super) names: Vec<String>,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Event {
    /// What it happened to: `container` or `network`.
    #[serde(rename = "Type")]
    pub(super) kind: String,
    pub(super) action: String,
    pub(super) actor: Actor,
}

/// What an event happened to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Actor {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) attributes: BTreeMap<String, String>,
}

/// Go writes what was never made as `null`.
fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl ListedNetwork {
    /// Whether it has this subnet from an IPAM driver that is a plugin.
    pub(super) fn has_from_plugin(&self, cidr: &IpNet) -> bool {
        let same =
            |pool: &ListedPool| pool.subnet.parse().is_ok_and(|subnet: IpNet| subnet == *cidr);
        !matches!(self.ipam.driver.as_str(), "default" | "null")
            && self.ipam.config.iter().any(same)
    }
}

impl Engine {
    /// The one that listens at `socket`. Each call makes its own connection.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its networks, without what is in them.
    pub(super) async fn networks(&self) -> Result<Vec<ListedNetwork>, EngineError> {
        self.get("/networks").await
    }

    /// One network, with what is in it; none where there is none.
    pub(super) async fn network(&self, id: &str) -> Result<Option<ListedNetwork>, EngineError> {
        match self.get(&format!("/networks/{id}")).await {
            Ok(network) => Ok(Some(network)),
            Err(EngineError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its containers, those that do not run too.
    pub(super) async fn containers(&self) -> Result<Vec<ListedContainer>, EngineError> {
        self.get("/containers/json?all=1").await
    }

    /// One container; none where there is none.
    pub(super) async fn container(&self, id: &str) -> Result<Option<Container>, EngineError> {
        match self.get(&format!("/containers/{id}/json")).await {
            Ok(container) => Ok(Some(container)),
            Err(EngineError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What happens from now on to networks and containers, and may have to do with names.
    pub(super) async fn events(&self) -> Result<Events, EngineError> {
        let answer = timeout(PATIENCE, self.ask(EVENTS)).await;
        let answer =
            answer.unwrap_or_else(|_late| Err(self.unreachable(io::ErrorKind::TimedOut.into())))?;
        if answer.status() != StatusCode::OK {
            return Err(self.garbled(EVENTS, &answer.status()));
        }
        Ok(Events { engine: self.clone(), body: answer.into_body(), unread: Vec::new() })
    }

    /// What it answers to a question.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, EngineError> {
        let exchange = async {
            let answer = self.ask(path).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER).collect().await;
            let body = body.map_err(|error| self.garbled(path, &error))?.to_bytes();
            match status {
                StatusCode::OK => {
                    serde_json::from_slice(&body).map_err(|error| self.garbled(path, &error))
                }
                StatusCode::NOT_FOUND => Err(EngineError::Missing { path: path.to_owned() }),
                other => {
                    let said = String::from_utf8_lossy(&body);
                    Err(self.garbled(path, &format_args!("{other} {said}")))
                }
            }
        };
        let late = || self.unreachable(io::ErrorKind::TimedOut.into());
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_late| Err(late()))
    }

    async fn ask(&self, path: &str) -> Result<Response<Incoming>, EngineError> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| self.unreachable(error))?;
        let broken = |error: hyper::Error| self.unreachable(io::Error::other(error));
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the answer's body.
        drop(tokio::spawn(connection));
        let request = Request::get(path)
            .header(header::HOST, "docker")
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.garbled(path, &error))?;
        sender.send_request(request).await.map_err(broken)
    }

    fn unreachable(&self, source: io::Error) -> EngineError {
        EngineError::Unreachable { socket: self.socket.clone(), source }
    }

    fn garbled(&self, path: &str, reason: &dyn fmt::Display) -> EngineError {
        let (socket, path) = (self.socket.clone(), path.to_owned());
        EngineError::Garbled { socket, path, reason: reason.to_string() }
    }
}

/// Events as they come.
#[derive(Debug)]
pub(super) struct Events {
    engine: Engine,
    body: Incoming,
    unread: Vec<u8>,
}

impl Events {
    /// Waits for the next; none comes any more where the engine has ended. Cancelling the call loses none.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, EngineError> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let event = serde_json::from_slice(&line).map(Some);
                return event.map_err(|error| self.engine.garbled(EVENTS, &error));
            }
            if self.unread.len() > EVENT {
                return Err(self.engine.garbled(EVENTS, &"an event has no end"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.unread.extend(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(self.engine.unreachable(io::Error::other(error))),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_engines_list_them() {
        let text = r#"{
            "Name": "dev", "Id": "19d4", "Scope": "local", "Driver": "netctl", "Options": null,
            "IPAM": {"Driver": "netctl", "Options": {}, "Config": [
                {"Subnet": "10.88.0.0/24", "Gateway": "10.88.0.1", "AuxiliaryAddresses": {"r1": "10.88.0.9"}},
                {"Subnet": "fd00:88::/64"}
            ]},
            "Containers": {"c1": {"Name": "web", "EndpointID": "60b1", "MacAddress": "02:42:0a:58:00:02"}}
        }"#;
        let network: ListedNetwork = serde_json::from_str(text).expect("a network");
        assert_eq!((&*network.name, &*network.containers["c1"].endpoint), ("dev", "60b1"));
        assert_eq!(network.ipam.config[0].auxiliary_addresses["r1"], "10.88.0.9");
        assert!(network.has_from_plugin(&"fd00:88::/64".parse().expect("a subnet")));
        assert!(!network.has_from_plugin(&"10.89.0.0/24".parse().expect("a subnet")));
        let text = r#"[{"Name": "host", "Id": "a", "IPAM": {"Driver": "default", "Config": null}, "Containers": null}]"#;
        let networks: Vec<ListedNetwork> = serde_json::from_str(text).expect("networks");
        assert_eq!(networks[0].ipam.config, []);
    }

    #[test]
    fn containers_are_read_as_engines_of_several_ages_write_them() {
        let old = r#"{"Id": "1a", "Name": "/web", "Config": {"Labels": null}, "NetworkSettings": {"Networks": {
            "dev": {"Aliases": ["www", "1a"], "NetworkID": "5b", "EndpointID": "9c", "DriverOpts": null}}}}"#;
        let container: Container = serde_json::from_str(old).expect("a container");
        let attached = &container.network_settings.networks["dev"];
        assert_eq!((attached.endpoint.as_str(), attached.aliases.len()), ("9c", 2));
        let new = r#"{"Id": "1a", "Name": "/web", "Config": {"Labels": {"a": "b"}}, "NetworkSettings": {"Networks": {
            "dev": {"Aliases": null, "DNSNames": ["web", "1a"], "NetworkID": "", "EndpointID": ""}}}}"#;
        let container: Container = serde_json::from_str(new).expect("a container");
        let attached = &container.network_settings.networks["dev"];
        assert_eq!((attached.names.len(), attached.aliases.len()), (2, 0));
        let event = r#"{"status": "rename", "Type": "container", "Action": "rename",
            "Actor": {"ID": "1a", "Attributes": {"name": "new", "oldName": "/web"}}, "time": 1}"#;
        let event: Event = serde_json::from_str(event).expect("an event");
        assert_eq!((event.kind.as_str(), event.action.as_str()), ("container", "rename"));
        assert_eq!(event.actor.attributes["name"], "new");
    }

    #[tokio::test]
    async fn an_engine_that_is_away_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("docker.sock");
        let error = Engine::new(&socket).networks().await.expect_err("nobody listens").to_string();
        let expected = format!("Docker cannot be reached at {}: No such file", socket.display());
        assert!(error.starts_with(&expected), "{error}");
    }
}
