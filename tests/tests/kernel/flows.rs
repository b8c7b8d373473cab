//! Looking flows up that are led elsewhere than they were sent.

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use netctl::kernel::FlowEnd;
use tokio::time::timeout;

use super::{host, sh};

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_is_led_here_is_known_by_who_began_it() {
    let (netns, _) = host().await;
    sh(
        &netns,
        "ip link set lo up; ip addr add 192.0.2.1/32 dev lo; ip addr add 2001:db8::1/128 dev lo nodad",
    );
    sh(
        &netns,
        "nft 'table inet t { chain c { type nat hook output priority -100; udp dport 53 redirect to :5353; }; }'",
    );
    let flows = netns.flows().await.unwrap();
    for (here, meant) in [("127.0.0.1:5353", "192.0.2.1:53"), ("[::1]:5353", "[2001:db8::1]:53")] {
        let (here, meant): (SocketAddr, SocketAddr) =
            (here.parse().unwrap(), meant.parse().unwrap());
        let (server, asker) = netns
            .run_blocking(|| {
                let server = UdpSocket::bind(here).unwrap();
                server.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                let any = if here.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let asker = UdpSocket::bind(any).unwrap();
                asker.send_to(b"?", meant).unwrap();
                (server, asker)
            })
            .unwrap();
        let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
        let end = |at: SocketAddr| FlowEnd { address: at.ip(), protocol: 17, port: at.port() };
        let asked = timeout(Duration::from_secs(2), flows.asked(from, end(here)));
        assert_eq!(asked.await.unwrap().unwrap(), Some(end(meant)));
        // Nobody else's flow, and none that is not led.
        let other = SocketAddr::new(from.ip(), from.port() ^ 1);
        let asked = timeout(Duration::from_secs(2), flows.asked(other, end(here)));
        assert_eq!(asked.await.unwrap().unwrap(), None);
        drop(asker);
    }
}
