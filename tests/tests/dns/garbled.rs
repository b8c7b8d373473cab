//! A name server whose answers are nearly right.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
};

use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, Record, RecordType::A, rdata},
};
use testbed::{
    random::{self, Random, SEED},
    texts::mangled,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
};

use super::{
    Namespace, Rig,
    client::{self, Answer},
};

/// How many questions there are, from each of two sandboxes: as many as a network may have out at once, and again.
const QUESTIONS: usize = 128;
const AT_ONCE: usize = 64;

/// What was sent for each name in answer to its question, without the number.
type Sent = Arc<Mutex<BTreeMap<Vec<u8>, Vec<Vec<u8>>>>>;

/// The question's name in small letters, as its bytes.
fn name_of(message: &[u8]) -> Vec<u8> {
    let end = message[12..].iter().position(|byte| *byte == 0).expect("an end");
    message[12..=12 + end].to_ascii_lowercase()
}

/// A right answer, at times one that is longer than a datagram.
fn right(random: &Random, query: &[u8]) -> Vec<u8> {
    let mut message = Message::from_vec(query).expect("a whole query").into_response();
    let name = message.queries[0].name.clone();
    let count = if random.percent(20) { 300 } else { 1 + random.below(3) };
    let data = || RData::A(rdata::A(random.bytes::<4>().into()));
    message.add_answers((0..count).map(|_| Record::from_rdata(name.clone(), 60, data())));
    message.to_vec().expect("it can be written")
}

/// What comes before the right answer, or in its place.
fn wrong(random: &Random, query: &[u8]) -> Vec<u8> {
    let mut right = right(random, query);
    match random.below(8) {
        0 => right[random.below(2)] ^= 1 << random.below(8),
        1 => right[13] ^= 0x01,
        2 => right.truncate(random.below(right.len())),
        // A name that is its own end.
        3 => right.extend(b"\xc0\x0c".repeat(20)),
        4 => {
            let at = name_of(query).len() + 16;
            right[at + 1] = u8::try_from(at).expect("a short query");
        }
        5 => right[5 + 2 * random.below(4)] = random.byte(),
        6 => right = query.to_vec(),
        _ => right = mangled(random, &[&right]),
    }
    right
}

/// Starts it at 192.0.2.53, with what 192.0.2.54 says in its place at times.
async fn start(seed: u64, sent: Sent) {
    let bind = async |address| UdpSocket::bind((address, 53)).await.expect("the address is there");
    let (udp, other) = (bind("192.0.2.53").await, bind("192.0.2.54").await);
    let tcp = TcpListener::bind(("192.0.2.53", 53)).await.expect("the address is there");
    let note = move |name: &[u8], answer: &[u8]| {
        let kept = answer.get(2..).unwrap_or_default().to_vec();
        sent.lock().expect("no panic").entry(name.to_vec()).or_default().push(kept);
    };
    let noted = note.clone();
    tokio::spawn(async move {
        let (random, mut buffer) = (Random::new(seed), [0; 4096]);
        loop {
            let (length, from): (_, SocketAddr) = udp.recv_from(&mut buffer).await.expect("one");
            let (query, name) = (&buffer[..length], name_of(&buffer[..length]));
            for _ in 0..random.below(4) {
                let answer = wrong(&random, query);
                noted(&name, &answer);
                udp.send_to(&answer, from).await.expect("it goes out");
            }
            // Right in all but who says it.
            other.send_to(&right(&random, query), from).await.expect("it goes out");
            if random.percent(50) {
                let answer = right(&random, query);
                noted(&name, &answer);
                udp.send_to(&answer, from).await.expect("it goes out");
            }
        }
    });
    tokio::spawn(async move {
        let random = Random::new(!seed);
        loop {
            let (mut stream, _) = tcp.accept().await.expect("a connection");
            let length = stream.read_u16().await.expect("a length");
            let mut query = vec![0; length.into()];
            stream.read_exact(&mut query).await.expect("a query");
            let answer =
                if random.percent(50) { right(&random, &query) } else { wrong(&random, &query) };
            note(&name_of(&query), &answer);
            let length = u16::try_from(answer.len()).expect("it is short");
            // More than is sent, at times; the rest never comes.
            let length = length + u16::from(random.percent(10)) * 100;
            let framed = [&length.to_be_bytes()[..], &answer].concat();
            stream.write_all(&framed).await.expect("it goes out");
        }
    });
}

fn question(number: usize) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.id = u16::try_from(number).expect("few");
    let name = Name::from_ascii(format!("Q{number}.eXample.")).expect("a name");
    message.add_query(Query::query(name, A));
    message.to_vec().expect("it can be written")
}

/// Whether an answer says what was sent, or that there is nothing to say; fails where it is another's, or not whole.
fn check(query: &[u8], answer: &[u8], sent: &[Vec<u8>]) -> Result<bool, String> {
    let whole = || format!("{} to {}", answer.escape_ascii(), query.escape_ascii());
    let end = query.len();
    if answer.len() < end || answer[..2] != query[..2] || answer[12..end] != query[12..] {
        return Err(format!("another question: {}", whole()));
    }
    let (failed, cut) = (answer[3] & 0x0f == 2, answer[2] & 0x02 != 0);
    if failed || cut {
        return Ok(false);
    }
    // A record has 11 bytes at least.
    let count: usize =
        answer[6..12].chunks(2).map(|c| usize::from(c[0]) << 8 | usize::from(c[1])).sum();
    if answer.len() - end < 11 * count {
        return Err(format!("not all is there: {}", whole()));
    }
    let lower = [&answer[2..12], &query[12..].to_ascii_lowercase(), &answer[end..]].concat();
    let same = |sent: &&Vec<u8>| {
        sent.len() == lower.len()
            && sent[..10] == lower[..10]
            && sent[10..].eq_ignore_ascii_case(&lower[10..])
    };
    match sent.iter().find(same) {
        Some(_) => Ok(true),
        None => Err(format!("nobody said so: {}", whole())),
    }
}

/// Asks from a sandbox; how many questions were answered, and what was wrong.
fn ask(asker: &Namespace, sent: &Sent, numbers: std::ops::Range<usize>) -> (usize, Vec<String>) {
    let sent = Arc::clone(sent);
    asker.run(move || {
        let one = |number| {
            let query = question(number);
            let answer = client::exchange("10.1.0.1", &query, client::TIMEOUT)
                .map_err(|error| format!("no answer to {number}: {error}"))?;
            let sent = sent.lock().expect("no panic").get(&name_of(&query)).cloned();
            check(&query, &answer, &sent.unwrap_or_default())
        };
        let numbers: Vec<usize> = numbers.collect();
        let results = numbers.chunks(AT_ONCE).flat_map(|numbers| {
            thread::scope(|scope| {
                let asked: Vec<_> =
                    numbers.iter().map(|number| scope.spawn(|| one(*number))).collect();
                asked.into_iter().map(|one| one.join().expect("no panic")).collect::<Vec<_>>()
            })
        });
        let (good, bad): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
        let answered = good.into_iter().filter(|good| *good == Ok(true)).count();
        (answered, bad.into_iter().filter_map(Result::err).collect())
    })
}

#[test]
fn one_whose_answers_are_nearly_right_is_believed_where_they_are() {
    let seed = random::seed().expect("a seed");
    println!("{SEED}={seed:#x}");
    let rig = Rig::new();
    let sent = Sent::default();
    rig.on_host(start(seed, Arc::clone(&sent)));
    rig.name_servers(&["192.0.2.53"]);
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| ask(&rig.a, &sent, 0..QUESTIONS));
        let second = ask(&rig.b, &sent, QUESTIONS..2 * QUESTIONS);
        (first.join().expect("no panic"), second)
    });
    let wrong: Vec<_> = first.1.iter().chain(&second.1).collect();
    assert!(wrong.is_empty(), "{SEED}={seed:#x}: {wrong:#?}");
    let answered = first.0 + second.0;
    println!("{answered} of {} were answered", 2 * QUESTIONS);
    assert!((50..2 * QUESTIONS).contains(&answered), "{answered} were answered");
    let counts = rig.counts();
    assert_eq!(counts.forwarded, 2 * u64::try_from(QUESTIONS).expect("few"));
    assert!(counts.failed > 10 && counts.refused == 0, "{counts:?}");
    let answer = rig.a.run(|| client::udp("10.1.0.1", "web.", A)).expect("an answer");
    assert_eq!(answer, Answer::of(&["10.1.0.3"]));
}
