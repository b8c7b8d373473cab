use std::net::Ipv4Addr;

use super::*;
use crate::{
    discovery::tests::{World, ip, world},
    model::Network,
};

/// Questions and answers as text, asked by `asker` in `network`.
fn ask(world: &World, network: &Network, asker: &str, name: &str, kind: RecordType) -> String {
    let name = Name::from_ascii(name).expect("a name");
    let resolution = world.directory.resolve(&network.id, ip(asker), &name, kind);
    match &resolution {
        Resolution::Addresses(list) => {
            list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
        Resolution::Names(list) => list.join(" "),
        Resolution::NoData
        | Resolution::NoSuchName
        | Resolution::Forward
        | Resolution::NotReady => format!("{resolution:?}"),
    }
}

#[test]
fn a_name_is_looked_up_in_the_networks_joined_in_their_order() {
    let world = world();
    for (name, answer) in [
        // Both have it; prod was joined first.
        ("web.", "10.2.0.3"),
        ("web.dev.", "10.1.0.3"),
        ("WEB.DEV.", "10.1.0.3"),
        ("web.prod.", "10.2.0.3"),
        ("db.", "10.2.0.4"),
        ("db.dev.", "Forward"),
        ("www.", "10.1.0.3 10.1.0.4"),
        ("wWw.dev.", "10.1.0.3 10.1.0.4"),
        // Its own name, a name that nobody has, one that is not attached, one of a network not joined.
        ("me.", "10.2.0.2"),
        ("nobody.", "Forward"),
        ("idle.", "Forward"),
        ("secret.", "Forward"),
        ("secret.other.", "Forward"),
        ("web.dev.example.", "Forward"),
        (".", "Forward"),
    ] {
        for (network, asker) in [(&world.dev, "10.1.0.2"), (&world.prod, "10.2.0.2")] {
            assert_eq!(ask(&world, network, asker, name, RecordType::A), answer, "{name}");
        }
    }
}

#[test]
fn a_name_that_is_ours_is_never_asked_for_elsewhere() {
    let world = world();
    for (name, kind, answer) in [
        ("web.dev.", RecordType::AAAA, "fd00::3"),
        ("web.prod.", RecordType::AAAA, "NoData"),
        ("db.", RecordType::AAAA, "NoData"),
        ("db.", RecordType::ANY, "NoData"),
        ("db.", RecordType::MX, "NoData"),
        ("db.", RecordType::Unknown(65000), "NoData"),
        ("db.", RecordType::PTR, "NoData"),
    ] {
        assert_eq!(ask(&world, &world.dev, "10.1.0.2", name, kind), answer, "{name} {kind}");
    }
}

#[test]
fn addresses_have_names_in_the_networks_joined() {
    let world = world();
    for (name, kind, answer) in [
        ("3.0.1.10.in-addr.arpa.", RecordType::PTR, "Web.dev"),
        ("3.0.2.10.IN-ADDR.ARPA.", RecordType::PTR, "web.prod"),
        ("3.0.2.10.in-addr.arpa.", RecordType::A, "NoData"),
        ("77.0.1.10.in-addr.arpa.", RecordType::PTR, "NoSuchName"),
        ("9.0.1.10.in-addr.arpa.", RecordType::PTR, "NoSuchName"),
        ("2.0.4.10.in-addr.arpa.", RecordType::PTR, "Forward"),
        ("8.8.8.8.in-addr.arpa.", RecordType::PTR, "Forward"),
        ("1.10.in-addr.arpa.", RecordType::PTR, "Forward"),
        ("x.0.1.10.in-addr.arpa.", RecordType::PTR, "Forward"),
        (
            "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
            RecordType::PTR,
            "Web.dev",
        ),
    ] {
        assert_eq!(ask(&world, &world.dev, "10.1.0.2", name, kind), answer, "{name} {kind}");
    }
}

#[test]
fn an_internal_network_has_no_outside() {
    let world = world();
    for (name, answer) in [
        ("shut.", "10.3.0.2"),
        ("db.closed.", "10.3.0.3"),
        ("example.com.", "NoSuchName"),
        ("web.", "NoSuchName"),
    ] {
        assert_eq!(ask(&world, &world.closed, "10.3.0.2", name, RecordType::A), answer, "{name}");
    }
}

#[test]
fn an_asker_that_is_not_known_sees_the_network_that_it_asks_in() {
    let world = world();
    let asked = |network, name| ask(&world, network, "10.1.0.200", name, RecordType::A);
    assert_eq!(asked(&world.dev, "web."), "10.1.0.3");
    assert_eq!(asked(&world.dev, "db."), "Forward");
    assert_eq!(asked(&world.closed, "example.com."), "NoSuchName");
    let name = Name::from_ascii("web.").expect("a name");
    let asker = Ipv4Addr::UNSPECIFIED.into();
    let unknown = world.directory.resolve(&NetworkId::random(), asker, &name, RecordType::A);
    assert_eq!(unknown, Resolution::NotReady);
}
