//! Which device the underlay is.

use netctl::kernel::{Error, Link, find_underlay};

use super::{host, sh};

#[tokio::test(flavor = "multi_thread")]
async fn found_by_name_by_route_or_as_the_only_one() {
    let (netns, netlink) = host().await;
    let own = |link: &Link| link.name.starts_with("nh-");
    sh(
        &netns,
        "ip link add nh-1 type bridge; ip link set nh-1 up; ip addr add 10.0.0.1/24 dev nh-1",
    );
    assert!(matches!(find_underlay(&netlink, None, own).await, Err(Error::NoUnderlay)));

    sh(&netns, "ip link add u0 mtu 1400 type veth peer name u1 mtu 1400; ip link set u1 up");
    let error = find_underlay(&netlink, Some("u0"), own).await.unwrap_err();
    assert!(matches!(error, Error::UnderlayDown { .. }), "{error}");
    sh(&netns, "ip link set u0 up");
    let error = find_underlay(&netlink, Some("u0"), own).await.unwrap_err().to_string();
    assert!(error.contains("the interface u0 has no IPv4 address"), "{error}");
    let error = find_underlay(&netlink, Some("eth7"), own).await.unwrap_err().to_string();
    assert!(
        error.contains("eth7") && error.contains("choose one of u1, u0 with --bind-interface"),
        "{error}"
    );

    sh(&netns, "ip addr add 192.0.2.1/24 dev u0");
    let only = find_underlay(&netlink, None, own).await.unwrap();
    assert_eq!((only.name.as_str(), only.mtu), ("u0", 1400));
    assert_eq!(only.address.to_string(), "192.0.2.1");

    sh(&netns, "ip addr add 198.51.100.1/24 dev u1");
    let error = find_underlay(&netlink, None, own).await.unwrap_err().to_string();
    assert!(
        error.contains("u0") && error.contains("u1") && error.contains("--bind-interface"),
        "{error}"
    );
    sh(&netns, "ip route add default via 198.51.100.254");
    assert_eq!(find_underlay(&netlink, None, own).await.unwrap().name, "u1");
    assert_eq!(find_underlay(&netlink, Some("u0"), own).await.unwrap().name, "u0");
}
