//! Answers that cannot be used.

use super::*;

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
        let error = plugin
            .join(&network(), &endpoint(), Path::new("/x"), &Ports::default())
            .await
            .expect_err("unusable");
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
            .create_endpoint(&network(), &endpoint(), &interface, &Ports::default())
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
