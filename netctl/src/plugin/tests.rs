//! Calls over a real socket, against what Docker was recorded to send to a plugin.

mod recorded;
mod socket;
mod unusable;

use std::{fs, path::Path};

use self::socket::{Does, Socket};
use super::*;
use crate::model::{EndpointId, MacAddr, NetworkId};

const OK: Does = Does::Answers(200, "{}");

const NETWORK: &str = "19d4b4d86dadaa6cf72c645acbfd283657894972f3a23084d7470b7cb9573651";
const ENDPOINT: &str = "60b123e7424ba0d8e966f26e4cc336141add6c367225ac133a9c3fd4ed0de6f2";
const IS_BOTH: Does = Does::Answers(200, r#"{"Implements":["NetworkDriver","IpamDriver"]}"#);
const IS_LOCAL: Does = Does::Answers(200, r#"{"Scope":"local","ConnectivityScope":"global"}"#);
const HAS_SPACES: Does =
    Does::Answers(200, r#"{"LocalDefaultAddressSpace":"l","GlobalDefaultAddressSpace":"g"}"#);
const NEEDS_MAC: Does =
    Does::Answers(200, r#"{"RequiresMACAddress":true,"RequiresRequestReplay":true}"#);

fn network() -> NetworkId {
    NETWORK.parse().expect("an identifier")
}

fn endpoint() -> EndpointId {
    ENDPOINT.parse().expect("an identifier")
}

fn net(text: &str) -> ipnet::IpNet {
    text.parse().expect("a subnet")
}

/// The calls and bodies of `docker-remote-calls.jsonl` under these numbers, as Go writes them.
fn recorded(number: usize) -> String {
    let of = format!(r#""NetworkID":"{NETWORK}","EndpointID":"{ENDPOINT}""#);
    let ports = r#""Options":{"com.docker.network.endpoint.exposedports":[],"com.docker.network.portmap":[]}"#;
    match number {
        5 => r#"{"AddressSpace":"l","Pool":"","SubPool":"","Options":{},"V6":false}"#.to_owned(),
        6 => r#"{"PoolID":"l/10.88.0.0/24","Address":"","Options":{"RequestAddressType":"com.docker.network.gateway"}}"#.to_owned(),
        7 => format!(r#"{{"NetworkID":"{NETWORK}","Options":{{"com.docker.network.enable_ipv6":false,"com.docker.network.generic":{{}}}},"IPv4Data":[{{"AddressSpace":"l","Gateway":"10.88.0.1/24","Pool":"10.88.0.0/24"}}],"IPv6Data":[]}}"#),
        8 => r#"{"PoolID":"l/10.88.0.0/24","Address":"","Options":null}"#.to_owned(),
        9 => format!(r#"{{{of},"Interface":{{"Address":"10.88.0.2/24","AddressIPv6":"","MacAddress":""}},{ports}}}"#),
        10 => format!(r#"{{{of},"SandboxKey":"/var/run/docker/netns/75620348689b",{ports}}}"#),
        11 => format!("{{{of},{ports}}}"),
        12 | 47 | 48 | 72 => format!("{{{of}}}"),
        25 => format!(r#"{{{of},"Interface":{{"Address":"10.90.0.77/24","AddressIPv6":"","MacAddress":"02:de:ad:be:ef:01"}},"Options":{{"com.docker.network.endpoint.exposedports":[],"com.docker.network.endpoint.macaddress":"At6tvu8B","com.docker.network.portmap":[]}}}}"#),
        49 => r#"{"PoolID":"l/10.88.0.0/24","Address":"10.90.0.66"}"#.to_owned(),
        120 => format!(r#"{{{of},"Interface":{{"Address":"10.91.0.2/24","AddressIPv6":"","MacAddress":""}},"Options":{{}}}}"#),
        479 => r#"{"PoolID":"l/10.88.0.0/24","Address":"","Options":{"com.docker.network.endpoint.macaddress":"02:de:ad:be:ef:07"}}"#.to_owned(),
        508 => r#"{"PoolID":"l/10.88.0.0/24"}"#.to_owned(),
        511 => format!(r#"{{"NetworkID":"{NETWORK}"}}"#),
        other => unreachable!("{other} is not written down here"),
    }
}

fn driver(method: &str, number: usize) -> (String, String) {
    (format!("/NetworkDriver.{method}"), recorded(number))
}

fn ipam(method: &str, number: usize) -> (String, String) {
    (format!("/IpamDriver.{method}"), recorded(number))
}

fn data() -> AddressData {
    AddressData {
        address_space: "l".to_owned(),
        aux_addresses: BTreeMap::new(),
        gateway: net("10.88.0.1/24"),
        pool: net("10.88.0.0/24"),
    }
}

fn interface(address: &str) -> RequestedInterface {
    RequestedInterface { address: Some(net(address)), ..RequestedInterface::default() }
}

#[tokio::test]
async fn what_a_plugin_is_is_found_out_once_and_anew_where_it_was_lost() {
    let ipam = Does::Answers(200, r#"{"Implements":["IpamDriver"]}"#);
    let elsewhere = Does::Answers(200, r#"{"Scope":"swarm"}"#);
    let socket = Socket::new(&[
        ipam,
        Does::Answers(200, "{}"),
        IS_BOTH,
        elsewhere,
        IS_BOTH,
        IS_LOCAL,
        OK,
        Does::Dies,
    ]);
    let plugins = socket.plugins(1);
    let error =
        |found: Result<NetworkPlugin, Error>| found.map(drop).expect_err("not one").to_string();
    assert_eq!(
        error(plugins.network("p").await),
        "plugin p is no NetworkDriver: it says that it is IpamDriver"
    );
    assert_eq!(
        error(plugins.network("p").await),
        "plugin p is no NetworkDriver: it says that it is nothing"
    );
    assert_eq!(
        error(plugins.network("p").await),
        "plugin p has the scope \"swarm\": netctl knows local and global"
    );
    for _ in 0..2 {
        plugins.network("p").await.expect("it is one");
    }
    let plugin = plugins.network("p").await.expect("it is one");
    plugin.delete_network(&network()).await.expect("done");
    let lost = plugin.delete_network(&network()).await.expect_err("it dies").to_string();
    let at = socket.dir.path().join("p.sock");
    assert!(
        lost.starts_with(&format!(
            "plugin p cannot be reached at {} for NetworkDriver.DeleteNetwork: ",
            at.display()
        )),
        "{lost}"
    );
    fs::remove_file(&at).expect("removed");
    let dir = socket.dir.path().display();
    assert_eq!(
        error(plugins.network("p").await),
        format!("there is no plugin p: neither p.sock nor p.spec nor p.json is in {dir}")
    );
}

#[tokio::test]
async fn a_plugin_that_stalls_is_not_waited_for() {
    let socket = Socket::new(&[IS_BOTH, IS_LOCAL, Does::Stalls, OK]);
    let plugin = socket.plugins(1).network("p").await.expect("it is one");
    let error = plugin.delete_network(&network()).await.expect_err("it stalls").to_string();
    assert_eq!(error, "plugin p has not answered NetworkDriver.DeleteNetwork within 1 s");
}

#[tokio::test]
async fn a_plugin_that_dies_is_asked_again() {
    let socket = Socket::new(&[IS_BOTH, IS_LOCAL, Does::Dies, OK]);
    let plugin = socket.plugins(5).network("p").await.expect("it is one");
    plugin.delete_network(&network()).await.expect("it is back");
    assert_eq!(socket.bodies()[2..], [driver("DeleteNetwork", 511), driver("DeleteNetwork", 511)]);
}
