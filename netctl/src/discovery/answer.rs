//! From the bytes of a query to those of its answer.

use std::net::IpAddr;

use hickory_proto::{
    op::{Edns, Message, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata},
};

use super::{
    directory::Directory,
    packet::{self, Packet},
    resolve::Resolution,
};
use crate::model::NetworkId;

/// How long, in seconds, an answer may be kept.
///
/// An endpoint that moved has to be found within a second. Not 0: one second lets a client that keeps answers ask once
/// for a burst of connections, and costs nothing within that bound.
const TTL: u32 = 1;
/// What a UDP answer may have in bytes, whatever the asker takes: what fits IPv6's least MTU, 1280, whole.
const MAX_UDP: u16 = 1232;
/// How many addresses one answer names. A client uses the first few; more would only make the answer large.
const MAX_ADDRESSES: usize = 256;

/// What a query came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// What becomes of received bytes.
#[derive(Debug)]
pub(super) enum Reply {
    /// No query: answering could make a loop or serve a reflection.
    Ignore,
    /// Not readable; these bytes say so.
    Malformed(Vec<u8>),
    /// The answer.
    Answer(Vec<u8>),
    /// Other name servers are to be asked.
    Forward(Query),
}

/// A query that was read and understood.
#[derive(Debug)]
pub(super) struct Query {
    message: Message,
    transport: Transport,
}

/// Answers `bytes`, received from `asker` at the gateway of `network`.
pub(super) fn reply(
    directory: &Directory,
    network: &NetworkId,
    asker: IpAddr,
    transport: Transport,
    bytes: &[u8],
) -> Reply {
    let Some(packet) = Packet::new(bytes).filter(|packet| !packet.is_response()) else {
        return Reply::Ignore;
    };
    if !packet.is_standard_query() {
        return Reply::Answer(packet.refusal(packet::NOTIMP));
    }
    // A query has one question; beside it may stand an OPT record and a signature. Looking first bounds what the
    // decoder builds.
    let [questions, answers, authorities, additionals] = packet.counts();
    let plain = questions == 1 && answers == 0 && authorities == 0 && additionals <= 2;
    let message = if plain { Message::from_vec(bytes).ok() } else { None };
    let Some(message) = message else {
        return Reply::Malformed(packet.refusal(packet::FORMERR));
    };
    let query = Query { message, transport };
    match query.resolve(directory, network, asker) {
        Ok(answer) => Reply::Answer(query.encode(&answer)),
        Err(Elsewhere) => Reply::Forward(query),
    }
}

/// The question is not ours to answer.
struct Elsewhere;

impl Query {
    fn resolve(
        &self,
        directory: &Directory,
        network: &NetworkId,
        asker: IpAddr,
    ) -> Result<Message, Elsewhere> {
        let Some(question) = self.message.queries.first() else {
            return Ok(self.response(ResponseCode::FormErr));
        };
        if self.message.version() > 0 {
            return Ok(self.response(ResponseCode::BADVERS));
        }
        let kind = question.query_type;
        let transfer = matches!(kind, RecordType::AXFR | RecordType::IXFR);
        if transfer || question.query_class != DNSClass::IN {
            return Ok(self.response(ResponseCode::Refused));
        }
        let name = &question.name;
        Ok(match directory.resolve(network, asker, name, kind) {
            Resolution::Addresses(addresses) => {
                let records = rotated(addresses).into_iter().map(|address| match address {
                    IpAddr::V4(address) => RData::A(rdata::A(address)),
                    IpAddr::V6(address) => RData::AAAA(rdata::AAAA(address)),
                });
                self.answer(name, records)
            }
            Resolution::Names(names) => {
                let names = names.iter().filter_map(|name| {
                    let labels = name.split('.').map(str::as_bytes);
                    Name::from_labels(labels).ok()
                });
                self.answer(name, names.map(|name| RData::PTR(rdata::PTR(name))))
            }
            // Neither has an SOA record: without one nothing is kept (RFC 2308, section 5), so that a service is found
            // as soon as it is there.
            Resolution::NoData => self.response(ResponseCode::NoError),
            Resolution::NoSuchName => self.response(ResponseCode::NXDomain),
            Resolution::NotReady => self.response(ResponseCode::ServFail),
            Resolution::Forward => return Err(Elsewhere),
        })
    }

    fn answer(&self, name: &Name, data: impl Iterator<Item = RData>) -> Message {
        let mut message = self.response(ResponseCode::NoError);
        message.add_answers(data.map(|data| Record::from_rdata(name.clone(), TTL, data)));
        message
    }

    fn response(&self, code: ResponseCode) -> Message {
        let mut message = Message::response(self.message.id, self.message.op_code);
        message.metadata.response_code = code;
        message.metadata.authoritative =
            matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        message.metadata.recursion_desired = self.message.recursion_desired;
        message.metadata.recursion_available = true;
        message.add_queries(self.message.queries.iter().cloned());
        if self.message.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_UDP).set_rcode_high(code.high());
            message.set_edns(edns);
        }
        message
    }

    /// How many bytes the asker takes (RFC 6891, section 6.2.5).
    fn limit(&self) -> usize {
        match self.transport {
            Transport::Udp => self.message.max_payload().min(MAX_UDP).into(),
            Transport::Tcp => u16::MAX.into(),
        }
    }

    fn encode(&self, message: &Message) -> Vec<u8> {
        let fits = |bytes: &Vec<u8>| bytes.len() <= self.limit();
        let whole = message.to_vec().ok().filter(fits);
        let bytes = whole.or_else(|| message.truncate().to_vec().ok().filter(fits));
        bytes.unwrap_or_else(|| {
            // Only what cannot be written comes here, and a header always can.
            let mut bare = Message::response(self.message.id, self.message.op_code);
            bare.metadata.response_code = ResponseCode::ServFail;
            bare.to_vec().unwrap_or_default()
        })
    }

    /// Tells the asker that nobody gave an answer.
    pub(super) fn failed(&self) -> Vec<u8> {
        self.encode(&self.response(ResponseCode::ServFail))
    }

    /// Tells the asker that it asks too much at once.
    pub(super) fn refused(&self) -> Vec<u8> {
        self.encode(&self.response(ResponseCode::Refused))
    }

    /// What another name server answered, in a form and size that the asker takes.
    ///
    /// It is passed on as it is, with all that we may not understand in it (RFC 5625, section 4).
    pub(super) fn relayed(&self, answer: Packet<'_>) -> Vec<u8> {
        let bytes = answer.renumbered(self.message.id.to_be_bytes());
        if bytes.len() <= self.limit() {
            return bytes;
        }
        let mut cut = self.response(ResponseCode::from_low(answer.response_code()));
        cut.metadata.authoritative = false;
        cut.metadata.truncation = true;
        self.encode(&cut)
    }
}

/// Begins at a random place, so that clients that take the first address share the load.
fn rotated(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    if let Ok(random) = getrandom::u32() {
        let start = usize::try_from(random).unwrap_or_default() % addresses.len().max(1);
        addresses.rotate_left(start);
    }
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

#[cfg(test)]
mod tests;
