//! Names, asked for by real resolvers in namespaces.
//!
//! ```text
//!   a  10.1.0.2 ── 10.1.0.1 nh-a ┐          network dev,    web is 10.1.0.3
//!   b  10.1.0.2 ── 10.1.0.1 nh-b ├ host     network twin,   web is 10.1.0.77: same subnet, same gateway
//!   c  10.3.0.2 ── 10.3.0.1 nh-c ┘  │       network closed, internal
//!                                   └ lo    192.0.2.53 … .56: other name servers
//! ```

#[path = "dns/client.rs"]
mod client;
#[path = "dns/garbled.rs"]
mod garbled;
#[path = "dns/hosts.rs"]
mod hosts;
#[path = "dns/outside.rs"]
mod outside;
#[path = "dns/rig.rs"]
mod rig;
#[path = "dns/upstream.rs"]
mod upstream;

use std::{
    io,
    io::Read as _,
    net::TcpStream,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use hickory_proto::rr::RecordType::{A, AAAA, PTR, SRV, TXT};
use netctl::{discovery::files, model::Sandbox};

use self::{
    client::Answer,
    hosts::Namespace,
    rig::{Rig, sandbox},
    upstream::{LONG, Manner},
};

#[test]
fn networks_with_the_same_gateway_are_told_apart_by_device() {
    let rig = Rig::new();
    for (asker, web, db) in [
        (&rig.a, "10.1.0.3", Answer::code("Server Failure")),
        (&rig.b, "10.1.0.77", Answer::of(&["10.1.0.78"])),
    ] {
        let by_udp = asker.run(|| client::udp("10.1.0.1", "WEB.", A)).expect("an answer");
        let by_tcp = asker.run(|| client::tcp("10.1.0.1", "web.", A)).expect("an answer");
        assert_eq!((by_udp, by_tcp), (Answer::of(&[web]), Answer::of(&[web])));
        let answer = asker.run(|| client::udp("10.1.0.1", "web.", AAAA)).expect("an answer");
        assert_eq!(answer, Answer::of(&[]));
        // What only the other network has would be asked for outside, where nobody is.
        assert_eq!(asker.run(|| client::udp("10.1.0.1", "db.", A)).expect("an answer"), db);
    }
    let port = rig.a.run(|| client::udp("10.1.0.1", "_http._tcp.web.", SRV)).expect("an answer");
    assert_eq!(port, Answer::of(&["0 0 80 web.dev."]));
    let pointer = |asker: &Namespace, name| {
        asker.run(move || client::udp("10.1.0.1", name, PTR)).expect("an answer")
    };
    assert_eq!(pointer(&rig.a, "3.0.1.10.in-addr.arpa."), Answer::of(&["web.dev."]));
    let nobody = Answer::code("Non-Existent Domain");
    assert_eq!(pointer(&rig.b, "3.0.1.10.in-addr.arpa."), nobody);
    assert_eq!(pointer(&rig.b, "77.0.1.10.in-addr.arpa."), Answer::of(&["web.twin."]));
}

#[test]
fn unknown_names_are_asked_for_outside() {
    let rig = Rig::new();
    let ask =
        |name, kind| rig.a.run(move || client::udp("10.1.0.1", name, kind)).expect("an answer");
    let found = Answer::of(&["198.51.100.7"]);
    let failed = Answer::code("Server Failure");

    assert_eq!(ask("host.example.", A), failed, "no name server is known");
    rig.name_servers(&["10.1.0.1"]);
    assert_eq!(ask("host.example.", A), failed, "we do not ask ourselves");
    assert_eq!(rig.counts().queries, 2);

    let good = rig.on_host(upstream::start("192.0.2.53", Manner::Answer));
    let failing = rig.on_host(upstream::start("192.0.2.54", Manner::Fail));
    let silent = rig.on_host(upstream::start("192.0.2.55", Manner::Silent));
    rig.name_servers(&["192.0.2.53"]);
    assert_eq!(ask("host.example.", A), found);
    assert_eq!(ask("bare.", A), found);
    assert_eq!(ask("unknown.example.", A), Answer::code("Non-Existent Domain"));

    // Too long for UDP: the server gets it whole over TCP, and so does who asks it over TCP.
    let long = ask("long.example.", TXT);
    assert!(long.truncated && long.data.is_empty(), "{long:?}");
    let long = rig.a.run(|| client::tcp("10.1.0.1", "long.example.", TXT)).expect("an answer");
    assert_eq!((long.data.len(), long.truncated), (LONG.into(), false));

    // Nobody listens at .56, .54 fails, .55 says nothing.
    rig.name_servers(&["192.0.2.56", "192.0.2.54", "192.0.2.53"]);
    assert_eq!(ask("host.example.", A), found);
    assert_eq!(failing.load(Ordering::SeqCst), 1);
    rig.name_servers(&["192.0.2.55", "192.0.2.53"]);
    assert_eq!(ask("host.example.", A), found);
    assert!(silent.load(Ordering::SeqCst) > 0);

    let asked = good.load(Ordering::SeqCst);
    rig.name_servers(&["192.0.2.55"]);
    let start = Instant::now();
    assert_eq!(ask("host.example.", A), failed);
    assert!(start.elapsed() < Duration::from_secs(5), "before the asker asks again");
    assert_eq!(ask("web.", A), Answer::of(&["10.1.0.3"]));
    assert_eq!(good.load(Ordering::SeqCst), asked);
    assert_eq!(rig.counts().failed, 3);
}

#[test]
fn forged_answers_are_not_taken() {
    let rig = Rig::new();
    rig.on_host(upstream::start("192.0.2.53", Manner::Forged));
    rig.name_servers(&["192.0.2.53"]);
    let answer = rig.a.run(|| client::udp("10.1.0.1", "host.example.", A)).expect("an answer");
    assert_eq!(answer, Answer::of(&["198.51.100.7"]));
}

#[test]
fn an_internal_network_gets_no_names_from_outside() {
    let rig = Rig::new();
    let outside = rig.on_host(upstream::start("192.0.2.53", Manner::Answer));
    rig.name_servers(&["192.0.2.53"]);
    for name in ["host.example.", "bare.", "web.", "web.dev.", "7.100.51.198.in-addr.arpa."] {
        let answer = rig.c.run(move || client::udp("10.3.0.1", name, A)).expect("an answer");
        assert_eq!(answer, Answer::code("Non-Existent Domain"), "{name}");
    }
    let answer = rig.c.run(|| client::udp("10.3.0.1", "me.closed.", A)).expect("an answer");
    assert_eq!(answer, Answer::of(&["10.3.0.2"]));
    assert_eq!(outside.load(Ordering::SeqCst), 0);
}

#[test]
fn the_c_library_finds_services_through_the_sandboxs_files() {
    let rig = Rig::new();
    rig.on_host(upstream::start("192.0.2.53", Manner::Answer));
    rig.name_servers(&["192.0.2.53"]);
    let path = |name: &str| rig.dir.path().join(name).display().to_string();
    let (resolv, hosts) = (path("sandbox.resolv.conf"), path("sandbox.hosts"));
    let write = |path: &String, text: String| {
        files::write_in_place(path.as_ref(), &text).expect("written");
    };
    let gateway = "10.1.0.1".parse().expect("an address");
    let search = ["example".parse().expect("a domain")];
    write(&resolv, files::resolv_conf(&[gateway], &sandbox(), &search));
    let own = files::OwnAddress {
        address: "10.1.0.2".parse().expect("an address"),
        service: "me".parse().expect("a name"),
        network: "twin".parse().expect("a name"),
    };
    write(&hosts, files::hosts("box", &[own]));
    for (query, line) in [
        ("hosts web", "10.1.0.77 web"),
        ("hosts web.twin", "10.1.0.77 web.twin"),
        ("hosts 10.1.0.78", "10.1.0.78 db.twin"),
        ("hosts host.example", "198.51.100.7 host.example"),
        ("hosts front", "10.1.0.77 front"),
        // Not known by itself, but in the domain to look in.
        ("hosts domain-only", "198.51.100.8 domain-only.example"),
        ("hosts box", "10.1.0.2 me me.twin box"),
        ("hosts 10.1.0.2", "10.1.0.2 me me.twin box"),
    ] {
        let bind =
            format!("mount --bind {resolv} /etc/resolv.conf && mount --bind {hosts} /etc/hosts");
        let found = rig.b.sh(&format!("unshare --mount sh -c '{bind} && getent {query}'"));
        let words: Vec<&str> = found.split_whitespace().collect();
        assert_eq!(words.join(" "), line, "getent {query}");
    }
}

#[test]
fn a_sandboxs_domains_come_first_where_its_ndots_say_so() {
    let rig = Rig::new();
    let chosen = Sandbox {
        dns_search: vec!["twin".parse().expect("a domain")],
        dns_options: vec!["ndots:1".parse().expect("an option")],
        ..sandbox()
    };
    let path = rig.dir.path().join("chosen.resolv.conf");
    let gateway = "10.1.0.1".parse().expect("an address");
    let text = files::resolv_conf(&[gateway], &chosen, &["example".parse().expect("a domain")]);
    files::write_in_place(&path, &text).expect("written");
    for (name, line) in [("db", "10.1.0.78 db.twin"), ("web.twin", "10.1.0.77 web.twin")] {
        let bind = format!("mount --bind {} /etc/resolv.conf", path.display());
        let found = rig.b.sh(&format!("unshare --mount sh -c '{bind} && getent hosts {name}'"));
        assert_eq!(found.split_whitespace().collect::<Vec<_>>().join(" "), line, "{name}");
    }
}

#[test]
fn servers_follow_their_devices() {
    let mut rig = Rig::new();
    let ask = |asker: &Namespace| asker.run(|| client::udp("10.1.0.1", "web.", A));
    assert!(rig.apply(&["nh-b"]).is_empty());
    let refused = ask(&rig.a).expect_err("nobody serves there");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(ask(&rig.b).is_ok());
    assert!(rig.apply(&["nh-a", "nh-b"]).is_empty());
    assert!(ask(&rig.a).is_ok());

    rig.host.sh("ip link del nh-a");
    let errors = rig.apply(&["nh-a", "nh-b"]);
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 1, "{text:?}");
    assert!(text[0].starts_with("cannot serve names at 10.1.0.1 port 53 on device nh-a: "));
    assert!(ask(&rig.b).is_ok());
    rig.host.join(&rig.a, "nh-a", "10.1.0.1", "10.1.0.2");
    assert!(rig.apply(&["nh-a", "nh-b"]).is_empty());
    assert!(ask(&rig.a).is_ok());

    // Made anew between two calls, under the same name.
    rig.host.sh("ip link del nh-a");
    rig.host.join(&rig.a, "nh-a", "10.1.0.1", "10.1.0.2");
    assert!(rig.apply(&["nh-a", "nh-b"]).is_empty());
    assert!(ask(&rig.a).is_ok());
}

#[test]
fn another_name_server_on_every_address_is_named_in_the_error() {
    let mut rig = Rig::new();
    assert!(rig.apply(&[]).is_empty());
    let taken = rig.on_host(async { tokio::net::UdpSocket::bind("0.0.0.0:53").await });
    let errors = rig.apply(&["nh-a"]);
    assert!(errors[0].to_string().contains("let the name server of this host"), "{}", errors[0]);
    drop(taken);
    assert!(rig.apply(&["nh-a"]).is_empty());
}

#[test]
fn a_sandbox_cannot_take_more_than_its_share() {
    let rig = Rig::new();
    // Responses, garbage and halves of queries: counted, and served on.
    let before = rig.counts();
    rig.a.run(|| {
        for length in 0..200_usize {
            let bytes: Vec<u8> =
                (0..length).map(|i| u8::try_from(i * 37 % 256).expect("a byte")).collect();
            drop(client::exchange("10.1.0.1", &bytes, Duration::from_millis(1)));
        }
    });
    let answer = rig.a.run(|| client::udp("10.1.0.1", "web.", A)).expect("an answer");
    assert_eq!(answer, Answer::of(&["10.1.0.3"]));
    assert!(rig.counts().malformed > before.malformed);

    // Thirty-two connections that say nothing; the next is closed at once, another network's is served.
    let held: Vec<TcpStream> = rig.a.run(|| {
        let open = |_| client::connect("10.1.0.1").expect("it is accepted");
        (0..32).map(open).collect()
    });
    let refused = rig.counts().refused;
    let closed = rig.a.run(|| client::connect("10.1.0.1")?.read(&mut [0]));
    assert!(matches!(closed, Ok(0)) || closed.is_err(), "{closed:?}");
    assert_eq!(rig.counts().refused, refused + 1);
    assert!(rig.b.run(|| client::tcp("10.1.0.1", "web.", A)).is_ok());
    drop(held);
    let start = Instant::now();
    while rig.a.run(|| client::tcp("10.1.0.1", "web.", A)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(5), "connections are given back");
    }

    // More unknown names at once than may be out: the rest is refused, and known names are served meanwhile.
    rig.on_host(upstream::start("192.0.2.55", Manner::Silent));
    rig.name_servers(&["192.0.2.55"]);
    let refused = rig.counts().refused;
    rig.a.run(|| {
        let query = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01";
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
        for _ in 0..80 {
            socket.send_to(query, "10.1.0.1:53").expect("it goes out");
        }
    });
    let answer = rig.a.run(|| client::udp("10.1.0.1", "web.", A)).expect("an answer");
    assert_eq!(answer, Answer::of(&["10.1.0.3"]));
    assert_eq!(rig.counts().refused, refused + 16);
}

#[test]
fn one_connection_serves_many_queries() {
    let rig = Rig::new();
    let answers = rig.a.run(|| {
        let mut stream = client::connect("10.1.0.1").expect("it is accepted");
        ["web.", "me.", "web.dev."]
            .map(|name| client::ask_on(&mut stream, name, A).expect("an answer"))
    });
    assert_eq!(answers, [["10.1.0.3"], ["10.1.0.2"], ["10.1.0.3"]].map(|data| Answer::of(&data)));
}

#[test]
fn questions_that_come_at_once_on_a_connection_are_all_answered() {
    let rig = Rig::new();
    rig.on_host(upstream::start("192.0.2.53", Manner::Answer));
    rig.name_servers(&["192.0.2.53"]);
    // One of them is for others to answer.
    let names = ["web.", "host.example.", "me.", "web.dev."];
    let answers = rig.a.run(move || {
        let mut stream = client::connect("10.1.0.1").expect("it is accepted");
        client::ask_at_once(&mut stream, names, A).expect("answers")
    });
    let data = [["10.1.0.3"], ["198.51.100.7"], ["10.1.0.2"], ["10.1.0.3"]];
    assert_eq!(answers, data.map(|data| Answer::of(&data)));
}
