//! From the bytes of a query to those of its answer.

use std::net::IpAddr;

use hickory_proto::{
    op::{Edns, Message, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata},
};

use super::{
    directory::Directory,
    packet::{self, Packet},
    resolve::{Outside, Resolution, Target},
};
use crate::model::NetworkId;

/// How long, in seconds, an answer may be kept.
///
/// An endpoint that moved has to be found within a second. Not 0: one second lets a client that keeps answers ask once
/// for a burst of connections, and costs nothing within that bound.
const TTL: u32 = 1;
/// What a UDP answer may have in bytes, whatever the asker takes: what fits IPv6's least MTU, 1280, whole.
const MAX_UDP: u16 = 1232;
/// How many addresses or ports one answer names. A client uses the first few; more would only make the answer large.
const MAX_RECORDS: usize = 256;

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
    Forward(Query, Outside),
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
        Ok(answer) => Reply::Answer(query.encode(answer)),
        Err(outside) => Reply::Forward(query, outside),
    }
}

impl Query {
    fn resolve(
        &self,
        directory: &Directory,
        network: &NetworkId,
        asker: IpAddr,
    ) -> Result<Message, Outside> {
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
                self.answer(name, rotated(addresses).into_iter().map(data))
            }
            Resolution::Names(names) => {
                let names = names.iter().filter_map(|name| absolute(name));
                self.answer(name, names.map(|name| RData::PTR(rdata::PTR(name))))
            }
            Resolution::Ports(targets) => self.ports(name, rotated(targets)),
            // Neither has an SOA record: without one nothing is kept (RFC 2308, section 5), so that a service is found
            // as soon as it is there.
            Resolution::NoData => self.response(ResponseCode::NoError),
            Resolution::NoSuchName => self.response(ResponseCode::NXDomain),
            Resolution::NotReady => self.response(ResponseCode::ServFail),
            Resolution::Forward(outside) => return Err(outside),
        })
    }

    fn answer(&self, name: &Name, data: impl Iterator<Item = RData>) -> Message {
        let mut message = self.response(ResponseCode::NoError);
        message.add_answers(data.map(|data| Record::from_rdata(name.clone(), TTL, data)));
        message
    }

    /// Where a port is, with the addresses of who has it, so that nobody need ask for them (RFC 2782). All have the same
    /// priority and weight: who asks takes them in the order that they are in, which is another one each time.
    fn ports(&self, name: &Name, targets: Vec<Target>) -> Message {
        let targets: Vec<(Name, Target)> =
            targets.into_iter().filter_map(|t| Some((absolute(&t.name)?, t))).collect();
        let records = targets
            .iter()
            .map(|(name, target)| RData::SRV(rdata::SRV::new(0, 0, target.port, name.clone())));
        let mut message = self.answer(name, records);
        for (name, target) in &targets {
            let known = message.additionals.iter().any(|record| record.name == *name);
            let addresses = if known { &[][..] } else { &target.addresses[..] };
            let records = addresses.iter().map(|&a| Record::from_rdata(name.clone(), TTL, data(a)));
            message.add_additionals(records);
        }
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

    /// As much as the asker takes. What need not be told goes first, and is not missed (RFC 2181, section 9). Of the
    /// rest it gets what fits, marked as cut: some askers never come again by TCP.
    fn encode(&self, mut message: Message) -> Vec<u8> {
        let fitting = |message: &Message| {
            message.to_vec().ok().filter(|bytes: &Vec<u8>| bytes.len() <= self.limit())
        };
        let mut bytes = fitting(&message);
        if bytes.is_none() && !message.additionals.is_empty() {
            message.additionals.clear();
            bytes = fitting(&message);
        }
        if bytes.is_none() {
            message.metadata.truncation = true;
            let answers = std::mem::take(&mut message.answers);
            bytes = fitting(&message);
            let (mut fit, mut over) = (0, answers.len());
            while fit + 1 < over {
                let count = usize::midpoint(fit, over);
                message.answers = answers[..count].to_vec();
                match fitting(&message) {
                    Some(longer) => (fit, bytes) = (count, Some(longer)),
                    None => over = count,
                }
            }
        }
        bytes.unwrap_or_else(|| {
            // Only what cannot be written comes here, and a header always can.
            let mut bare = Message::response(self.message.id, self.message.op_code);
            bare.metadata.response_code = ResponseCode::ServFail;
            bare.to_vec().unwrap_or_default()
        })
    }

    /// Tells the asker that nobody gave an answer.
    pub(super) fn failed(&self) -> Vec<u8> {
        self.encode(self.response(ResponseCode::ServFail))
    }

    /// Tells the asker that it asks too much at once.
    pub(super) fn refused(&self) -> Vec<u8> {
        self.encode(self.response(ResponseCode::Refused))
    }

    /// What another name server answered, in a form and size that the asker takes.
    ///
    /// It is passed on as it is, with all that we may not understand in it (RFC 5625, section 4).
    ///
    /// Its question is repeated letter by letter: an asker may have chosen the case of each to know its answer by.
    pub(super) fn relayed(&self, query: Packet<'_>, answer: Packet<'_>) -> Vec<u8> {
        let bytes = answer.in_reply_to(query);
        if bytes.len() <= self.limit() {
            return bytes;
        }
        let mut cut = self.response(ResponseCode::from_low(answer.response_code()));
        cut.metadata.authoritative = false;
        cut.metadata.truncation = true;
        self.encode(cut)
    }
}

/// Begins at a random place, so that clients that take the first address share the load.
fn rotated<T>(mut all: Vec<T>) -> Vec<T> {
    if all.len() > 1
        && let Ok(random) = getrandom::u32()
    {
        let start = usize::try_from(random).unwrap_or_default() % all.len();
        all.rotate_left(start);
    }
    all.truncate(MAX_RECORDS);
    all
}

fn data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(rdata::A(address)),
        IpAddr::V6(address) => RData::AAAA(rdata::AAAA(address)),
    }
}

/// A name of ours, from the root.
fn absolute(name: &str) -> Option<Name> {
    Name::from_labels(name.split('.').map(str::as_bytes)).ok()
}

#[cfg(test)]
mod tests;
