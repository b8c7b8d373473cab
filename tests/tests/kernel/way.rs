//! The way to another host, and hearing of its changes.

use std::{net::IpAddr, time::Duration};

use netctl::kernel::{Change, Monitor, Netlink, Netns, Way};
use netctl_common::MacAddr;
use tokio::time::timeout;

use super::{host, sh};

const SOON: Duration = Duration::from_secs(5);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A host with `eth0` 192.0.2.1 and `2001:db8::1`, whose other end is 192.0.2.2 and `2001:db8::2` in a namespace
/// of its own; and the number of `eth0`.
async fn joined() -> (Netns, Netlink, Netns, u32) {
    let (netns, netlink) = host().await;
    let (other, other_side) = host().await;
    let spec = netctl::kernel::VethSpec {
        name: "eth0",
        peer_name: "eth0",
        peer_side: Some(&other_side),
        mtu: None,
        super_packets: None,
        mac: None,
        peer_mac: Some(MacAddr([2, 0, 0, 0, 0, 2])),
    };
    let pair = netlink.create_veth(&spec).await.unwrap();
    for (netns, last) in [(&netns, 1), (&other, 2)] {
        sh(
            netns,
            &format!(
                "ip addr add 192.0.2.{last}/24 dev eth0; ip addr add 2001:db8::{last}/64 dev eth0 nodad; \
                 ip link set eth0 up"
            ),
        );
    }
    (netns, netlink, other, pair.host.index)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_has_one_neighbour_or_none() {
    let (netns, netlink, _other, link) = joined().await;
    sh(
        &netns,
        "ip route add 10.1.0.0/24 via 192.0.2.9 mtu 1400; ip route add 2001:db8:1::/64 via 2001:db8::9
         ip route add 10.2.0.0/24 nexthop via 192.0.2.8 nexthop via 192.0.2.9
         ip route add 2001:db8:2::/64 nexthop via 2001:db8::8 dev eth0 nexthop via 2001:db8::9 dev eth0
         ip route add blackhole 10.3.0.0/24
         ip route add 10.4.0.0/24 via inet6 2001:db8::9 dev eth0
         ip nexthop add id 7 via 192.0.2.7 dev eth0; ip route add 10.5.0.0/24 nhid 7
         ip nexthop add id 8 via 192.0.2.8 dev eth0; ip nexthop add id 9 group 7/8
         ip route add 10.6.0.0/24 nhid 9",
    );
    let to = |neighbour: Option<&str>, mtu| Some(Way { neighbour: neighbour.map(address), mtu });
    for (destination, expected) in [
        ("192.0.2.2", to(Some("192.0.2.2"), None)),
        ("2001:db8::2", to(Some("2001:db8::2"), None)),
        ("10.1.0.1", to(Some("192.0.2.9"), Some(1400))),
        ("2001:db8:1::1", to(Some("2001:db8::9"), None)),
        ("10.2.0.1", to(None, None)),
        ("2001:db8:2::1", to(None, None)),
        ("10.3.0.1", None),
        ("10.4.0.1", to(None, None)),
        ("10.5.0.1", to(Some("192.0.2.7"), None)),
        ("10.6.0.1", to(None, None)),
        ("192.0.2.1", None),
        ("10.9.0.1", None),
    ] {
        let source = if destination.contains(':') { "2001:db8::1" } else { "192.0.2.1" };
        let way = netlink.way(address(destination), address(source), link).await.unwrap();
        assert_eq!(way, expected, "{destination}");
    }
    assert_eq!(netlink.way(address("192.0.2.2"), address("192.0.2.77"), link).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_look_at_packets_are_told_from_others() {
    let (netns, netlink, _other, _) = joined().await;
    assert!(!netlink.rules_look_at_packets().await.unwrap());
    for (rule, looks) in [
        ("from 192.0.2.0/24 table 7", false),
        ("to 192.0.2.0/24 oif eth0 table 7", false),
        ("fwmark 1 table 7", true),
        ("tos 0x10 table 7", true),
        ("ipproto udp dport 4789 table 7", true),
    ] {
        for family in ["-4", "-6"] {
            let rule = if family == "-6" {
                rule.replace("192.0.2.0/24", "2001:db8::/64")
            } else {
                rule.to_owned()
            };
            sh(&netns, &format!("ip {family} rule add {rule}"));
            assert_eq!(netlink.rules_look_at_packets().await.unwrap(), looks, "{family} {rule}");
            sh(&netns, &format!("ip {family} rule del {rule}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_that_is_used_is_looked_for() {
    let (netns, netlink, other, link) = joined().await;
    let to = address("192.0.2.2");
    assert_eq!(netlink.station(link, to).await.unwrap(), None);
    netlink.use_neighbour(link, to).await.unwrap();
    assert_eq!(netlink.station(link, to).await.unwrap(), None, "it is not made by being used");

    sh(&netns, "ip neigh add 192.0.2.2 dev eth0 lladdr 02:00:00:00:00:02 nud stale");
    let station = netlink.station(link, to).await.unwrap().unwrap();
    assert!(station.stale && station.mac == MacAddr([2, 0, 0, 0, 0, 2]));
    netlink.use_neighbour(link, to).await.unwrap();
    assert!(!netlink.station(link, to).await.unwrap().unwrap().stale);

    // It has another address since, and nobody has said so.
    sh(&netns, "echo 1 > /proc/sys/net/ipv4/neigh/eth0/delay_first_probe_time");
    sh(&netns, "echo 100 > /proc/sys/net/ipv4/neigh/eth0/retrans_time_ms");
    sh(&other, "ip link set eth0 address 02:00:00:00:00:03");
    sh(&netns, "ip neigh replace 192.0.2.2 dev eth0 lladdr 02:00:00:00:00:02 nud stale");
    netlink.use_neighbour(link, to).await.unwrap();
    for _ in 0..100 {
        if netlink.station(link, to).await.unwrap().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{}", sh(&netns, "ip neigh"));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_heard_of() {
    let (netns, netlink, _other, link) = joined().await;
    let mut monitor = Monitor::open(&netlink).await.unwrap();
    let neighbour = Change::Neighbour { link, address: address("192.0.2.9") };
    let route = |net: &str| Change::Route(net.parse().unwrap());
    for (command, expected) in [
        ("ip neigh add 192.0.2.9 dev eth0 lladdr 02:00:00:00:00:09", neighbour),
        ("ip neigh del 192.0.2.9 dev eth0", neighbour),
        ("ip route add 10.1.0.0/24 via 192.0.2.9", route("10.1.0.0/24")),
        ("ip route del 10.1.0.0/24", route("10.1.0.0/24")),
        ("ip route add 2001:db8:1::/64 via 2001:db8::9", route("2001:db8:1::/64")),
        ("ip route add default via 192.0.2.9", Change::Other),
        ("ip rule add from 10.0.0.0/8 table 7", Change::Other),
        ("ip nexthop add id 7 via 192.0.2.7 dev eth0", Change::Other),
        ("ip addr add 192.0.2.77/24 dev eth0", Change::Link(link)),
        ("ip link set eth0 mtu 1400", Change::Link(link)),
        ("ip link set eth0 down", Change::Link(link)),
    ] {
        while timeout(Duration::from_millis(50), monitor.changes()).await.is_ok() {}
        sh(&netns, command);
        let heard = async { while !monitor.changes().await.unwrap().contains(&expected) {} };
        timeout(SOON, heard).await.expect(command);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_changes_are_an_error() {
    let (netns, netlink, _other, _) = joined().await;
    let mut monitor = Monitor::open(&netlink).await.unwrap();
    sh(
        &netns,
        "for i in $(seq 1 40); do seq 1 250 | sed \"s|.*|route replace 10.$i.&.0/24 dev eth0|\"; done | ip -batch -",
    );
    let heard = async { while monitor.changes().await.is_ok() {} };
    timeout(SOON, heard).await.expect("changes were lost");
    sh(&netns, "ip route add 10.200.0.0/24 via 192.0.2.9");
    timeout(SOON, monitor.changes()).await.expect("later ones are heard of").unwrap();
}
