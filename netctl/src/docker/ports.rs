//! Published ports, as libnetwork tells them (`types.PortBinding`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::model::PublishedPort;

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

/// The ports that options say are to be published.
pub(super) fn published(options: &BTreeMap<String, Value>) -> Result<Vec<PublishedPort>, String> {
    let bindings: Vec<Binding> = match options.get(PORTS) {
        None | Some(Value::Null) => Vec::new(),
        Some(ports) => {
            Deserialize::deserialize(ports).map_err(|error| format!("{PORTS}: {error}"))?
        }
    };
    bindings
        .iter()
        .map(|binding| read(binding).map_err(|error| format!("{PORTS}: {error}")))
        .collect()
}

/// By the text that people write for it, which has one meaning.
fn read(binding: &Binding) -> Result<PublishedPort, String> {
    let Binding { proto, port, host_ip, host_port, host_port_end } = binding;
    let proto = match proto {
        6 => "tcp",
        17 => "udp",
        132 => "sctp",
        other => return Err(format!("protocol {other} has no ports")),
    };
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
