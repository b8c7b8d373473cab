//! Calls over a real socket, against what Docker was recorded to send to a plugin.

use std::{fs, path::Path, sync::Mutex as StdMutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
    task::JoinHandle,
};

use super::*;
use crate::model::{EndpointId, MacAddr, NetworkId};

/// What a socket does with a connection.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Answers with this status and body.
    Answers(u16, &'static str),
    /// Takes the request and ends.
    Dies,
    /// Takes the request and says nothing.
    Stalls,
}

const OK: Does = Does::Answers(200, "{}");

/// A socket that does one thing after another, and keeps what it was sent.
struct Socket {
    dir: tempfile::TempDir,
    requests: Arc<StdMutex<Vec<(String, String)>>>,
    task: JoinHandle<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Socket {
    fn new(does: &[Does]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(dir.path().join("p.sock")).expect("bound");
        let requests = Arc::<StdMutex<Vec<(String, String)>>>::default();
        let (kept, does) = (Arc::clone(&requests), does.to_vec());
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            for does in does {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let mut piece = [0; 4096];
                    let length = stream.read(&mut piece).await.expect("read");
                    assert!(length > 0, "the request breaks off");
                    request.extend_from_slice(&piece[..length]);
                }
                let text = String::from_utf8(request).expect("text");
                let (head, body) = text.split_once("\r\n\r\n").expect("whole");
                kept.lock().expect("nobody panicked").push((head.to_owned(), body.to_owned()));
                match does {
                    Does::Answers(status, body) => {
                        let length = body.len();
                        let text = format!(
                            "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}"
                        );
                        stream.write_all(text.as_bytes()).await.expect("written");
                    }
                    Does::Dies => {}
                    Does::Stalls => held.push(stream),
                }
            }
            // Who comes now finds nobody.
            drop(listener);
            std::future::pending::<()>().await;
        });
        Self { dir, requests, task }
    }

    fn plugins(&self, patience: u64) -> Plugins {
        Plugins::new(vec![self.dir.path().to_owned()], Duration::from_secs(patience))
    }

    fn bodies(&self) -> Vec<(String, String)> {
        let requests = self.requests.lock().expect("nobody panicked");
        let path = |head: &str| head.split(' ').nth(1).unwrap_or_default().to_owned();
        requests.iter().map(|(head, body)| (path(head), body.clone())).collect()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
    });
    body.len() >= length.unwrap_or(0)
}

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
async fn an_endpoint_comes_and_goes_as_docker_has_it() {
    let made = Does::Answers(200, r#"{"Interface":{"MacAddress":"02:42:0a:58:00:02"}}"#);
    let joined = Does::Answers(
        200,
        r#"{"InterfaceName":{"SrcName":"dkc60b123e","DstPrefix":"eth"},"Gateway":"10.88.0.1",
            "StaticRoutes":[{"Destination":"10.200.0.0/16","RouteType":1,"NextHop":""},
            {"Destination":"fd01::/64","NextHop":"fd00::1"}],"DisableGatewayService":true}"#,
    );
    let info = Does::Answers(200, r#"{"Value":{"dkn.Info":"x"}}"#);
    let unknown = Does::Answers(404, "404 page not found");
    let does = [IS_BOTH, IS_LOCAL, OK, made, joined, OK, info, unknown, OK, OK, OK];
    let socket = Socket::new(&does);
    let plugin = socket.plugins(5).network("p").await.expect("it is one");
    let (scope, connectivity) = (PluginScope::Local, PluginScope::Global);
    assert_eq!(plugin.capabilities(), Capabilities { scope, connectivity });
    let (network, endpoint) = (network(), endpoint());
    let options = BTreeMap::from([
        ("com.docker.network.generic".to_owned(), serde_json::json!({})),
        ("com.docker.network.enable_ipv6".to_owned(), false.into()),
    ]);
    let (ipv4, ipv6) = (vec![data()], Vec::new());
    let request = NetworkRequest { network: network.clone(), options, ipv4, ipv6 };
    plugin.create_network(&request).await.expect("done");
    let interface = interface("10.88.0.2/24");
    let mac = plugin.create_endpoint(&network, &endpoint, &interface).await.expect("done");
    assert_eq!(mac.map(|mac| mac.to_string()).as_deref(), Some("02:42:0a:58:00:02"));
    let sandbox = Path::new("/var/run/docker/netns/75620348689b");
    let answer = plugin.join(&network, &endpoint, sandbox).await.expect("done");
    let ip = |text: &str| text.parse().expect("an address");
    let expected = JoinAnswer {
        device: Some("dkc60b123e".to_owned()),
        prefix: "eth".to_owned(),
        gateways: Gateways { v4: Some(ip("10.88.0.1")), v6: None },
        routes: vec![
            StaticRoute { destination: net("10.200.0.0/16"), next_hop: None },
            StaticRoute { destination: net("fd01::/64"), next_hop: Some(ip("fd00::1")) },
        ],
        no_gateway_service: true,
    };
    assert_eq!(answer, expected);
    plugin.program_connectivity(&network, &endpoint).await.expect("done");
    let info = plugin.endpoint_info(&network, &endpoint).await.expect("done");
    assert_eq!(info, BTreeMap::from([("dkn.Info".to_owned(), "x".into())]));
    plugin.revoke_connectivity(&network, &endpoint).await.expect("it need not know of that");
    plugin.leave(&network, &endpoint).await.expect("done");
    plugin.delete_endpoint(&network, &endpoint).await.expect("done");
    plugin.delete_network(&network).await.expect("done");
    let expected = [
        ("/Plugin.Activate".to_owned(), String::new()),
        ("/NetworkDriver.GetCapabilities".to_owned(), String::new()),
        driver("CreateNetwork", 7),
        driver("CreateEndpoint", 9),
        driver("Join", 10),
        driver("ProgramExternalConnectivity", 11),
        driver("EndpointOperInfo", 12),
        driver("RevokeExternalConnectivity", 72),
        driver("Leave", 47),
        driver("DeleteEndpoint", 48),
        driver("DeleteNetwork", 511),
    ];
    assert_eq!(socket.bodies(), expected);
}

#[tokio::test]
async fn further_calls_are_as_docker_has_them() {
    let none = Does::Answers(200, r#"{"Interface":{}}"#);
    let allocated = Does::Answers(200, r#"{"Options":{"dkn.VNI":"4242"}}"#);
    let null = Does::Answers(200, "null");
    let socket = Socket::new(&[IS_BOTH, IS_LOCAL, none, null, OK, OK, OK, allocated, OK]);
    let plugin = socket.plugins(5).network("p").await.expect("it is one");
    let (network, endpoint) = (network(), endpoint());
    let mac = Some("02:de:ad:be:ef:01".parse().expect("an address"));
    let wanted = RequestedInterface { mac, mac_wanted: true, ..interface("10.90.0.77/24") };
    let internal = RequestedInterface { internal: true, ..interface("10.91.0.2/24") };
    for interface in [wanted, internal] {
        assert_eq!(plugin.create_endpoint(&network, &endpoint, &interface).await, Ok(None));
    }
    let node = |own, address: &str| NodeData { address: address.parse().expect("one"), own };
    plugin.discover_new(node(true, "198.18.1.1")).await.expect("done");
    plugin.discover_new(node(false, "198.18.1.2")).await.expect("done");
    plugin.discover_delete(node(false, "198.18.1.2")).await.expect("done");
    let asked = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let given = plugin.allocate_network(&network, &asked, [&[data()], &[]]).await.expect("done");
    assert_eq!(given, BTreeMap::from([("dkn.VNI".to_owned(), "4242".to_owned())]));
    plugin.free_network(&network).await.expect("done");
    let discovered = |call: &str, node: &str| {
        let body = format!(r#"{{"DiscoveryType":1,"DiscoveryData":{node}}}"#);
        (format!("/NetworkDriver.Discover{call}"), body)
    };
    let other = r#"{"Address":"198.18.1.2","BindAddress":"","Self":false}"#;
    let allocation = format!(
        r#"{{"NetworkID":"{NETWORK}","Options":{{"a":"b"}},"IPv4Data":[{{"AddressSpace":"l","Gateway":"10.88.0.1/24","Pool":"10.88.0.0/24"}}],"IPv6Data":null}}"#
    );
    let expected = [
        driver("CreateEndpoint", 25),
        driver("CreateEndpoint", 120),
        discovered("New", r#"{"Address":"198.18.1.1","BindAddress":"198.18.1.1","Self":true}"#),
        discovered("New", other),
        discovered("Delete", other),
        ("/NetworkDriver.AllocateNetwork".to_owned(), allocation),
        driver("FreeNetwork", 511),
    ];
    assert_eq!(socket.bodies()[2..], expected);
    let requests = socket.requests.lock().expect("nobody panicked");
    let (head, _) = requests.first().expect("one");
    let mut lines: Vec<String> = head.lines().map(str::to_ascii_lowercase).collect();
    lines.sort();
    let expected = [
        "accept: application/vnd.docker.plugins.v1.2+json",
        "content-length: 0",
        "host: plugin.moby.localhost",
        "post /plugin.activate http/1.1",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn ipam_drivers_are_asked_as_docker_asks_them() {
    let pool = Does::Answers(
        200,
        r#"{"PoolID":"l/10.88.0.0/24","Pool":"10.88.0.0/24","Data":{"dkn.data":"1"}}"#,
    );
    let address = |text| Does::Answers(200, text);
    let does = [
        IS_BOTH,
        NEEDS_MAC,
        HAS_SPACES,
        pool,
        address(r#"{"Address":"10.88.0.1/24","Data":{}}"#),
        address(r#"{"Address":"10.88.0.2/24"}"#),
        address(r#"{"Address":"10.88.0.3"}"#),
        OK,
        OK,
    ];
    let socket = Socket::new(&does);
    let plugin = socket.plugins(5).ipam("p").await.expect("it is one");
    assert!(plugin.capabilities().requires_mac && plugin.capabilities().requires_replay);
    assert_eq!(plugin.spaces().global, "g");
    let space = plugin.spaces().local.clone();
    let request = PoolRequest {
        space: &space,
        pool: None,
        range: None,
        options: &BTreeMap::new(),
        v6: false,
    };
    let pool = plugin.request_pool(&request).await.expect("a pool");
    assert_eq!(
        pool,
        RequestedPool {
            id: "l/10.88.0.0/24".to_owned(),
            subnet: net("10.88.0.0/24"),
            gateway: None
        }
    );
    let mac: MacAddr = "02:de:ad:be:ef:07".parse().expect("an address");
    for (purpose, address) in [
        (Purpose::Gateway, "10.88.0.1"),
        (Purpose::Endpoint { mac: None }, "10.88.0.2"),
        (Purpose::Endpoint { mac: Some(mac) }, "10.88.0.3"),
    ] {
        let given = plugin.request_address(&pool, None, purpose).await.expect("an address");
        assert_eq!(given.to_string(), address);
    }
    plugin
        .release_address(&pool.id, "10.90.0.66".parse().expect("an address"))
        .await
        .expect("done");
    plugin.release_pool(&pool.id).await.expect("done");
    assert_eq!(
        socket.bodies()[3..],
        [
            ipam("RequestPool", 5),
            ipam("RequestAddress", 6),
            ipam("RequestAddress", 8),
            ipam("RequestAddress", 479),
            ipam("ReleaseAddress", 49),
            ipam("ReleasePool", 508),
        ]
    );
}

#[tokio::test]
async fn answers_that_cannot_be_used_say_why() {
    const JOIN: &str = "plugin p answered NetworkDriver.Join with what cannot be used: ";
    let unusable =
        |body: &'static str, reason: &str| (Does::Answers(200, body), format!("{JOIN}{reason}"));
    for (does, message) in [
        (
            Does::Answers(200, r#"{"Err":"boom"}"#),
            "plugin p refuses NetworkDriver.Join: boom".to_owned(),
        ),
        (
            Does::Answers(500, r#"{"Err":"boom"}"#),
            "plugin p refuses NetworkDriver.Join: boom".to_owned(),
        ),
        (Does::Answers(500, "a\nb"), "plugin p refuses NetworkDriver.Join: a b".to_owned()),
        (
            Does::Answers(503, ""),
            "plugin p refuses NetworkDriver.Join: 503 Service Unavailable".to_owned(),
        ),
        (Does::Answers(404, "no"), "plugin p does not know NetworkDriver.Join".to_owned()),
        unusable("", "it is empty"),
        unusable("<html>", "expected value at line 1 column 1"),
        unusable(
            r#"{"InterfaceName":{"SrcName":"a/b"}}"#,
            "SrcName \"a/b\" is no name of a device",
        ),
        unusable(
            r#"{"InterfaceName":{"SrcName":"a","DstPrefix":"much-too-long"}}"#,
            "DstPrefix \"much-too-long\" is no beginning of a device's name",
        ),
        unusable(r#"{"Gateway":"fd00::1"}"#, "Gateway \"fd00::1\" is no address of a router"),
        unusable(r#"{"GatewayIPv6":"::"}"#, "GatewayIPv6 \"::\" is no address of a router"),
        unusable(r#"{"Gateway":7}"#, "gateway: invalid type: integer `7`, expected a string"),
        unusable(
            r#"{"StaticRoutes":[{"Destination":"x"}]}"#,
            "route Destination \"x\" is no subnet",
        ),
        unusable(
            r#"{"StaticRoutes":[{"Destination":"10.0.0.0/8"}]}"#,
            "the route to 10.0.0.0/8 has no NextHop",
        ),
        unusable(
            r#"{"StaticRoutes":[{"Destination":"10.0.0.0/8","RouteType":2}]}"#,
            "the route to 10.0.0.0/8 is of RouteType 2",
        ),
        unusable(
            r#"{"StaticRoutes":[{"Destination":"10.0.0.0/8","RouteType":1,"NextHop":"10.0.0.1"}]}"#,
            "the route to 10.0.0.0/8 is connected and has a NextHop",
        ),
        unusable(
            r#"{"StaticRoutes":[{"Destination":"10.0.0.0/8","NextHop":"fd00::1"}]}"#,
            "NextHop \"fd00::1\" is no address of a router",
        ),
    ] {
        let socket = Socket::new(&[IS_BOTH, IS_LOCAL, does]);
        let plugin = socket.plugins(5).network("p").await.expect("it is one");
        let error =
            plugin.join(&network(), &endpoint(), Path::new("/x")).await.expect_err("unusable");
        assert_eq!(error.to_string(), message, "{does:?}");
    }
    const CREATE: &str =
        "plugin p answered NetworkDriver.CreateEndpoint with what cannot be used: ";
    for (body, reason) in [
        (
            r#"{"Interface":{"Address":"10.0.0.9/24"}}"#,
            "it changes the Address, which it was given, to 10.0.0.9/24",
        ),
        (
            r#"{"Interface":{"AddressIPv6":"fd00::9/64"}}"#,
            "it gives the AddressIPv6 fd00::9/64, which the network has no subnet for",
        ),
        (
            r#"{"Interface":{"MacAddress":"01:00:00:00:00:00"}}"#,
            "MacAddress \"01:00:00:00:00:00\" is no MAC address that a host can have",
        ),
        (
            r#"{"Interface":{"MacAddress":"x"}}"#,
            "MacAddress \"x\" is no MAC address that a host can have",
        ),
    ] {
        let socket = Socket::new(&[IS_BOTH, IS_LOCAL, Does::Answers(200, body)]);
        let plugin = socket.plugins(5).network("p").await.expect("it is one");
        let interface = RequestedInterface {
            address: Some(net("10.0.0.2/24")),
            ..RequestedInterface::default()
        };
        let error = plugin
            .create_endpoint(&network(), &endpoint(), &interface)
            .await
            .expect_err("unusable");
        assert_eq!(error.to_string(), format!("{CREATE}{reason}"));
    }
}

#[tokio::test]
async fn pools_and_addresses_that_cannot_be_used_say_why() {
    const POOL: &str = "plugin p answered IpamDriver.RequestPool with what cannot be used: ";
    const ADDRESS: &str = "plugin p answered IpamDriver.RequestAddress with what cannot be used: ";
    let spaces = BTreeMap::new();
    for (body, taken, message) in [
        (
            r#"{"Error":"no pool"}"#,
            None,
            "plugin p refuses IpamDriver.RequestPool: no pool".to_owned(),
        ),
        (r#"{"Pool":"10.0.0.0/24"}"#, None, format!("{POOL}it has no PoolID")),
        (
            r#"{"PoolID":"a","Pool":"fd00::/64"}"#,
            Some("a"),
            format!("{POOL}Pool \"fd00::/64\" is no IPv4 subnet"),
        ),
        (
            r#"{"PoolID":"a","Pool":"10.0.0.1/24"}"#,
            Some("a"),
            format!("{POOL}Pool \"10.0.0.1/24\" is no IPv4 subnet"),
        ),
        (
            r#"{"PoolID":"a","Pool":"10.0.1.0/24"}"#,
            Some("a"),
            format!("{POOL}Pool 10.0.1.0/24 is another than 10.0.0.0/24, which it was asked for"),
        ),
        (
            r#"{"PoolID":"a","Pool":"10.0.0.0/24","Data":{"com.docker.network.gateway":"10.1.0.1/24"}}"#,
            Some("a"),
            format!("{POOL}gateway \"10.1.0.1/24\" is no address of pool 10.0.0.0/24"),
        ),
    ] {
        let socket = Socket::new(&[IS_BOTH, NEEDS_MAC, HAS_SPACES, Does::Answers(200, body)]);
        let plugin = socket.plugins(5).ipam("p").await.expect("it is one");
        let request = PoolRequest {
            space: "l",
            pool: Some(net("10.0.0.0/24")),
            range: None,
            options: &spaces,
            v6: false,
        };
        let (id, error) = plugin.request_pool(&request).await.expect_err("unusable");
        assert_eq!((id.as_deref(), error.to_string()), (taken, message));
    }
    let pool = RequestedPool { id: "a".to_owned(), subnet: net("10.0.0.0/24"), gateway: None };
    for (body, taken, message) in [
        (
            r#"{"Error":"full"}"#,
            None,
            "plugin p refuses IpamDriver.RequestAddress: full".to_owned(),
        ),
        ("{}", None, format!("{ADDRESS}Address \"\" is no address")),
        (
            r#"{"Address":"10.0.1.2/24"}"#,
            Some("10.0.1.2"),
            format!("{ADDRESS}Address 10.0.1.2 is not of pool 10.0.0.0/24"),
        ),
        (
            r#"{"Address":"10.0.0.3/24"}"#,
            Some("10.0.0.3"),
            format!("{ADDRESS}Address 10.0.0.3 is another than 10.0.0.2, which it was asked for"),
        ),
    ] {
        let socket = Socket::new(&[IS_BOTH, NEEDS_MAC, HAS_SPACES, Does::Answers(200, body)]);
        let plugin = socket.plugins(5).ipam("p").await.expect("it is one");
        let wanted = Some("10.0.0.2".parse().expect("an address"));
        let (given, error) =
            plugin.request_address(&pool, wanted, Purpose::Gateway).await.expect_err("unusable");
        assert_eq!((given.map(|a| a.to_string()).as_deref(), error.to_string()), (taken, message));
    }
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
