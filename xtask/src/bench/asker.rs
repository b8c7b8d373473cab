//! Asking for names from inside a namespace, by messages made beforehand: an asker has to be faster
//! than who answers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testbed::Netns;

/// The length of a message's header (RFC 1035, section 4.1.1).
const HEADER: usize = 12;

/// A question for the IPv4 address of a name, under a number that its answer repeats.
pub(super) fn question(number: u16, name: &str) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    // Recursion is desired, as by every resolver; one question.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend(label.bytes().take(63));
    }
    // The root; type A, class IN.
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) number: u16,
    /// 0 where there is no error, 3 where there is no such name.
    pub(super) code: u8,
    /// Of the last record, where there is one.
    pub(super) address: Option<Ipv4Addr>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Result<Self> {
        let header = bytes.first_chunk::<HEADER>().context("an answer without a header")?;
        ensure!(header[2] & 0x80 != 0, "a question came for an answer");
        let address = (header[7] > 0).then(|| bytes.last_chunk::<4>()).flatten();
        Ok(Self {
            number: u16::from_be_bytes([header[0], header[1]]),
            code: header[3] & 0x0f,
            address: address.map(|&bytes| bytes.into()),
        })
    }
}

/// A socket to one name server.
pub(super) struct Asker(UdpSocket);

impl Asker {
    /// In `netns`; an answer is waited for as long as `patience`.
    pub(super) fn new(netns: &Netns, server: IpAddr, patience: Duration) -> Result<Self> {
        let socket = socket(netns, 0)?;
        socket.connect((server, 53))?;
        socket.set_read_timeout(Some(patience))?;
        Ok(Self(socket))
    }

    pub(super) fn send(&self, question: &[u8]) -> Result<()> {
        self.0.send(question).context("cannot ask")?;
        Ok(())
    }

    /// The next answer; none where there is none in time.
    pub(super) fn receive(&self) -> Result<Option<Answer>> {
        let mut buffer = [0; 512];
        match self.0.recv(&mut buffer) {
            Ok(length) => Answer::read(&buffer[..length]).map(Some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).context("cannot receive an answer"),
        }
    }
}

/// A UDP socket at a port of every address of a namespace; 0 is any port.
pub(super) fn socket(netns: &Netns, port: u16) -> Result<UdpSocket> {
    netns.within(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).context("cannot open a socket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_a_name_and_its_answer_an_address() {
        let mut bytes = question(0x0102, "svc.dev");
        assert_eq!(bytes[..6], [1, 2, 1, 0, 0, 1]);
        assert_eq!(bytes[HEADER..], *b"\x03svc\x03dev\x00\x00\x01\x00\x01");
        assert!(Answer::read(&bytes).is_err());
        bytes[2] |= 0x80;
        bytes[3] |= 3;
        let answer = Answer::read(&bytes).expect("an answer");
        assert_eq!(answer, Answer { number: 0x0102, code: 3, address: None });
        bytes[7] = 1;
        bytes.extend([10, 1, 0, 2]);
        let answer = Answer::read(&bytes).expect("an answer");
        assert_eq!(answer.address, Some(Ipv4Addr::new(10, 1, 0, 2)));
    }
}
