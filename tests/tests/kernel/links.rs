//! Links, addresses and routes.

use ipnet::IpNet;
use netctl::kernel::{Error, Netlink, VethSpec};
use netctl_common::MacAddr;

use super::{host, ip, sh};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn spec(peer_side: Option<&Netlink>) -> VethSpec<'_> {
    VethSpec {
        name: "nc0123456789ab",
        peer_name: "eth0",
        peer_side,
        mtu: Some(1450),
        super_packets: Some(131_072),
        mac: Some(MAC),
        peer_mac: Some(PEER_MAC),
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_veth_pair_goes_into_a_namespace() {
    let (netns, netlink) = host().await;
    let (inner, inner_netlink) = host().await;
    let pair = netlink.create_veth(&spec(Some(&inner_netlink))).await.unwrap();
    assert!(pair.created);

    let outside = &ip(&netns, "link show nc0123456789ab")[0];
    let inside = &ip(&inner, "link show eth0")[0];
    for end in [outside, inside] {
        assert_eq!((&end["num_tx_queues"], &end["num_rx_queues"]), (&1.into(), &1.into()));
    }
    assert_eq!(outside["linkinfo"]["info_kind"], "veth");
    assert_eq!((&outside["mtu"], &inside["mtu"]), (&1450.into(), &1450.into()));
    for end in [&pair.host, &pair.peer] {
        assert_eq!((end.sizes.gso_ipv4, end.sizes.gro_ipv4), (131_072, 131_072));
    }
    assert_eq!(outside["address"], MAC.to_string());
    assert_eq!(inside["address"], PEER_MAC.to_string());
    assert_eq!(outside["link_index"], inside["ifindex"]);
    assert_eq!(inside["link_index"], outside["ifindex"]);
    assert_eq!(outside["ifindex"], pair.host.index);
    assert_eq!(inside["ifindex"], pair.peer.index);
    assert_eq!(ip(&netns, "link").as_array().unwrap().len(), 2, "the peer was never here");
    assert!(!pair.host.up && !pair.host.carrier);
    assert!(pair.host.peer.unwrap().netnsid.is_some());

    let found = netlink.ensure_veth(&spec(Some(&inner_netlink))).await.unwrap();
    assert!(!found.created);
    assert_eq!((found.host.index, found.peer.index), (pair.host.index, pair.peer.index));
    let changed = VethSpec {
        mtu: Some(1400),
        peer_mac: Some(MacAddr([2, 0, 0, 0, 0, 3])),
        ..spec(Some(&inner_netlink))
    };
    netlink.ensure_veth(&changed).await.unwrap();
    assert_eq!(ip(&netns, "link show nc0123456789ab")[0]["mtu"], 1400);
    assert_eq!(ip(&inner, "link show eth0")[0]["mtu"], 1400);
    assert_eq!(ip(&inner, "link show eth0")[0]["address"], "02:00:00:00:00:03");

    for _ in 0..2 {
        netlink.set_up(&pair.host).await.unwrap();
        inner_netlink.set_up(&pair.peer).await.unwrap();
    }
    for _ in 0..40 {
        if netlink.link_by_index(pair.host.index).await.unwrap().carrier {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let link = netlink.link_by_index(pair.host.index).await.unwrap();
    assert!(link.up && link.carrier);
    assert_eq!(ip(&netns, "link show nc0123456789ab")[0]["operstate"], "UP");

    assert!(netlink.delete_link("nc0123456789ab").await.unwrap());
    assert!(!netlink.delete_link("nc0123456789ab").await.unwrap());
    assert_eq!(ip(&inner, "link").as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_veth_pair_may_stay_in_one_namespace() {
    let (netns, netlink) = host().await;
    let spec = VethSpec { name: "nh-001000", peer_name: "np-001000", ..spec(None) };
    let pair = netlink.ensure_veth(&spec).await.unwrap();
    assert!(pair.created && !netlink.ensure_veth(&spec).await.unwrap().created);
    assert_eq!(pair.host.peer.unwrap().netnsid, None);
    assert_eq!(pair.host.peer.unwrap().index, pair.peer.index);
    assert_eq!(ip(&netns, "link show nh-001000")[0]["link"], "np-001000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_name_is_named() {
    let (netns, netlink) = host().await;
    let (inner, inner_netlink) = host().await;
    sh(&inner, "ip link add eth0 type bridge");
    let error = netlink.ensure_veth(&spec(Some(&inner_netlink))).await.unwrap_err();
    assert!(matches!(&error, Error::LinkExists { name, .. } if name == "eth0"), "{error}");
    assert!(error.to_string().contains("a bridge device"), "{error}");
    assert_eq!(ip(&netns, "link").as_array().unwrap().len(), 1, "nothing is left of the other end");

    sh(&netns, "ip link add nc0123456789ab type veth peer name elsewhere");
    let error = netlink.ensure_veth(&spec(Some(&inner_netlink))).await.unwrap_err();
    assert!(matches!(&error, Error::LinkExists { name, .. } if name == "eth0"), "{error}");
    sh(&inner, "ip link delete eth0");
    let error = netlink.ensure_veth(&spec(Some(&inner_netlink))).await.unwrap_err();
    assert!(
        matches!(&error, Error::LinkExists { name, .. } if name == "nc0123456789ab"),
        "{error}"
    );
    let elsewhere = netlink.link_by_name("elsewhere").await.unwrap();
    let error = netlink.rename(&elsewhere, "nc0123456789ab").await.unwrap_err();
    assert!(error.to_string().contains("a veth device"), "{error}");
    netlink.rename(&elsewhere, "nowhere").await.unwrap();
    assert_eq!(ip(&netns, "link show nowhere")[0]["ifindex"], elsewhere.index);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_creators_wins() {
    let (netns, netlink) = host().await;
    let other = Netlink::open(&netns).await.unwrap();
    for round in 0..20 {
        let (_inner, side_a) = host().await;
        let side_b = side_a.clone();
        let (a, b) = (netlink.clone(), other.clone());
        let first = tokio::spawn(async move {
            a.create_veth(&spec(Some(&side_a))).await.map(|pair| pair.created)
        });
        let second = tokio::spawn(async move {
            b.ensure_veth(&spec(Some(&side_b))).await.map(|pair| pair.created)
        });
        let (first, second) = (first.await.unwrap(), second.await.unwrap().unwrap());
        match first {
            Ok(_) => assert!(!second, "{round}"),
            Err(error) => {
                assert!(second && matches!(error, Error::LinkExists { .. }), "{round}: {error}");
            }
        }
        assert!(netlink.delete_link("nc0123456789ab").await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_share_a_socket() {
    let (_netns, netlink) = host().await;
    netlink.ensure_veth(&spec(None)).await.unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let netlink = netlink.clone();
            let task = tokio::spawn(async move { netlink.links().await.unwrap().len() });
            if n % 5 == 0 {
                // A caller that goes away leaves the socket usable.
                task.abort();
            }
            task
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await {
            Ok(count) => assert_eq!(count, 3),
            Err(error) => assert!(error.is_cancelled() && n % 5 == 0),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_changed() {
    let (netns, netlink) = host().await;
    sh(&netns, "ip link add br0 type bridge; ip link add p0 type veth peer name p1");
    sh(&netns, "ip link set p0 master br0");
    let (bridge, port) =
        (netlink.link_by_name("br0").await.unwrap(), netlink.link_by_name("p0").await.unwrap());
    assert_eq!(bridge.kind.as_deref(), Some("bridge"));
    for _ in 0..2 {
        netlink.set_mac(&port, MAC).await.unwrap();
        netlink.set_mtu(&port, 1400).await.unwrap();
        let shown = &ip(&netns, "link show p0")[0];
        assert_eq!(shown["address"], MAC.to_string());
        assert_eq!(shown["mtu"], 1400);
    }
    assert_eq!(netlink.link_by_name("p0").await.unwrap().master, Some(bridge.index));

    let error = netlink.set_mtu(&port, 99_999_999).await.unwrap_err().to_string();
    assert!(error.contains("p0") && error.contains("99999999"), "{error}");
    let error = netlink.link_by_name("p7").await.unwrap_err().to_string();
    assert_eq!(error, "there is no interface p7 in this network namespace");
    assert!(netlink.find_link("p7").await.unwrap().is_none());
    assert!(matches!(netlink.link_by_index(4000).await, Err(Error::LinkMissing { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_routes() {
    let (netns, netlink) = host().await;
    let pair =
        netlink.ensure_veth(&VethSpec { name: "v0", peer_name: "v1", ..spec(None) }).await.unwrap();
    netlink.set_up(&pair.host).await.unwrap();
    netlink.set_up(&pair.peer).await.unwrap();
    for _ in 0..2 {
        netlink.add_address(&pair.host, net("10.9.0.2/24")).await.unwrap();
        netlink.add_address(&pair.host, net("fd00:9::2/64")).await.unwrap();
    }
    let shown = sh(&netns, "ip -o addr show dev v0 scope global");
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(
        shown.contains("inet 10.9.0.2/24 ")
            && shown.contains("inet6 fd00:9::2/64 ")
            && shown.contains("nodad")
    );
    let listed = netlink.addresses_of(&pair.host).await.unwrap();
    assert!(listed.iter().any(|a| a.net == net("10.9.0.2/24") && a.global && !a.secondary));

    sh(&netns, "ip route add default via 10.9.0.1 dev v0; ip route add 10.8.0.0/16 dev v0");
    sh(&netns, "ip route add default via fd00:9::1 dev v0");
    let routes = netlink.routes().await.unwrap();
    let found =
        |destination: &str| *routes.iter().find(|r| r.destination == net(destination)).unwrap();
    for (destination, gateway) in
        [("0.0.0.0/0", Some("10.9.0.1")), ("10.8.0.0/16", None), ("::/0", Some("fd00:9::1"))]
    {
        let route = found(destination);
        assert_eq!(route.gateway, gateway.map(|gateway| gateway.parse().unwrap()));
        assert_eq!(route.link, Some(pair.host.index));
        assert_eq!(route.is_default(), gateway.is_some());
    }

    netlink.set_addresses(&pair.host, &[net("10.9.0.3/24")]).await.unwrap();
    let shown = sh(&netns, "ip -o addr show dev v0 scope global");
    assert!(shown.lines().count() == 1 && shown.contains("10.9.0.3/24"), "{shown}");
    assert!(netlink.delete_address(&pair.host, net("10.9.0.3/24")).await.unwrap());
    assert!(!netlink.delete_address(&pair.host, net("10.9.0.3/24")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_and_features() {
    let (netns, netlink) = host().await;
    sh(&netns, "ip link add v0 type veth peer name v1");
    let link = netlink.link_by_name("v0").await.unwrap();
    assert_eq!((link.sizes.gso_ipv4, link.sizes.gro_ipv4), (65_536, 65_536));
    netlink.set_gso_ipv4(&link, 196_608).await.unwrap();
    netlink.set_gro_ipv4(&link, 131_072).await.unwrap();
    let sizes = netlink.link_by_name("v0").await.unwrap().sizes;
    assert_eq!((sizes.gso_ipv4, sizes.gro_ipv4), (196_608, 131_072));
    let error = netlink.set_gso_ipv4(&link, sizes.tso + 1).await.unwrap_err().to_string();
    assert!(error.contains("v0") && error.contains(&(sizes.tso + 1).to_string()), "{error}");

    let feature = "tx-udp_tnl-segmentation";
    for (word, on) in [("on", true), ("off", false), ("on", true)] {
        sh(&netns, &format!("ethtool -K v0 {feature} {word}"));
        assert_eq!(netlink.has_feature("v0", feature).await.unwrap(), on);
    }
    assert!(!netlink.has_feature("v0", "no-such-feature").await.unwrap());
    assert!(netlink.has_feature("v7", feature).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarding_of_ipv6_is_forbidden_by_device() {
    let (netns, netlink) = host().await;
    let rules = || sh(&netns, "ip -6 rule");
    let before = rules();
    assert_eq!(netlink.forbidden_forwarding6().await.unwrap(), Vec::<String>::new());
    // The device need not be there, yet or any more.
    for _ in 0..2 {
        netlink.forbid_forwarding6("nh-000001").await.unwrap();
    }
    netlink.forbid_forwarding6("nh-000002").await.unwrap();
    sh(&netns, "ip -6 rule add pref 2 iif lo unreachable");
    let shown = rules();
    assert_eq!(
        shown.matches("from all iif nh-000001 [detached] unreachable").count(),
        1,
        "{shown}"
    );
    assert_eq!(netlink.forbidden_forwarding6().await.unwrap(), ["nh-000001", "nh-000002"]);
    for device in ["nh-000001", "nh-000002", "nh-000002"] {
        netlink.allow_forwarding6(device).await.unwrap();
    }
    sh(&netns, "ip -6 rule del pref 2");
    assert_eq!(rules(), before);
}
