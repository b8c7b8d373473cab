use std::net::Ipv4Addr;

use super::*;
use crate::{
    discovery::{
        Asker,
        tests::{World, asker, directory, endpoint, ip, network, world},
    },
    model::{Network, SandboxId},
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
        Resolution::Ports(list) => {
            let target = |target: &Target| format!("{}:{}", target.name, target.port);
            list.iter().map(target).collect::<Vec<_>>().join(" ")
        }
        Resolution::Forward(Outside::OfHost) => "Forward".to_owned(),
        Resolution::Forward(Outside::Meant) => "who was meant is asked".to_owned(),
        Resolution::Forward(Outside::Own(list)) => {
            list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ") + " is asked"
        }
        Resolution::NoData | Resolution::NoSuchName | Resolution::NotReady => {
            format!("{resolution:?}")
        }
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
        // Its own name, a name that nobody has, one of a network not joined.
        ("me.", "10.2.0.2"),
        ("nobody.", "Forward"),
        ("secret.", "Forward"),
        ("secret.other.", "Forward"),
        ("web.dev.example.", "Forward"),
        (".", "Forward"),
        // Published, but not attached, or on a host that is gone: nobody else's names for all that.
        ("idle.", "NoSuchName"),
        ("lost.", "NoSuchName"),
        ("web3.dev.", "NoSuchName"),
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
        ("web.dev.", RecordType::SRV, "NoData"),
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
        ("8.0.1.10.in-addr.arpa.", RecordType::PTR, "NoSuchName"),
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

#[test]
fn a_sandboxs_own_names_come_before_those_that_are_published() {
    let world = world();
    for (name, answer) in [
        // Both networks have it; prod was joined first.
        ("sql.", "10.2.0.4"),
        ("SQL.dev.", "10.1.0.3"),
        ("sql.prod.", "10.2.0.4"),
        ("own.", "10.1.0.3 10.1.0.4"),
        ("own.prod.", "Forward"),
        // It stands for a service that is not there (yet), which is nobody else's business.
        ("ghost.", "NoSuchName"),
    ] {
        assert_eq!(ask(&world, &world.dev, "10.1.0.2", name, RecordType::A), answer, "{name}");
    }
    // They are one sandbox's alone.
    assert_eq!(ask(&world, &world.dev, "10.1.0.200", "sql.", RecordType::A), "Forward");

    let dev = network("dev", "10.1.0.0/24", false);
    let far = SandboxId::random();
    let endpoints = [
        endpoint(&dev, "db", &[], &["10.1.0.3/24"], Some(&far)),
        endpoint(&dev, "test", &[], &["10.1.0.4/24"], Some(&far)),
    ];
    let me = asker(&[(&dev, "10.1.0.2", &["test:db"])]);
    let world = World { directory: directory(&[&dev], &endpoints, [me]), dev, ..world };
    assert_eq!(ask(&world, &world.dev, "10.1.0.2", "db.", RecordType::A), "10.1.0.4");
    assert_eq!(ask(&world, &world.dev, "10.1.0.9", "db.", RecordType::A), "10.1.0.3");
}

#[test]
fn ports_are_found_by_name_and_number() {
    let world = world();
    for (name, kind, answer) in [
        ("_http._tcp.web.dev.", RecordType::SRV, "Web.dev:80 Web.dev:8080"),
        ("_HTTP._TCP.Web.DEV.", RecordType::SRV, "Web.dev:80 Web.dev:8080"),
        ("_80._tcp.web.dev.", RecordType::SRV, "Web.dev:80"),
        ("_53._udp.web.dev.", RecordType::SRV, "Web.dev:53"),
        ("_80._tcp.www.", RecordType::SRV, "Web.dev:80 web2.dev:80"),
        ("_80._tcp.own.", RecordType::SRV, "Web.dev:80 web2.dev:80"),
        ("_80._tcp.www.", RecordType::A, "NoData"),
        ("_53._tcp.web.dev.", RecordType::SRV, "NoSuchName"),
        ("_080._tcp.web.dev.", RecordType::SRV, "NoSuchName"),
        ("_http._tcp.lost.", RecordType::SRV, "NoSuchName"),
        ("_http._tcp.nobody.", RecordType::SRV, "Forward"),
        ("_http._quic.web.dev.", RecordType::SRV, "Forward"),
        ("_http._tcp.web.dev.example.", RecordType::SRV, "Forward"),
        ("_http._tcp.", RecordType::SRV, "Forward"),
    ] {
        assert_eq!(ask(&world, &world.dev, "10.1.0.2", name, kind), answer, "{name} {kind}");
    }
}

#[test]
fn a_sandboxs_own_servers_are_asked_and_an_internal_one_asks_only_inside() {
    let dev = network("dev", "10.1.0.0/24", false);
    let closed = network("closed", "10.3.0.0/24", true);
    let servers = vec![ip("192.0.2.53"), ip("10.3.0.53")];
    let with = |asker: Asker| Asker { servers: servers.clone(), ..asker };
    let both = with(asker(&[(&dev, "10.1.0.2", &[]), (&closed, "10.3.0.2", &[])]));
    let inside = with(asker(&[(&closed, "10.3.0.3", &[])]));
    let alone = Asker { servers: vec![servers[0]], ..asker(&[(&closed, "10.3.0.4", &[])]) };
    let careful = Asker { qualifies: true, ..asker(&[(&dev, "10.1.0.5", &[])]) };
    let led = |asker: Asker| Asker { led: true, ..asker };
    let led_out = led(asker(&[(&dev, "10.1.0.6", &[])]));
    let led_in = led(asker(&[(&closed, "10.3.0.6", &[])]));
    let led_both = Asker { elsewhere: true, ..led(asker(&[(&closed, "10.3.0.7", &[])])) };
    let askers = [both, inside, alone, careful, led_out, led_in, led_both];
    let directory = directory(&[&dev, &closed], &[], askers);
    let world = World { dev, closed, directory, ..world() };
    let all = "192.0.2.53 10.3.0.53 is asked";
    for (network, asker, name, answer) in [
        (&world.dev, "10.1.0.2", "example.com.", all),
        (&world.closed, "10.3.0.2", "bare.", all),
        (&world.closed, "10.3.0.3", "example.com.", "10.3.0.53 is asked"),
        (&world.closed, "10.3.0.4", "example.com.", "NoSuchName"),
        (&world.dev, "10.1.0.5", "bare.", "NoSuchName"),
        (&world.dev, "10.1.0.5", "example.com.", "Forward"),
        (&world.dev, "10.1.0.6", "example.com.", "who was meant is asked"),
        (&world.closed, "10.3.0.6", "example.com.", "NoSuchName"),
        (&world.closed, "10.3.0.7", "example.com.", "who was meant is asked"),
    ] {
        assert_eq!(ask(&world, network, asker, name, RecordType::A), answer, "{name} by {asker}");
    }
}
