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
    assert!(error.contains("the interface u0 has no address to reach other hosts by"), "{error}");
    let error = find_underlay(&netlink, Some("eth7"), own).await.unwrap_err().to_string();
    assert!(
        error.contains("eth7") && error.contains("choose one of u1, u0 with --bind-interface"),
        "{error}"
    );

    sh(&netns, "ip addr add 192.0.2.1/24 dev u0");
    let only = find_underlay(&netlink, None, own).await.unwrap();
    assert_eq!((only.name.as_str(), only.mtu), ("u0", 1400));
    assert_eq!((only.v4, only.v6), (Some([192, 0, 2, 1].into()), None));

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

#[tokio::test(flavor = "multi_thread")]
async fn has_addresses_of_both_families_that_last() {
    let (netns, netlink) = host().await;
    let none = |_: &Link| false;
    sh(&netns, "ip link add u0 type veth peer name u1; ip link set u1 up; ip link set u0 up");
    // None of these is one to be reached by for long.
    sh(
        &netns,
        "ip addr add fe80::77/64 dev u0 nodad; \
         ip addr add 2001:db8::d/64 dev u0 nodad valid_lft 600 preferred_lft 0",
    );
    let error = find_underlay(&netlink, Some("u0"), none).await.unwrap_err();
    assert!(matches!(error, Error::UnderlayWithoutAddress { .. }), "{error}");

    // Not known yet to be unique, which is waited for.
    sh(&netns, "ip addr add 2001:db8::1/64 dev u0");
    assert!(sh(&netns, "ip -6 addr show dev u0 tentative").contains("2001:db8::1"));
    let over_ipv6 = find_underlay(&netlink, None, none).await.unwrap();
    let address = "2001:db8::1".parse().unwrap();
    assert_eq!((over_ipv6.v4, over_ipv6.v6), (None, Some(address)));

    // One that comes later does not take its place, and one of IPv4 stands beside it.
    sh(&netns, "ip addr add 2001:db8::2/64 dev u0 nodad; ip addr add 192.0.2.1/24 dev u0");
    let both = find_underlay(&netlink, Some("u0"), none).await.unwrap();
    assert_eq!((both.v4, both.v6), (Some([192, 0, 2, 1].into()), Some(address)));

    sh(&netns, "ip addr add 2001:db8:1::1/64 dev u1 nodad; ip -6 route add default dev u1");
    let by_route = find_underlay(&netlink, None, none).await.unwrap();
    assert_eq!(by_route.name, "u1", "the default route of IPv6 counts where there is none of IPv4");
}
