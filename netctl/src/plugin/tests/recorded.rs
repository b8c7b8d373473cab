//! Requests are those that Docker was recorded to send.

use super::*;

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
    let mac = plugin
        .create_endpoint(&network, &endpoint, &interface, &Ports::default())
        .await
        .expect("done");
    assert_eq!(mac.map(|mac| mac.to_string()).as_deref(), Some("02:42:0a:58:00:02"));
    let sandbox = Path::new("/var/run/docker/netns/75620348689b");
    let answer = plugin.join(&network, &endpoint, sandbox, &Ports::default()).await.expect("done");
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
    plugin.program_connectivity(&network, &endpoint, &Ports::default()).await.expect("done");
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
        assert_eq!(
            plugin.create_endpoint(&network, &endpoint, &interface, &Ports::default()).await,
            Ok(None)
        );
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
