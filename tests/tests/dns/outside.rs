//! Other name servers as they are: slow, broken, lying, or asking us in turn.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hickory_proto::rr::RecordType::{A, TXT};

use super::{
    Rig,
    client::{self, Answer},
    upstream::{self, Manner},
};

/// Asked by sandbox a.
fn ask(rig: &Rig, name: &'static str) -> Answer {
    rig.a.run(move || client::udp("10.1.0.1", name, A)).expect("an answer")
}

#[test]
fn one_that_says_nothing_is_asked_after_the_others_from_then_on() {
    let rig = Rig::new();
    let silent = rig.on_host(upstream::start("192.0.2.55", Manner::Silent));
    rig.on_host(upstream::start("192.0.2.53", Manner::Answer));
    rig.name_servers(&["192.0.2.55", "192.0.2.53"]);
    assert_eq!(ask(&rig, "host.example."), Answer::of(&["198.51.100.7"]));
    let asked = silent.load(Ordering::SeqCst);
    assert!(asked > 1, "a datagram may get lost: {asked}");
    assert_eq!(ask(&rig, "host.example."), Answer::of(&["198.51.100.7"]));
    assert_eq!(silent.load(Ordering::SeqCst), asked);
}

#[test]
fn one_that_lies_is_not_believed() {
    let rig = Rig::new();
    let lies = rig.on_host(upstream::start("192.0.2.55", Manner::Lies));
    rig.on_host(upstream::start("192.0.2.53", Manner::Answer));
    rig.name_servers(&["192.0.2.55", "192.0.2.53"]);
    assert_eq!(ask(&rig, "host.example."), Answer::of(&["198.51.100.7"]));
    assert!(lies.load(Ordering::SeqCst) > 0);
}

#[test]
fn one_that_cuts_its_answers_and_has_no_tcp_still_answers() {
    let rig = Rig::new();
    rig.on_host(upstream::start("192.0.2.53", Manner::Cut));
    rig.name_servers(&["192.0.2.53"]);
    let answer = rig.a.run(|| client::udp("10.1.0.1", "long.example.", TXT)).expect("an answer");
    assert_eq!(answer, Answer { truncated: true, ..Answer::of(&[]) });
}

#[test]
fn the_letters_of_a_question_are_kept() {
    let rig = Rig::new();
    rig.on_host(upstream::start("192.0.2.53", Manner::Lower));
    rig.name_servers(&["192.0.2.53"]);
    for name in [&b"\x04hOsT\x07eXampLE\x00"[..], b"\x03wEB\x00", b"\x04NOne\x07eXampLE\x00"] {
        let question = [name, &[0, 1, 0, 1]].concat();
        let query = [&b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"[..], &question].concat();
        let answer = rig.a.run(move || client::exchange("10.1.0.1", &query, client::TIMEOUT));
        let answer = answer.expect("an answer");
        assert_eq!(answer.get(12..12 + question.len()), Some(&question[..]), "{answer:?}");
    }
}

/// The name server is a container, and asks us what it does not know.
#[test]
fn a_question_does_not_go_round() {
    let rig = Rig::new();
    rig.a.sh("ip addr add 10.1.0.9/24 dev eth0");
    rig.name_servers(&["10.1.0.1", "10.1.0.9"]);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let server = rig.a.run(|| UdpSocket::bind("10.1.0.9:53").expect("the address is there"));
    let end = server.try_clone().expect("a socket");
    let serving = std::thread::spawn(move || {
        let (mut buffer, mut back) = ([0; 512], None);
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            match length {
                0 => return,
                _ if buffer[2] & 0x80 == 0 => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    back = Some(from);
                    server.send_to(&buffer[..length], "10.1.0.1:53").expect("it goes out");
                }
                _ => drop(server.send_to(&buffer[..length], back.expect("it was asked before"))),
            }
        }
    });
    assert_eq!(ask(&rig, "host.example."), Answer::code("Server Failure"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(ask(&rig, "web."), Answer::of(&["10.1.0.3"]));
    end.send_to(&[], "10.1.0.9:53").expect("it goes out");
    serving.join().expect("the server ends");
}

#[test]
fn a_sandboxs_own_name_servers_are_asked_in_place_of_the_hosts() {
    let mut rig = Rig::new();
    let hosts = rig.on_host(upstream::start("192.0.2.53", Manner::Fail));
    let own = rig.on_host(upstream::start("192.0.2.54", Manner::Answer));
    rig.name_servers(&["192.0.2.53"]);
    rig.own_servers = vec!["192.0.2.54".parse().expect("an address")];
    rig.fill();
    assert_eq!(ask(&rig, "host.example."), Answer::of(&["198.51.100.7"]));
    assert_eq!(ask(&rig, "web."), Answer::of(&["10.1.0.3"]));
    let asked = own.load(Ordering::SeqCst);
    assert_eq!((asked, hosts.load(Ordering::SeqCst)), (1, 0));
    // What is only in an internal network reaches its own servers no more than others.
    let answer = rig.c.run(|| client::udp("10.3.0.1", "host.example.", A)).expect("an answer");
    assert_eq!(answer, Answer::code("Non-Existent Domain"));
    assert_eq!(own.load(Ordering::SeqCst), asked);
}

#[test]
fn thousands_of_questions_at_once_take_no_more_than_their_share() {
    let rig = Rig::new();
    rig.on_host(upstream::start("192.0.2.55", Manner::Silent));
    rig.name_servers(&["192.0.2.55"]);
    rig.a.run(|| {
        let query = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01";
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        for _ in 0..5000 {
            socket.send_to(query, "10.1.0.1:53").expect("it goes out");
        }
    });
    // Others are served meanwhile, and so is the one who asked, as soon as what it sent is read.
    let other = rig.b.run(|| client::udp("10.1.0.1", "web.", A)).expect("an answer");
    assert_eq!(other, Answer::of(&["10.1.0.77"]));
    let own = rig.a.run(|| {
        loop {
            let query =
                b"\x00\x02\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x00\x00\x01\x00\x01";
            if let Ok(answer) = client::exchange("10.1.0.1", query, Duration::from_secs(1)) {
                break answer;
            }
        }
    });
    assert_eq!(own.get(own.len() - 4..), Some(&[10, 1, 0, 3][..]));
    let counts = rig.counts();
    assert_eq!(counts.forwarded, 64);
    assert!(counts.refused > 0 && counts.malformed == 0, "{counts:?}");
}
