//! The engine's own API, which tells what the plugin protocol does not.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

/// How long an engine may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes: some hundred bytes for each container.
const ANSWER: usize = 64 << 20;

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

    /// What it answers to a question.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, EngineError> {
        let unreachable = |source| EngineError::Unreachable { socket: self.socket.clone(), source };
        let garbled = |reason: String| EngineError::Garbled {
            socket: self.socket.clone(),
            path: path.to_owned(),
            reason,
        };
        let exchange = async {
            let stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
            let broken = |error: hyper::Error| unreachable(io::Error::other(error));
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
            let connection = tokio::spawn(connection);
            let request = Request::get(path)
                .header(header::HOST, "docker")
                .body(Empty::<Bytes>::new())
                .map_err(|error| garbled(error.to_string()))?;
            let answer = sender.send_request(request).await.map_err(broken)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER).collect().await;
            connection.abort();
            let body = body.map_err(|error| garbled(error.to_string()))?.to_bytes();
            match status {
                StatusCode::OK => {
                    serde_json::from_slice(&body).map_err(|error| garbled(error.to_string()))
                }
                StatusCode::NOT_FOUND => Err(EngineError::Missing { path: path.to_owned() }),
                other => Err(garbled(format!("{other} {}", String::from_utf8_lossy(&body)))),
            }
        };
        let late = || unreachable(io::ErrorKind::TimedOut.into());
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_late| Err(late()))
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

    #[tokio::test]
    async fn an_engine_that_is_away_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("docker.sock");
        let error = Engine::new(&socket).networks().await.expect_err("nobody listens").to_string();
        let expected = format!("Docker cannot be reached at {}: No such file", socket.display());
        assert!(error.starts_with(&expected), "{error}");
    }
}
