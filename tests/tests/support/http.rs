//! Asking by HTTP, one question for each connection.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use testbed::Host;

/// How long one answer may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// An answer: its status, its headers, and its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A connection from a host.
pub(crate) fn connect(from: &Host, to: SocketAddr) -> Result<TcpStream> {
    let stream = from.netns().within(|| Ok(TcpStream::connect_timeout(&to, DEADLINE)?))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// What is answered to a request that wants nothing further.
pub(crate) fn answer(mut stream: impl Read + Write, request: &str) -> Result<Answer> {
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no body: {text:?}"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("no status: {head}"))?;
    // Our answers have a length: they are not sent in pieces.
    ensure!(head.contains("content-length: "), "{head}");
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
