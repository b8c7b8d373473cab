//! Ports, as libnetwork tells them: published ones (`types.PortBinding`) and exposed ones (`types.TransportPort`).

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::model::{ExposedPort, PublishedPort, Transport};

const EXPOSED: &str = "com.docker.network.endpoint.exposedports";
const PORTS: &str = "com.docker.network.portmap";

/// One port of a container, and those of the host that it is to have one of.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Binding {
    /// The number of the IP protocol.
    proto: u8,
    port: u16,
    #[serde(rename = "HostIP")]
    host_ip: String,
    host_port: u16,
    host_port_end: u16,
}

/// One port that a container listens on.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Listening {
    proto: u8,
    port: u16,
}

/// The ports that options say are listened on.
pub(super) fn exposed(options: &BTreeMap<String, Value>) -> Result<Vec<ExposedPort>, String> {
    let all: Vec<Listening> = list(options, EXPOSED)?;
    let read = |listening: &Listening| {
        let text = format!("{}/{}", listening.port, protocol(listening.proto)?);
        text.parse().map_err(|error: crate::model::ExposedPortError| error.to_string())
    };
    all.iter()
        .map(|listening| read(listening).map_err(|error| format!("{EXPOSED}: {error}")))
        .collect()
}

/// The ports that options say are to be published.
pub(super) fn published(options: &BTreeMap<String, Value>) -> Result<Vec<PublishedPort>, String> {
    let bindings: Vec<Binding> = list(options, PORTS)?;
    bindings
        .iter()
        .map(|binding| read(binding).map_err(|error| format!("{PORTS}: {error}")))
        .collect()
}

/// The list that an option is; none where it is not there.
fn list<T: DeserializeOwned>(
    options: &BTreeMap<String, Value>,
    option: &str,
) -> Result<Vec<T>, String> {
    match options.get(option) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(ports) => {
            Deserialize::deserialize(ports).map_err(|error| format!("{option}: {error}"))
        }
    }
}

/// The IP protocol of this number, as people write it.
fn protocol(number: u8) -> Result<Transport, String> {
    let all = [Transport::Tcp, Transport::Udp, Transport::Sctp];
    let found = all.into_iter().find(|transport| transport.number() == number);
    found.ok_or_else(|| format!("protocol {number} has no ports"))
}

/// By the text that people write for it, which has one meaning.
fn read(binding: &Binding) -> Result<PublishedPort, String> {
    let Binding { proto, port, host_ip, host_port, host_port_end } = binding;
    let proto = protocol(*proto)?;
    let host_ip = if host_ip.contains(':') { format!("[{host_ip}]") } else { host_ip.clone() };
    let ports = match (*host_port, *host_port_end) {
        (0, _) => String::new(),
        (first, last) if last > first => format!("{first}-{last}"),
        (first, _) => first.to_string(),
    };
    let text = format!("{host_ip}:{ports}:{port}/{proto}");
    text.parse().map_err(|error: crate::model::PublishedPortError| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(ports: Value) -> Result<Vec<String>, String> {
        let options = BTreeMap::from([(PORTS.to_owned(), ports)]);
        Ok(published(&options)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn any_options_are_read_or_refused() {
        let corpus = [
            r#"{"com.docker.network.portmap":[{"Proto":6,"IP":"","Port":80,"HostIP":"127.0.0.1",
                "HostPort":8080,"HostPortEnd":8090}],
                "com.docker.network.endpoint.exposedports":[{"Proto":17,"Port":53}]}"#,
            r#"{"com.docker.network.portmap":[]}"#,
        ];
        crate::fuzz::each(&corpus, |text| {
            let Ok(options) = serde_json::from_slice::<BTreeMap<String, Value>>(text) else {
                return;
            };
            drop(exposed(&options));
            for port in published(&options).into_iter().flatten() {
                assert_eq!(port.to_string().parse(), Ok(port));
            }
        });
    }

    #[test]
    fn ports_are_read_as_people_write_them() {
        let ports = json!([
            {"Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 18080, "HostPortEnd": 18080},
            {"Proto": 17, "IP": "", "Port": 53, "HostIP": "127.0.0.1", "HostPort": 15353, "HostPortEnd": 15353},
            {"Proto": 6, "Port": 81, "HostIP": "::1", "HostPort": 8000, "HostPortEnd": 8010},
            {"Proto": 132, "Port": 82, "HostIP": "0.0.0.0", "HostPort": 0, "HostPortEnd": 0},
        ]);
        let expected = [
            "18080:80/tcp",
            "127.0.0.1:15353:53/udp",
            "[::1]:8000-8010:81/tcp",
            "0.0.0.0::82/sctp",
        ];
        assert_eq!(read(ports), Ok(expected.map(str::to_owned).to_vec()));
        for none in [json!([]), Value::Null] {
            assert_eq!(read(none), Ok(Vec::new()));
        }
    }

    #[test]
    fn ports_that_are_listened_on_are_read() {
        let read = |ports: Value| {
            let exposed = exposed(&BTreeMap::from([(EXPOSED.to_owned(), ports)]))?;
            Ok(exposed.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let ports = json!([{"Proto": 6, "Port": 80}, {"Proto": 17, "Port": 53}]);
        let expected = ["80/tcp", "53/udp"].map(str::to_owned).to_vec();
        assert_eq!(read(ports), Ok::<_, String>(expected));
        let error = read(json!([{"Proto": 6, "Port": 0}])).expect_err("no port");
        assert!(
            error.starts_with("com.docker.network.endpoint.exposedports: port \"0/tcp\": "),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_port_is_told() {
        for (ports, reason) in [
            (json!({"a": 1}), "com.docker.network.portmap: invalid type: map"),
            (
                json!([{"Proto": 1, "Port": 80}]),
                "com.docker.network.portmap: protocol 1 has no ports",
            ),
            (json!([{"Proto": 6, "Port": 0}]), "com.docker.network.portmap: port \"::0/tcp\": "),
            (
                json!([{"Proto": 6, "Port": 80, "HostIP": "x"}]),
                "com.docker.network.portmap: port \"x::80/tcp\": ",
            ),
        ] {
            let error = read(ports).expect_err(reason);
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
