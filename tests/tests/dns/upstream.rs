//! Another name server, outside every network.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, rdata},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
};

/// How many texts `long.example` has: more than fit into a UDP answer.
pub(crate) const LONG: u8 = 40;

/// What it does with a query.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers: 198.51.100.7 for any name, `long.example` with many texts, and none for `unknown.example`.
    Answer,
    /// Says that it failed.
    Fail,
    /// Says nothing.
    Silent,
    /// Answers with another question, then with another number, then as it should.
    Forged,
    /// The same without the last, and what is no answer at all.
    Lies,
    /// Says of every answer that it is cut, and closes connections.
    Cut,
    /// Answers in lower case.
    Lower,
}

/// Starts one at `address` and returns how many queries it got.
pub(crate) async fn start(address: &str, manner: Manner) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let udp = UdpSocket::bind((address, 53)).await.expect("the address is there");
    let tcp = TcpListener::bind((address, 53)).await.expect("the address is there");
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = udp.recv_from(&mut buffer).await.expect("a query");
            counted.fetch_add(1, Ordering::SeqCst);
            for answer in answers(&buffer[..length], manner, 512) {
                udp.send_to(&answer, from).await.expect("it goes out");
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.expect("a connection");
            let length = stream.read_u16().await.expect("a length");
            let mut query = vec![0; length.into()];
            stream.read_exact(&mut query).await.expect("a query");
            if manner == Manner::Cut {
                continue;
            }
            for answer in answers(&query, manner, u16::MAX.into()) {
                let length = u16::try_from(answer.len()).expect("it is short");
                stream.write_u16(length).await.expect("it goes out");
                stream.write_all(&answer).await.expect("it goes out");
            }
        }
    });
    count
}

fn answers(query: &[u8], manner: Manner, limit: usize) -> Vec<Vec<u8>> {
    let mut message = Message::from_vec(query).expect("a whole query").into_response();
    let name = message.queries[0].name.clone();
    let record = |data| Record::from_rdata(name.clone(), 60, data);
    match (manner, name.to_ascii().as_str()) {
        (Manner::Silent, _) => return vec![],
        (Manner::Fail, _) => message.metadata.response_code = ResponseCode::ServFail,
        (Manner::Cut, _) => return vec![message.truncate().to_vec().expect("it can be written")],
        (_, "domain-only.example.") => {
            message.add_answer(record(RData::A(rdata::A::new(198, 51, 100, 8))));
        }
        (_, "unknown.example." | "domain-only.") => {
            message.metadata.response_code = ResponseCode::NXDomain;
        }
        (_, "long.example.") => {
            let text = |i| RData::TXT(rdata::TXT::new(vec![format!("{i:02} {}", "x".repeat(40))]));
            message.add_answers((0..LONG).map(|i| record(text(i))));
        }
        _ => drop(message.add_answer(record(RData::A(rdata::A::new(198, 51, 100, 7))))),
    }
    let whole = message.to_vec().expect("it can be written");
    if whole.len() > limit {
        return vec![message.truncate().to_vec().expect("it can be written")];
    }
    let (mut number, mut question) = (whole.clone(), whole.clone());
    number[0] ^= 0xff;
    question[13] ^= 0x01;
    match manner {
        Manner::Forged => vec![number, question, whole],
        Manner::Lies => vec![number, question, query.to_vec(), vec![], whole[..11].to_vec()],
        Manner::Lower => {
            // The question's name alone: what follows the header up to its end.
            let end = 12 + message.queries[0].name.len();
            vec![[&whole[..12], &whole[12..end].to_ascii_lowercase(), &whole[end..]].concat()]
        }
        Manner::Answer | Manner::Fail | Manner::Silent | Manner::Cut => vec![whole],
    }
}
