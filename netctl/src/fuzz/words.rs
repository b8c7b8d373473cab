//! Words of the command line, and of everything else that is written as one.

use std::{fmt::Display, str::FromStr};

use super::same_again;
use crate::{
    controller::ReapAfter,
    ipam::DefaultPool,
    model::{
        CniName, DeviceName, EndpointId, EngineNetworkId, ExposedPort, GatewayMode, HostEntry,
        HostName, LinkAlias, MacAddr, Name, Peer, PublishedPort, RangeSpec, ResolverOption,
        SearchDomain, ServiceRef, Sysctl,
    },
    store::StoreSpec,
};

/// What is read is printed, and read as the same.
fn word<T: FromStr + Display + PartialEq + std::fmt::Debug>(corpus: &[&str]) {
    let read = |text: &[u8]| str::from_utf8(text).ok()?.parse::<T>().ok();
    same_again(corpus, read, |value| value.to_string().into_bytes());
}

#[test]
fn names_are_printed_as_they_are_read() {
    word::<Name>(&["web", "Web-1_a"]);
    word::<HostName>(&["h1.example.org", "h1"]);
    word::<CniName>(&["0123abc", "a.b_c-d"]);
    word::<DeviceName>(&["eth0", "a-b.c"]);
    word::<ServiceRef>(&["web", "web.dev", "web.dev.overlay"]);
    word::<LinkAlias>(&["db:web"]);
    word::<EndpointId>(&["0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]);
    word::<EngineNetworkId>(&["0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]);
}

#[test]
fn addresses_and_ports_are_printed_as_they_are_read() {
    word::<MacAddr>(&["02:42:0a:00:00:02"]);
    word::<PublishedPort>(&["80", "8080:80/udp", "127.0.0.1:8000-8010:80/tcp", "[::1]:53:53/udp"]);
    word::<ExposedPort>(&["80/tcp", "53/udp:dns"]);
    word::<RangeSpec>(&["10.0.0.0/25", "h1=10.0.0.0/25"]);
    word::<Peer>(&["10.1.2.0/24@192.0.2.2"]);
    word::<DefaultPool>(&["10.64.0.0/10,16"]);
}

#[test]
fn settings_are_printed_as_they_are_read() {
    word::<StoreSpec>(&[
        "file",
        "file:/var/lib/netctl/store.db",
        "etcd:http://10.0.0.1:2379,http://10.0.0.2:2379",
    ]);
    word::<ReapAfter>(&["15m", "900s", "2h", "7d", "never"]);
    word::<GatewayMode>(&["nat", "routed"]);
}

#[test]
fn what_sandboxes_are_given_is_printed_as_it_is_read() {
    word::<SearchDomain>(&["example.org", "."]);
    word::<ResolverOption>(&["ndots:2", "use-vc"]);
    word::<HostEntry>(&["db:10.0.0.9", "db:::1"]);
    word::<Sysctl>(&["net.ipv4.conf.IFNAME.forwarding=1"]);
}
