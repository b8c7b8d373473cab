use std::collections::BTreeSet;

use hickory_proto::op;
use proptest::prelude::*;

use super::*;
use crate::{
    discovery::tests::{World, directory, endpoint, ip, network, ports, world},
    model::SandboxId,
};

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(op::Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

fn asked(world: &World, bytes: &[u8]) -> Reply {
    reply(&world.directory, &world.dev.id, ip("10.1.0.2"), Transport::Udp, bytes)
}

fn answered(world: &World, message: &Message) -> Message {
    match asked(world, &message.to_vec().expect("it can be written")) {
        Reply::Answer(bytes) => Message::from_vec(&bytes).expect("it can be read"),
        other @ (Reply::Ignore | Reply::Malformed(_) | Reply::Forward(..)) => {
            panic!("{other:?} to {message:?}")
        }
    }
}

#[test]
fn an_answer_repeats_what_was_asked_and_is_ours() {
    let world = world();
    let message = query("WeB.dev.", RecordType::A);
    let answer = answered(&world, &message);
    assert_eq!(answer.id, message.id);
    assert_eq!(answer.queries, message.queries);
    assert!(answer.authoritative && answer.recursion_available && answer.recursion_desired);
    assert!(answer.edns.is_none());
    let [record] = &answer.answers[..] else { panic!("{answer:?}") };
    assert_eq!(record.data, RData::A(rdata::A::new(10, 1, 0, 3)));
    assert_eq!(record.name.to_string(), "WeB.dev.");
    assert!(record.ttl <= 5);
    let pointer = answered(&world, &query("3.0.1.10.in-addr.arpa.", RecordType::PTR));
    assert_eq!(pointer.answers[0].data.to_string(), "Web.dev.");
}

#[test]
fn what_cannot_be_served_is_refused_by_its_code() {
    let world = world();
    type Change = fn(&mut Message);
    let cases: [(Change, ResponseCode); 5] = [
        (|m| m.queries[0].query_class = DNSClass::CH, ResponseCode::Refused),
        (|m| m.queries[0].query_type = RecordType::AXFR, ResponseCode::Refused),
        (|m| m.metadata.op_code = op::OpCode::Notify, ResponseCode::NotImp),
        (
            |m| {
                m.set_edns(Edns::new()).edns.as_mut().expect("just set").set_version(1);
            },
            ResponseCode::BADVERS,
        ),
        (|m| m.queries[0].query_type = RecordType::ANY, ResponseCode::NoError),
    ];
    for (change, code) in cases {
        let mut message = query("web.", RecordType::A);
        change(&mut message);
        let answer = answered(&world, &message);
        // Compared as numbers: BADVERS and BADSIG are both 16, told apart by where they stand (RFC 6895, section 2.3).
        assert_eq!(u16::from(answer.response_code), u16::from(code), "{message:?}");
        assert_eq!(answer.id, message.id);
        assert!(answer.answers.is_empty());
    }
}

#[test]
fn malformed_queries_get_a_header_and_responses_nothing() {
    let world = world();
    let good = query("web.", RecordType::A).to_vec().expect("it can be written");
    for length in 0..good.len() {
        let reply = asked(&world, &good[..length]);
        let fits = match reply {
            Reply::Ignore => length < packet::HEADER,
            Reply::Malformed(bytes) => bytes[..2] == good[..2] && bytes[3] & 0xf == packet::FORMERR,
            Reply::Answer(_) | Reply::Forward(..) => false,
        };
        assert!(fits, "{length}");
    }
    let mut two = query("web.", RecordType::A);
    two.add_queries(two.queries.clone());
    let two = two.to_vec().expect("it can be written");
    assert!(matches!(asked(&world, &two), Reply::Malformed(_)));
    let mut response = good;
    response[2] |= 0x80;
    assert!(matches!(asked(&world, &response), Reply::Ignore));
}

#[test]
fn long_answers_are_cut_to_what_the_asker_takes() {
    let dev = network("dev", "10.1.0.0/16", false);
    let sandbox = SandboxId::random();
    let endpoints: Vec<_> = (0..300)
        .map(|i| {
            let address = format!("10.1.{}.{}/16", 1 + i / 250, 1 + i % 250);
            endpoint(&dev, &format!("svc{i}"), &["all"], &[&address], Some(&sandbox))
        })
        .collect();
    let directory = directory(&[&dev], &endpoints, []);
    for (transport, payload, limit, count) in [
        // A header of 12, a question of 13, an OPT record of 11, and 16 for each address.
        (Transport::Udp, None, 512, (512 - 12 - 13) / 16),
        (Transport::Udp, Some(100), 512, (512 - 12 - 13 - 11) / 16),
        (Transport::Udp, Some(65535), 1232, (1232 - 12 - 13 - 11) / 16),
        (Transport::Tcp, None, 65535, MAX_RECORDS),
    ] {
        let mut message = query("all.dev.", RecordType::A);
        if let Some(payload) = payload {
            message.set_edns(Edns::new()).edns.as_mut().expect("just set").set_max_payload(payload);
        }
        let bytes = message.to_vec().expect("it can be written");
        let reply = reply(&directory, &dev.id, ip("10.1.9.9"), transport, &bytes);
        let Reply::Answer(bytes) = reply else { panic!("{reply:?}") };
        assert!(bytes.len() <= limit);
        let answer = Message::from_vec(&bytes).expect("it can be read");
        let cut = transport == Transport::Udp;
        assert_eq!((answer.answers.len(), answer.truncation), (count, cut));
        assert_eq!(answer.edns.is_some(), payload.is_some());
    }
}

#[test]
fn shared_names_begin_with_any_of_their_addresses() {
    let world = world();
    let first = |_| answered(&world, &query("www.", RecordType::A)).answers[0].data.to_string();
    // One in 2^99 that all begin with the same.
    let firsts: BTreeSet<String> = (0..100).map(first).collect();
    assert_eq!(firsts.len(), 2);
}

#[test]
fn relayed_answers_keep_their_bytes_or_are_cut() {
    let world = world();
    let message = query("exAmple.cOm.", RecordType::TXT);
    let asked = message.to_vec().expect("it can be written");
    let reply = self::asked(&world, &asked);
    let Reply::Forward(query, _) = reply else { panic!("{reply:?}") };
    for (length, cut) in [(40, false), (512, false), (513, true), (4000, true)] {
        let mut bytes = message.clone().into_response().to_vec().expect("it can be written");
        bytes.resize(length, 0xee);
        let [asked, answer] = [&asked, &bytes].map(|b| Packet::new(b).expect("it has a header"));
        let relayed = query.relayed(asked, answer);
        assert_eq!(relayed == bytes, !cut);
        if cut {
            let relayed = Message::from_vec(&relayed).expect("it can be read");
            assert!(relayed.truncation && relayed.id == message.id);
        }
    }
}

#[test]
fn an_answer_from_outside_has_the_askers_letters() {
    let world = world();
    let asked = query("exAmple.cOm.", RecordType::A).to_vec().expect("it can be written");
    let Reply::Forward(query, _) = self::asked(&world, &asked) else { panic!("{asked:?}") };
    let mut answer = asked.to_ascii_lowercase();
    answer[..3].copy_from_slice(&[0xaa, 0xbb, 0x81]);
    let packet = |bytes| Packet::new(bytes).expect("it has a header");
    let relayed = query.relayed(packet(&asked), packet(&answer));
    assert_eq!((&relayed[..2], &relayed[12..]), (&asked[..2], &asked[12..]));
}

#[test]
fn ports_come_with_the_addresses_of_who_has_them() {
    let world = world();
    let answer = answered(&world, &query("_http._tcp.web.dev.", RecordType::SRV));
    let mut records: Vec<String> = answer.answers.iter().map(ToString::to_string).collect();
    records.sort();
    let record = |port| format!("_http._tcp.web.dev. {TTL} IN SRV 0 0 {port} Web.dev.");
    assert_eq!(records, [record(80), record(8080)]);
    let more: Vec<String> = answer.additionals.iter().map(ToString::to_string).collect();
    assert_eq!(more, ["Web.dev. 1 IN A 10.1.0.3", "Web.dev. 1 IN AAAA fd00::3"]);

    // Too many for UDP: first the addresses go, then the last of the rest.
    let dev = network("dev", "10.1.0.0/16", false);
    let sandbox = SandboxId::random();
    let mut endpoints: Vec<_> = (0..100)
        .map(|i| {
            let address = format!("10.1.1.{i}/16");
            endpoint(&dev, &format!("svc{i}"), &["all"], &[&address], Some(&sandbox))
        })
        .collect();
    for (count, answers, more, cut) in [(5, 5, 5, false), (11, 11, 0, false), (100, 16, 0, true)] {
        endpoints[..count].iter_mut().for_each(|e| e.exposed = ports(&["80"]));
        let directory = directory(&[&dev], &endpoints, []);
        let bytes = query("_80._tcp.all.", RecordType::SRV).to_vec().expect("it can be written");
        let reply = reply(&directory, &dev.id, ip("10.1.9.9"), Transport::Udp, &bytes);
        let Reply::Answer(bytes) = reply else { panic!("{reply:?}") };
        assert!(bytes.len() <= 512);
        let answer = Message::from_vec(&bytes).expect("it can be read");
        let counts = (answer.answers.len(), answer.additionals.len(), answer.truncation);
        assert_eq!(counts, (answers, more, cut), "{count}");
    }
}

fn check(world: &World, bytes: &[u8], transport: Transport) -> Result<(), TestCaseError> {
    let reply = reply(&world.directory, &world.dev.id, ip("10.1.0.2"), transport, bytes);
    let answers = match reply {
        Reply::Ignore => vec![],
        Reply::Answer(answer) | Reply::Malformed(answer) => vec![answer],
        Reply::Forward(query, _) => vec![query.failed(), query.refused()],
    };
    for answer in answers {
        let parsed = Message::from_vec(&answer);
        prop_assert!(parsed.is_ok(), "{parsed:?} from {answer:?}");
        prop_assert_eq!(&answer[..2], &bytes[..2]);
        prop_assert!(Packet::new(&answer).is_some_and(Packet::is_response));
        prop_assert!(transport == Transport::Tcp || answer.len() <= usize::from(MAX_UDP));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer_that_can_be_read_or_none(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        udp: bool,
    ) {
        check(&world(), &bytes, if udp { Transport::Udp } else { Transport::Tcp })?;
    }

    #[test]
    fn so_do_queries_with_bytes_changed(
        name in "[a-z0-9.]{0,40}",
        kind: u16,
        payload: Option<u16>,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let Ok(name) = Name::from_ascii(&name) else { return Ok(()) };
        let mut message = Message::query();
        message.add_query(op::Query::query(name, RecordType::from(kind)));
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
        }
        let mut bytes = message.to_vec().expect("it can be written");
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        check(&world(), &bytes, Transport::Udp)?;
    }
}
