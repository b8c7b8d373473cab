//! The API of Docker's engine, as far as it is asked: which networks and containers there are, and what happens to them.
//!
//! Paths without a version mean the newest that the engine has. What is read of its answers has been in them since
//! API 1.41.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

/// How long an answer may take: the engine tells of a container that is being started once it is.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// The longest event.
const MAX_EVENT: usize = 1 << 20;

/// Why the engine said nothing of use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody answers.
    #[error("Docker's engine cannot be reached at {socket}: {reason}")]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// It says no.
    #[error("Docker's engine answers {path} with status {status}")]
    Refused {
        /// What was asked for.
        path: String,
        /// The status.
        status: StatusCode,
    },
    /// What answers is none.
    #[error("Docker's engine answers {path} in a way that is not known: {reason}")]
    Garbled {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The short form of a result.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A network of the engine's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Network {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) driver: String,
}

/// A container of the engine's, as its list has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) network_settings: NetworkSettings,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Container {
    pub(crate) id: String,
    /// With a slash before it.
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) config: Config,
    #[serde(default)]
    pub(crate) network_settings: NetworkSettings,
}

/// What a container was made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Config {
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) labels: BTreeMap<String, String>,
}

/// A container's networks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkSettings {
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) networks: BTreeMap<String, Attached>,
}

/// A container in a network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Attached {
    /// The network; empty before the container's first start.
    #[serde(rename = "NetworkID", default)]
    pub(crate) network: String,
    /// The endpoint; empty where it does not run.
    #[serde(rename = "EndpointID", default)]
    pub(crate) endpoint: String,
    /// Its further names there; not in a list.
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) aliases: Vec<String>,
    /// All its names there, which newer engines tell apart from those that it was given.
    #[serde(rename = "DNSNames", default, deserialize_with = "or_none")]
    pub(crate) names: Vec<String>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Event {
    /// What it happened to: `container` or `network`.
    #[serde(rename = "Type")]
    pub(crate) kind: String,
    pub(crate) action: String,
    pub(crate) actor: Actor,
}

/// What an event happened to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Actor {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) attributes: BTreeMap<String, String>,
}

/// The engine writes null where there is nothing.
fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The engine behind a socket.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
}

impl Engine {
    /// The one whose API is at `socket`. Each question makes its own connection.
    pub(crate) fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Its networks.
    pub(crate) async fn networks(&self) -> Result<Vec<Network>> {
        self.get("/networks").await
    }

    /// Its containers, those that do not run too.
    pub(crate) async fn containers(&self) -> Result<Vec<Listed>> {
        self.get("/containers/json?all=1").await
    }

    /// One container by its identifier; `None` where there is no such one.
    pub(crate) async fn container(&self, id: &str) -> Result<Option<Container>> {
        match self.get(&format!("/containers/{id}/json")).await {
            Err(Error::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// What happens from now on to networks and containers, and may have to do with names.
    pub(crate) async fn events(&self) -> Result<Events> {
        // {"type":["container","network"],"event":["connect","create","rename","start"]}
        let path = "/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%2C%22event%22%3A%5B\
                    %22connect%22%2C%22create%22%2C%22rename%22%2C%22start%22%5D%7D";
        let answer = timeout(PATIENCE, self.ask(path)).await;
        let body = answer.unwrap_or_else(|_elapsed| Err(self.unreachable("no answer")))?;
        Ok(Events { body, unread: Vec::new() })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let garbled = |reason: String| Error::Garbled { path: path.to_owned(), reason };
        let answer = timeout(PATIENCE, async {
            let body = Limited::new(self.ask(path).await?, MAX_ANSWER);
            let whole = body.collect().await.map_err(|error| garbled(error.to_string()))?;
            Ok(whole.to_bytes())
        });
        let bytes = answer.await.unwrap_or_else(|_elapsed| Err(self.unreachable("no answer")))?;
        serde_json::from_slice(&bytes).map_err(|error| garbled(error.to_string()))
    }

    async fn ask(&self, path: &str) -> Result<Incoming> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| self.unreachable(error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.unreachable(error))?;
        // It ends with the answer's body.
        drop(tokio::spawn(connection));
        let request = Request::get(path).header(header::HOST, "docker").body(Empty::<Bytes>::new());
        let request = request.map_err(|error| self.unreachable(error))?;
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if status.is_success() {
            Ok(answer.into_body())
        } else {
            Err(Error::Refused { path: path.to_owned(), status })
        }
    }

    fn unreachable(&self, reason: impl ToString) -> Error {
        Error::Unreachable { socket: self.socket.clone(), reason: reason.to_string() }
    }
}

/// Events as they come.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    unread: Vec<u8>,
}

impl Events {
    /// Waits for the next; none comes any more where the engine has ended. Cancelling the call loses none.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>> {
        let garbled = |reason: String| Error::Garbled { path: "/events".to_owned(), reason };
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let event = serde_json::from_slice(&line);
                return event.map(Some).map_err(|error| garbled(error.to_string()));
            }
            if self.unread.len() > MAX_EVENT {
                return Err(garbled("an event has no end".to_owned()));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.unread.extend(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(garbled(error.to_string())),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_read_as_engines_of_several_ages_write_them() {
        let old = r#"{"Id": "1a", "Name": "/web", "Config": {"Labels": null}, "NetworkSettings": {"Networks": {
            "dev": {"Aliases": ["www", "1a"], "NetworkID": "5b", "EndpointID": "9c", "DriverOpts": null}}}}"#;
        let container: Container = serde_json::from_str(old).expect("a container");
        let attached = &container.network_settings.networks["dev"];
        assert_eq!((attached.network.as_str(), attached.endpoint.as_str()), ("5b", "9c"));
        assert_eq!(attached.aliases, ["www", "1a"]);
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
}
