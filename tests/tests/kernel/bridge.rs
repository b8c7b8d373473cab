//! Bridges that are down, and what their ports gain.

use std::net::{Ipv4Addr, UdpSocket};

use netctl::kernel::{Error, Link, Netlink, Netns, VethSpec};

use super::{host, ip, sh};

/// What a bridge takes from vxlan over IPv6 (`vxlan_headroom` and an Ethernet header: 84 bytes), in steps of
/// `LL_RESERVED_SPACE`: from 16 bytes to 112.
const GAIN: usize = 96;

/// A bridge that is down, with a vxlan device that is down.
async fn headroom(netlink: &Netlink) -> Link {
    let bridge = netlink.ensure_bridge("hr0").await.unwrap();
    let asker = netlink.ensure_idle_vxlan("hv0", 1, 1).await.unwrap();
    assert!(netlink.set_master(&asker, &bridge).await.unwrap());
    bridge
}

/// A namespace with `eth0`, up, joined to `port` of the host, which is up.
async fn container(netlink: &Netlink, port: &str, address: &str) -> Netns {
    let (inner, inside) = host().await;
    let spec = VethSpec {
        name: port,
        peer_name: "eth0",
        peer_side: Some(&inside),
        mtu: None,
        super_packets: None,
        mac: None,
        peer_mac: None,
    };
    let pair = netlink.create_veth(&spec).await.unwrap();
    netlink.set_up(&pair.host).await.unwrap();
    sh(&inner, &format!("ip addr add {address}/24 dev eth0; ip link set eth0 up"));
    inner
}

#[tokio::test(flavor = "multi_thread")]
async fn bridges_and_their_ports() {
    let (netns, netlink) = host().await;
    for _ in 0..2 {
        headroom(&netlink).await;
    }
    let shown = &ip(&netns, "link show hv0")[0];
    assert_eq!(shown["master"], "hr0");
    assert_eq!(shown["linkinfo"]["info_data"]["id"], 1);
    for name in ["hr0", "hv0"] {
        assert_eq!(ip(&netns, &format!("link show {name}"))[0]["operstate"], "DOWN");
    }
    sh(
        &netns,
        "ip link add other type bridge; ip link add p0 type veth; ip link set p0 master other",
    );
    let (port, bridge) =
        (netlink.link_by_name("p0").await.unwrap(), netlink.link_by_name("hr0").await.unwrap());
    assert!(netlink.set_master(&port, &bridge).await.unwrap());
    assert_eq!(ip(&netns, "link show p0")[0]["master"], "hr0");

    let error = netlink.ensure_bridge("p0").await.unwrap_err();
    assert!(matches!(&error, Error::LinkExists { name, .. } if name == "p0"), "{error}");
    let error = netlink.ensure_idle_vxlan("p0", 2, 1).await.unwrap_err();
    assert!(matches!(&error, Error::LinkExists { name, .. } if name == "p0"), "{error}");
    // Another device of that VNI and port is in the way.
    let error = netlink.ensure_idle_vxlan("hv1", 1, 1).await.unwrap_err();
    assert!(error.to_string().contains("hv1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_bridge_says_so() {
    let (netns, netlink) = host().await;
    let bridge = headroom(&netlink).await;
    // 511 pairs are 1022 ports, and the vxlan device is one.
    let pairs = "link add a$n master hr0 type veth peer name b$n; echo link set b$n master hr0";
    sh(&netns, &format!("for n in $(seq 0 510); do echo {pairs}; done | ip -batch -"));
    sh(&netns, "ip link add last type veth peer name other");
    let last = netlink.link_by_name("last").await.unwrap();
    assert!(!netlink.set_master(&last, &bridge).await.unwrap());
    netlink.delete_link("a0").await.unwrap();
    assert!(netlink.set_master(&last, &bridge).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_a_bridge_that_is_down_do_not_reach_each_other() {
    let (netns, netlink) = host().await;
    let bridge = headroom(&netlink).await;
    let near = container(&netlink, "p1", "10.9.0.1").await;
    let far = container(&netlink, "p2", "10.9.0.2").await;
    for port in ["p1", "p2"] {
        let port = netlink.link_by_name(port).await.unwrap();
        assert!(netlink.set_master(&port, &bridge).await.unwrap());
    }
    let ping = |netns: &Netns| sh(netns, "ping -n -c 3 -i 0.1 -W 1 10.9.0.1 || true");
    assert!(ping(&far).contains("100% packet loss"));
    // That it is for the bridge's being down is seen when it is up.
    sh(&netns, "ip link set hr0 type bridge forward_delay 0; ip link set hr0 up");
    assert!(ping(&far).contains(" 0% packet loss"));
    drop(near);
}

/// A packet that waits for its neighbour's address is charged to its socket with the size of its head, which goes up
/// where the payload no longer fits the smaller one: earlier by as much as is kept free before the packet.
#[tokio::test(flavor = "multi_thread")]
async fn packets_of_a_port_have_headroom() {
    let (_netns, netlink) = host().await;
    let inner = container(&netlink, "p1", "10.9.0.1").await;
    let plain = largest_in_a_small_head(&inner, 1);
    let bridge = headroom(&netlink).await;
    let port = netlink.link_by_name("p1").await.unwrap();
    assert!(netlink.set_master(&port, &bridge).await.unwrap());
    let roomy = largest_in_a_small_head(&inner, 100);
    assert_eq!(plain - roomy, GAIN, "{plain} and {roomy} bytes");
}

/// The largest payload whose packet is charged no more than one of a byte; asks for neighbours from `first` on.
fn largest_in_a_small_head(netns: &Netns, first: u8) -> usize {
    let mut last = first;
    let mut charged = |payload: usize| {
        // Any port: a process that another test just starts has a copy of the socket before, for a moment.
        let socket = netns.run_blocking(|| UdpSocket::bind("10.9.0.1:0").unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        last += 1;
        socket.send_to(&vec![0; payload], (Ipv4Addr::new(10, 9, 0, last), 6000)).unwrap();
        let shown = sh(netns, &format!("ss -Hunam 'sport = {port}'"));
        let charge = shown.split(",t").nth(1).and_then(|rest| rest.split(',').next());
        charge.unwrap_or_else(|| panic!("{shown}")).parse::<u32>().unwrap()
    };
    let small = charged(1);
    let (mut fits, mut not) = (1, 1400);
    assert!(charged(not) > small);
    while not - fits > 1 {
        let middle = usize::midpoint(fits, not);
        if charged(middle) == small {
            fits = middle;
        } else {
            not = middle;
        }
    }
    fits
}
