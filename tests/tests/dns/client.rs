//! A small asker.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RecordType},
};

/// Longer than the server's own patience.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(8);

/// What there is to know of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `No Error`, `Non-Existent Domain`, ….
    pub(crate) code: String,
    /// The data of its records, sorted.
    pub(crate) data: Vec<String>,
    pub(crate) truncated: bool,
}

impl Answer {
    /// An answer without errors, whole, with that data.
    pub(crate) fn of(data: &[&str]) -> Self {
        let data = data.iter().map(ToString::to_string).collect();
        Self { code: "No Error".into(), data, truncated: false }
    }

    /// An answer with nothing but a code.
    pub(crate) fn code(code: &str) -> Self {
        Self { code: code.into(), data: vec![], truncated: false }
    }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

fn answer(question: &Message, bytes: &[u8]) -> Answer {
    let message = Message::from_vec(bytes).expect("the answer can be read");
    assert_eq!(message.id, question.id);
    assert_eq!(message.queries, question.queries);
    let mut data: Vec<String> = message.answers.iter().map(|r| r.data.to_string()).collect();
    data.sort();
    Answer { code: message.response_code.to_string(), data, truncated: message.truncation }
}

fn server(address: &str) -> SocketAddr {
    (address.parse::<IpAddr>().expect("an address"), 53).into()
}

/// Sends bytes to a server and waits for others.
pub(crate) fn exchange(address: &str, bytes: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(server(address))?;
    socket.send(bytes)?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}

/// Asks over UDP.
pub(crate) fn udp(address: &str, name: &str, kind: RecordType) -> io::Result<Answer> {
    let question = question(name, kind);
    let bytes = question.to_vec().map_err(io::Error::other)?;
    exchange(address, &bytes, TIMEOUT).map(|bytes| answer(&question, &bytes))
}

/// Opens a connection.
pub(crate) fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server(address), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Asks on a connection.
pub(crate) fn ask_on(stream: &mut TcpStream, name: &str, kind: RecordType) -> io::Result<Answer> {
    let [answer] = ask_at_once(stream, [name], kind)?;
    Ok(answer)
}

/// Asks several questions on a connection before it waits for the first answer.
pub(crate) fn ask_at_once<const N: usize>(
    stream: &mut TcpStream,
    names: [&str; N],
    kind: RecordType,
) -> io::Result<[Answer; N]> {
    let questions = names.map(|name| question(name, kind));
    let mut all = Vec::new();
    for question in &questions {
        let bytes = question.to_vec().map_err(io::Error::other)?;
        all.extend(u16::try_from(bytes.len()).map_err(io::Error::other)?.to_be_bytes());
        all.extend(bytes);
    }
    stream.write_all(&all)?;
    let mut read = || {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut bytes = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let answers: Vec<Vec<u8>> = questions.iter().map(|_| read()).collect::<io::Result<_>>()?;
    let mut answers = answers.iter();
    Ok(questions.map(|question| answer(&question, answers.next().expect("as many"))))
}

/// Asks over TCP.
pub(crate) fn tcp(address: &str, name: &str, kind: RecordType) -> io::Result<Answer> {
    ask_on(&mut connect(address)?, name, kind)
}
