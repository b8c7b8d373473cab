//! The labs, and who asks without a browser.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Options, Store};

/// Where each host has its page.
pub(crate) const URL: &str = "http://127.0.0.1:9470/";

/// How long one answer may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Hosts with a page each, and the network `dev`.
pub(crate) fn lab(hosts: u8, store: Store) -> Result<Lab> {
    let arguments = vec!["--web-listen".to_owned()];
    let lab = Lab::start(Options { hosts, store, arguments, ..Options::default() })?;
    lab.host(1).ok(["network", "create", "--subnet", "10.91.0.0/24", "dev"])?;
    Ok(lab)
}

/// A sandbox `box-NAME` with the service `NAME.NETWORK`.
pub(crate) fn join(host: &Host, service: &str) -> Result<()> {
    let sandbox = format!("box-{}", service.split('.').next().unwrap_or_default());
    host.ok(["run", "--name", &sandbox, "--publish-service", service, "true"]).map(drop)
}

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

/// What is answered to `METHOD PATH` with this `Host`.
pub(crate) fn ask(from: &Host, to: SocketAddr, line: &str, named: Option<&str>) -> Result<Answer> {
    let mut stream = connect(from, to)?;
    let named = named.map(|name| format!("host: {name}\r\n")).unwrap_or_default();
    let request =
        format!("{line} HTTP/1.1\r\n{named}connection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no body: {text:?}"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("no status: {head}"))?;
    ensure!(head.contains("content-length: "), "{head}");
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
