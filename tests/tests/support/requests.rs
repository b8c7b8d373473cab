//! Requests that are nearly right, as bytes over a socket: what a server of HTTP makes of clients that are not well.

use std::{
    fmt,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use testbed::{
    random::Random,
    texts::{mangled, shrunk},
};

/// How long an answer may take: operations wait for what they begin.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a body becomes at most, in bytes: more than a server of ours takes.
const LARGE: usize = 2 << 20;
/// The methods that there are (RFC 9110, section 9.1, and RFC 5789), but for CONNECT, whose target is no path; one that
/// there is not, and one that is no word.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "FLY", "get"];
/// What clients may say besides, and what they should not.
pub(crate) const HEADERS: [&str; 12] = [
    "Content-Type: text/plain",
    "Content-Type: application/json; charset=utf-16",
    "Content-Encoding: gzip",
    "Accept: text/html",
    "Accept-Encoding: br",
    "Connection: keep-alive, upgrade",
    "Upgrade: websocket",
    "Range: bytes=0-1",
    "If-None-Match: *",
    "Authorization: Basic Og==",
    "Cookie: \u{fc}=\u{1f600}",
    "Host: ../../etc",
];

/// A request that is right.
pub(crate) struct Sample {
    pub(crate) method: &'static str,
    /// The path with its query.
    pub(crate) target: String,
    /// Empty for none.
    pub(crate) body: String,
}

/// How a request goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// At once.
    Whole,
    /// In pieces.
    Slow,
    /// At once; then the client says that nothing follows.
    HalfClosed,
    /// Not all of it, by a client that goes away then.
    Cut,
}

/// A request.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
    pub(crate) manner: Manner,
    pub(crate) headers: Vec<&'static str>,
    /// Whether its body goes in chunks, without its length.
    chunked: bool,
    /// What stands for its head, where that is no right one.
    head: Option<Vec<u8>>,
}

/// An answer; its body as far as it has an end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// One of the samples, nearly, with some of `headers`; all of it is sent by a client that waits for the answer.
    pub(crate) fn any(random: &Random, samples: &[Sample], headers: &[&'static str]) -> Self {
        let sample = &samples[random.below(samples.len())];
        let targets: Vec<&[u8]> = samples.iter().map(|sample| sample.target.as_bytes()).collect();
        let bodies: Vec<&[u8]> = samples.iter().map(|sample| sample.body.as_bytes()).collect();
        let method = if random.percent(10) { random.pick(&METHODS) } else { sample.method };
        // What has no body is made wrong by its target.
        let wrong_targets = if sample.body.is_empty() { 85 } else { 20 };
        let target = if random.percent(wrong_targets) {
            escaped(&mangled(random, &targets))
        } else {
            sample.target.clone()
        };
        let body = match random.below(100) {
            0..80 => mangled(random, &[sample.body.as_bytes()]),
            80..85 => mangled(random, &bodies),
            85..88 => vec![b' '; random.below(LARGE)],
            _ => sample.body.clone().into_bytes(),
        };
        let headers = (0..random.below(3)).map(|_| random.pick(headers)).collect();
        let manner = if random.percent(4) { Manner::Slow } else { Manner::Whole };
        let chunked = random.percent(10);
        Self { method, target, body, manner, headers, chunked, head: None }
    }

    /// The same by a client that goes away, says too early that nothing follows, or does not speak HTTP.
    pub(crate) fn unwell(random: &Random, samples: &[Sample], headers: &[&'static str]) -> Self {
        let mut request = Self::any(random, samples, headers);
        match random.below(3) {
            0 => request.manner = Manner::HalfClosed,
            1 => request.manner = Manner::Cut,
            _ => request.head = Some(mangled(random, &[&request.head()])),
        }
        request
    }

    /// The same with what is left of its body when all is cut out that it needs not to fail.
    pub(crate) fn shrunk(&self, mut fails: impl FnMut(&Self) -> bool) -> Self {
        let with = |body: &[u8]| Self { body: body.to_vec(), ..self.clone() };
        with(&shrunk(&self.body, |body| fails(&with(body))))
    }

    /// Whether it is a request at all, all of which is sent by who waits for an answer.
    pub(crate) fn is_whole(&self) -> bool {
        self.head.is_none() && matches!(self.manner, Manner::Whole | Manner::Slow)
    }

    fn head(&self) -> Vec<u8> {
        if let Some(head) = &self.head {
            return head.clone();
        }
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.target)];
        lines.push("Host: netctl".to_owned());
        lines.extend(self.headers.iter().map(ToString::to_string));
        lines.push(if self.chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {}", self.body.len())
        });
        lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [&self.head()[..], b"\r\n"].concat();
        if self.chunked {
            for chunk in self.body.chunks(1000) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(&self.body);
        }
        bytes
    }

    /// Sends it over a connection of its own; no answer is what who goes away gets, and who does not ask by HTTP.
    pub(crate) fn send(&self, socket: &Path) -> Result<Option<Answer>> {
        let stream = UnixStream::connect(socket)
            .with_context(|| format!("nobody answers at {}", socket.display()))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let bytes = self.bytes();
        // Who refuses a request need not read all of it.
        drop(match self.manner {
            Manner::Whole | Manner::HalfClosed => (&stream).write_all(&bytes),
            Manner::Slow => bytes.chunks(1 + bytes.len() / 20).try_for_each(|piece| {
                std::thread::sleep(Duration::from_millis(1));
                (&stream).write_all(piece)
            }),
            Manner::Cut => {
                drop((&stream).write_all(&bytes[..bytes.len() / 2]));
                return Ok(None);
            }
        });
        if !self.is_whole() {
            drop(stream.shutdown(Shutdown::Write));
        }
        match Answer::read(&mut BufReader::new(stream), self.method == "HEAD") {
            Err(error) if !self.is_whole() && is_closed(&error) => Ok(None),
            answer => answer.map(Some),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        let shown = &bytes[..bytes.len().min(3000)];
        write!(formatter, "{:?}, {} bytes: {}", self.manner, bytes.len(), shown.escape_ascii())
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    let kinds = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
    error.downcast_ref::<io::Error>().is_some_and(|error| kinds.contains(&error.kind()))
}

impl Answer {
    fn read(stream: &mut BufReader<UnixStream>, headless: bool) -> Result<Self> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("no status: {head:?}"))?;
        ensure!(head.starts_with("HTTP/1."), "{head:?}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = if headless { 0 } else { length.map_or(Ok(0), str::parse)? };
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Ok(Self { status, head, body })
    }
}

/// A text as it may stand in a request's first line: `%` stays, and so is an escape that is none.
fn escaped(text: &[u8]) -> String {
    let byte = |byte: &u8| {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(byte) {
            char::from(*byte).to_string()
        } else {
            format!("%{byte:02x}")
        }
    };
    let rest = text.strip_prefix(b"/").unwrap_or(text);
    format!("/{}", rest.iter().map(byte).collect::<String>())
}
