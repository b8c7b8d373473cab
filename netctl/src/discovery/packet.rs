//! DNS messages as bytes, where they are passed on or refused without being understood (RFC 1035, section 4.1).

/// The length of a message's header.
pub(super) const HEADER: usize = 12;

/// How long a name is at most, in bytes (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;

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

    /// Whether all records are there that it says to have, each under a name that has an end. What is in a record is for
    /// those who know its type.
    pub(super) fn is_whole(self) -> bool {
        let [questions, records @ ..] = self.counts();
        let mut end = Some(HEADER);
        for _ in 0..questions {
            // Type and class.
            end = end.and_then(|end| Some(self.skip_name(end)? + 4));
        }
        for _ in 0..records.into_iter().map(u32::from).sum() {
            end = end.and_then(|end| self.skip_record(end));
        }
        end.is_some_and(|end| end <= self.0.len())
    }

    /// Where a record ends that begins at `start`.
    fn skip_record(self, start: usize) -> Option<usize> {
        // Type, class, time to live, and the length of what follows.
        let data = self.skip_name(start)? + 10;
        let length = self.0.get(data - 2..data)?;
        Some(data + usize::from(u16::from_be_bytes([length[0], length[1]])))
    }

    /// Where a name ends that begins at `start`. It may go on where an earlier one is, which must come to an end too: each
    /// step back is to before the one that it follows (RFC 1035, section 4.1.4).
    fn skip_name(self, start: usize) -> Option<usize> {
        let (mut at, mut least, mut end, mut length) = (start, start, None, 0);
        loop {
            let label = *self.0.get(at)?;
            match label {
                0 => return (length < MAX_NAME).then_some(end.unwrap_or(at + 1)),
                1..=0x3f => {
                    length += usize::from(label) + 1;
                    at += usize::from(label) + 1;
                }
                0xc0.. => {
                    let back = usize::from(label & 0x3f) << 8 | usize::from(*self.0.get(at + 1)?);
                    end.get_or_insert(at + 2);
                    if back >= least {
                        return None;
                    }
                    (at, least) = (back, back);
                }
                _ => return None,
            }
        }
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

    /// An answer to `message(7, …, "\x03svc\x03dev\x00", 1)` with records of these bytes.
    fn answer(records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = message(7, QR | RD, b"\x03svc\x03dev\x00", 1);
        bytes[7] = u8::try_from(records.len()).expect("few");
        bytes.extend(records.concat());
        bytes
    }

    const A: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc6\x33\x64\x07";
    const TXT: &[u8] = b"\x01x\xc0\x10\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x03\x02hi";

    #[test]
    fn what_is_cut_off_or_has_no_end_is_not_whole() {
        let many = [&b"\x3f"[..], &[b'a'; 63]].concat().repeat(4);
        let long = [&many[..], &A[2..]].concat();
        for (bytes, whole) in [
            (answer(&[]), true),
            (answer(&[A]), true),
            (answer(&[A, TXT]), true),
            ([&answer(&[A])[..], b"more"].concat(), true),
            (answer(&[&A[..15]]), false),
            (answer(&[A, &A[..3]]), false),
            (answer(&[A, b""]), false),
            // To itself, to what is behind it, into the header, and one to the other.
            (answer(&[&[b"\xc0\x19", &A[2..]].concat()]), false),
            (answer(&[&[b"\xc0\x20", &A[2..]].concat()]), false),
            (answer(&[&[b"\xc0\x02", &A[2..]].concat()]), false),
            (answer(&[&[b"\x01x\xc0\x19", &A[2..]].concat()]), false),
            (answer(&[&[b"\x80", &A[2..]].concat()]), false),
            (answer(&[&long]), false),
        ] {
            let packet = Packet::new(&bytes).expect("it has a header");
            assert_eq!(packet.is_whole(), whole, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn nearly_right_answers_are_read_or_refused() {
        let query = message(7, RD, b"\x03Svc\x03dev\x00", 1);
        let query = Packet::new(&query).expect("it has a header");
        let corpus = [answer(&[A]), answer(&[A, TXT]), answer(&[TXT, TXT, A]), answer(&[])];
        crate::fuzz::each(&corpus, |text| {
            let Some(packet) = Packet::new(text) else { return };
            // Who knows types as well finds none of what is not there. It makes room for all that there is said to be.
            let few = packet.counts().iter().all(|count| *count < 100);
            if few && hickory_proto::op::Message::from_vec(text).is_ok() {
                assert!(packet.is_whole());
            }
            if packet.answers(query) {
                let given = packet.in_reply_to(query);
                assert_eq!((given.len(), &given[..2]), (text.len(), &query.0[..2]));
                assert_eq!(
                    given[HEADER..],
                    [query.question().expect("one").0, &text[21..]].concat()
                );
            }
        });
    }

    #[test]
    fn a_refusal_is_a_header() {
        let query = message(7, 0x10 | RD, b"\x00", 1);
        let packet = Packet::new(&query).expect("it has a header");
        assert_eq!(packet.refusal(NOTIMP), [0, 7, 0x91, 0x84, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
