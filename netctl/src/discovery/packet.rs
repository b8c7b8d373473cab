//! DNS messages as bytes, where they are passed on or refused without being understood (RFC 1035, section 4.1).

/// The length of a message's header.
pub(super) const HEADER: usize = 12;

/// Bits of the third byte: response, opcode, truncated, recursion desired.
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TC: u8 = 0x02;
const RD: u8 = 0x01;
/// A bit of the fourth byte: recursion available. The response code is the low half.
const RA: u8 = 0x80;

/// The response codes of RFC 1035, section 4.1.1, that are read or written here.
pub(super) const FORMERR: u8 = 1;
pub(super) const SERVFAIL: u8 = 2;
pub(super) const NOTIMP: u8 = 4;
pub(super) const REFUSED: u8 = 5;

/// A message that has a whole header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a>(&'a [u8]);

impl<'a> Packet<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= HEADER).then_some(Self(bytes))
    }

    pub(super) fn is_response(self) -> bool {
        self.0[2] & QR != 0
    }

    pub(super) fn is_standard_query(self) -> bool {
        self.0[2] & (QR | OPCODE) == 0
    }

    pub(super) fn is_truncated(self) -> bool {
        self.0[2] & TC != 0
    }

    pub(super) fn response_code(self) -> u8 {
        self.0[3] & 0x0f
    }

    /// How many questions, answers, authorities and additional records it says to have.
    pub(super) fn counts(self) -> [u16; 4] {
        [4, 6, 8, 10].map(|at| u16::from_be_bytes([self.0[at], self.0[at + 1]]))
    }

    /// The name, and the type and class, of the first question, whose name must not be compressed.
    fn question(self) -> Option<(&'a [u8], &'a [u8])> {
        let mut end = HEADER;
        loop {
            let length = usize::from(*self.0.get(end)?);
            end += 1;
            match length {
                0 => break,
                1..=63 => end += length,
                _ => return None,
            }
        }
        Some((self.0.get(HEADER..end)?, self.0.get(end..end + 4)?))
    }

    /// Whether it answers `query`: its number, and its one question, but for the case of letters.
    pub(super) fn answers(self, query: Self) -> bool {
        let same = |a: Option<(&[u8], &[u8])>, b: Option<(&[u8], &[u8])>| {
            a.zip(b).is_some_and(|(a, b)| a.0.eq_ignore_ascii_case(b.0) && a.1 == b.1)
        };
        self.is_response()
            && self.0[..2] == query.0[..2]
            && self.counts()[0] == 1
            && same(self.question(), query.question())
    }

    /// The bare refusal of a query that may be unreadable past its header.
    pub(super) fn refusal(self, code: u8) -> Vec<u8> {
        let flags = QR | (self.0[2] & (OPCODE | RD));
        let mut bytes = vec![self.0[0], self.0[1], flags, RA | code];
        bytes.resize(HEADER, 0);
        bytes
    }

    /// The same message, an answer to `query`, with its number and with its question in its letters.
    pub(super) fn in_reply_to(self, query: Packet<'_>) -> Vec<u8> {
        let mut bytes = self.renumbered([query.0[0], query.0[1]]);
        let same = |(own, asked): &(&[u8], &[u8])| own.eq_ignore_ascii_case(asked);
        let names = self.question().map(|q| q.0).zip(query.question().map(|q| q.0)).filter(same);
        if let Some((_, asked)) = names {
            bytes[HEADER..HEADER + asked.len()].copy_from_slice(asked);
        }
        bytes
    }

    /// The same message under another number.
    pub(super) fn renumbered(self, number: [u8; 2]) -> Vec<u8> {
        let mut bytes = self.0.to_vec();
        bytes[..2].copy_from_slice(&number);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u8, flags: u8, name: &[u8], kind: u8) -> Vec<u8> {
        let mut bytes = vec![0, number, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&[0, kind, 0, 1]);
        bytes
    }

    #[test]
    fn an_answer_repeats_number_and_question() {
        let query = message(7, RD, b"\x03Svc\x03dev\x00", 1);
        for (answer, fits) in [
            (message(7, QR, b"\x03svc\x03DEV\x00", 1), true),
            (message(8, QR, b"\x03svc\x03dev\x00", 1), false),
            (message(7, 0, b"\x03svc\x03dev\x00", 1), false),
            (message(7, QR, b"\x03svd\x03dev\x00", 1), false),
            (message(7, QR, b"\x03svc\x03dev\x00", 28), false),
            (message(7, QR, b"\xc0\x0c", 1), false),
            (message(7, QR, b"\x3fsvc", 1), false),
        ] {
            let packet = |bytes| Packet::new(bytes).expect("it has a header");
            assert_eq!(packet(&answer).answers(packet(&query)), fits, "{answer:?}");
        }
    }

    #[test]
    fn a_refusal_is_a_header() {
        let query = message(7, 0x10 | RD, b"\x00", 1);
        let packet = Packet::new(&query).expect("it has a header");
        assert_eq!(packet.refusal(NOTIMP), [0, 7, 0x91, 0x84, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
