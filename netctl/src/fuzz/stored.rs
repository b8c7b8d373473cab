//! What is in the store: others may have written there.

use serde_json::json;

use super::{each, json_same_again};
use crate::{
    ipam::Hold,
    model::{
        DaemonNote, Endpoint, EngineEndpoint, EngineNetwork, EnginePool, Host, Network, NetworkId,
    },
};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn endpoints_are_read_as_they_were_written() {
    let owner = json!({
        "host": "h1.example", "sandbox": ID, "vteps": ["192.0.2.1", "2001:db8::1"],
        "takes_along": true,
    });
    let plain = json!({
        "schema": 1, "id": ID, "network": ID, "name": "web", "aliases": ["www"], "mac": "02:42:0a:00:00:02",
        "addresses": ["10.0.0.2/24", "fd00::2/64"], "bridging": false, "owner": owner, "created": 1700000000,
    });
    let mut full = plain.clone();
    full["exposed"] = json!(["80/tcp", "53/udp:dns"]);
    full["ports"] = json!(["127.0.0.1:8080:80/tcp", "53/udp"]);
    full["vtep"] = json!("192.0.2.7");
    full["container"] = json!("c0ffee");
    full["owner"] = json!(null);
    json_same_again::<Endpoint>(&[&plain.to_string(), &full.to_string()]);
}

#[test]
fn networks_are_read_as_they_were_written() {
    let plain = json!({
        "schema": 1, "id": ID, "name": "dev", "host": null, "driver": "overlay",
        "subnets": [
            {"cidr": "10.0.0.0/24", "range": "10.0.0.128/25", "gateway": "10.0.0.1",
             "host_ranges": {"h1": "10.0.0.64/26"}, "aux": {"router": "10.0.0.9"}},
            {"cidr": "fd00::/64", "range": null, "gateway": "fd00::1"},
        ],
        "vni": 4096, "gateway_mac": "02:42:0a:00:00:01", "internal": true, "options": {"mtu": "1400"},
        "labels": {"a": "b"}, "created": 1700000000,
    });
    json_same_again::<Network>(&[&plain.to_string()]);
}

#[test]
fn hosts_and_what_engines_have_are_read_as_they_were_written() {
    let host = json!({
        "schema": 1, "id": ID, "name": "h1", "vteps": ["192.0.2.1"], "vxlan_port": 4789, "mtu": 1500,
        "version": "0.1.0", "started": 1,
    });
    json_same_again::<Host>(&[&host.to_string()]);
    let pool = json!({
        "schema": 1, "cidr": "10.0.0.0/24", "range": null, "name": "dev", "network": ID, "asked": 1,
    });
    json_same_again::<EnginePool>(&[&pool.to_string()]);
    let network = json!({"schema": 1, "network": ID, "pools": ["local/10.0.0.0/24"], "created": 1});
    json_same_again::<EngineNetwork>(&[&network.to_string()]);
    let endpoint = json!({"schema": 1, "network": ID, "engine_network": ID, "created": 1});
    json_same_again::<EngineEndpoint>(&[&endpoint.to_string()]);
    json_same_again::<NetworkId>(&[&json!(ID).to_string()]);
}

#[test]
fn notes_of_daemons_are_read_or_refused() {
    each(&[r#"{"host":"h1","state_dir":"/var/lib/netctl"}"#], |text| {
        drop(serde_json::from_slice::<DaemonNote>(text));
    });
}

#[test]
fn who_has_an_address_is_read_as_it_was_written() {
    let corpus = ["held 1700000000 host h1.example", "held 1 swarm"];
    super::same_again(&corpus, Hold::read, |hold| hold.to_string().into_bytes());
}
