//! The flow-based vxlan device, and who else may hold its port.

use std::net::UdpSocket;

use netctl::kernel::Error;

use super::{host, ip, sh};

#[tokio::test(flavor = "multi_thread")]
async fn made_once_per_name_and_port() {
    let (netns, netlink) = host().await;
    let link = netlink.ensure_flow_vxlan("netctl-vx", 4789).await.unwrap();
    assert_eq!(netlink.ensure_flow_vxlan("netctl-vx", 4789).await.unwrap().index, link.index);
    let shown = &ip(&netns, "link show netctl-vx")[0];
    let data = &shown["linkinfo"]["info_data"];
    assert_eq!(shown["linkinfo"]["info_kind"], "vxlan");
    assert_eq!(
        (&data["external"], &data["port"], &data["learning"]),
        (&true.into(), &4789.into(), &false.into())
    );
    assert_eq!(
        (&data["udp_zero_csum6_tx"], &data["udp_zero_csum6_rx"]),
        (&true.into(), &true.into()),
        "{data}"
    );
    let ports = &data["port_range"];
    assert_eq!((&ports["low"], &ports["high"]), (&49_152.into(), &65_535.into()), "{data}");
    assert!(shown["flags"].as_array().unwrap().contains(&"UP".into()), "{shown}");
    let sockets = sh(&netns, "ss -Hlun 'sport = 4789'");
    assert!(sockets.contains("0.0.0.0:4789") && sockets.contains("[::]:4789"), "{sockets}");

    let error = netlink.ensure_flow_vxlan("netctl-vx", 8472).await.unwrap_err();
    assert!(matches!(error, Error::LinkExists { .. }), "{error}");
    assert!(error.to_string().contains("UDP port 4789"), "{error}");
    let error = netlink.ensure_flow_vxlan("another", 4789).await.unwrap_err().to_string();
    assert!(error.contains("UDP port 4789 is taken by the vxlan device netctl-vx"), "{error}");
    netlink.ensure_flow_vxlan("another", 8472).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_on_the_port_is_named_and_nothing_left() {
    let (netns, netlink) = host().await;
    sh(
        &netns,
        "ip link add vx42 type vxlan id 42 dstport 4789 local 127.0.0.1 && ip link set vx42 up",
    );
    let error = netlink.ensure_flow_vxlan("netctl-vx", 4789).await.unwrap_err().to_string();
    assert!(error.contains("UDP port 4789 is taken by the vxlan device vx42"), "{error}");
    assert!(netlink.find_link("netctl-vx").await.unwrap().is_none());

    let _socket = netns.run(|| UdpSocket::bind("0.0.0.0:8472").unwrap()).await.unwrap();
    let error = netlink.ensure_flow_vxlan("netctl-vx", 8472).await.unwrap_err().to_string();
    assert!(error.contains("UDP port 8472 is taken by the socket of another program"), "{error}");
    assert!(netlink.find_link("netctl-vx").await.unwrap().is_none());

    sh(&netns, "ip link add netctl-vx type bridge");
    let error = netlink.ensure_flow_vxlan("netctl-vx", 4790).await.unwrap_err().to_string();
    assert!(error.contains("netctl-vx") && error.contains("a bridge device"), "{error}");
}
