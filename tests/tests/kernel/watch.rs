//! Changes of a link are seen.

use std::time::Duration;

use netctl::kernel::{LinkState, LinkWatch};
use tokio::time::timeout;

use super::{host, sh};

async fn next(watch: &mut LinkWatch) -> Option<LinkState> {
    timeout(Duration::from_secs(3), watch.changed())
        .await
        .expect("no change was seen")
        .unwrap()
        .cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_seen_once() {
    let (netns, netlink) = host().await;
    let mut watch = LinkWatch::open(&netlink, "u0").await.unwrap();
    assert_eq!(watch.state(), None);
    sh(&netns, "ip link add u0 type veth peer name u1");
    let state = next(&mut watch).await.unwrap();
    assert!((state.mtu, state.up) == (1500, false), "{state:?}");
    sh(&netns, "ip link set u1 up; ip link set u0 up mtu 1400; ip addr add 192.0.2.1/24 dev u0");
    let state = next(&mut watch).await.unwrap();
    assert!(state.up && state.mtu == 1400 && state.has("192.0.2.1".parse().unwrap()), "{state:?}");
    // Its carrier may come later.
    while timeout(Duration::from_millis(300), watch.changed()).await.is_ok() {}
    sh(&netns, "ip link set u1 mtu 1300; ip link add x0 type bridge; ip link set u0 alias quiet");
    assert!(timeout(Duration::from_millis(500), watch.changed()).await.is_err(), "nothing changed");

    sh(&netns, "for mtu in 1390 1380 1370 1360; do ip link set u0 mtu $mtu; done");
    assert_eq!(next(&mut watch).await.unwrap().mtu, 1360, "a burst is one change");
    sh(&netns, "ip addr del 192.0.2.1/24 dev u0");
    assert!(next(&mut watch).await.unwrap().addresses.is_empty());
    sh(&netns, "ip link set u0 down");
    assert!(!next(&mut watch).await.unwrap().up);
    sh(&netns, "ip link del u0");
    assert_eq!(next(&mut watch).await, None);
    assert_eq!(watch.state(), None);
}
