//! Requests that are no netctl's: raw bytes over the socket.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::{Host, Lab, Options};

use crate::state;

/// The status of the answer and the error in its body.
fn ask(host: &Host, head: &str, body: &[u8]) -> Result<(u16, String)> {
    let mut socket = UnixStream::connect(host.socket())?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let length = body.len();
    let head = format!(
        "{head} HTTP/1.1\r\nhost: netctl\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes())?;
    // The daemon may answer, and hang up, before it has read all of a body that is too long.
    drop(socket.write_all(body));
    let mut answer = Vec::new();
    drop(socket.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let error = serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|body| body["error"].as_str().map(str::to_owned))
        .unwrap_or_else(|| body.to_owned());
    Ok((status.with_context(|| format!("no status in {answer:?}"))?, error))
}

#[test]
fn malformed_requests_are_refused_in_a_sentence() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    host.ok(["network", "create", "dev"])?;
    let before = (state::dump(&lab)?, state::machine(host)?);
    let huge = vec![b' '; 300 * 1024];
    for (head, body, status, sentence) in [
        ("POST /v1/networks", &b"{"[..], 400, "the request's body is not JSON: EOF while parsing"),
        ("POST /v1/networks", b"\xff\xfe", 400, "the request's body is not JSON: "),
        ("POST /v1/networks", b"", 400, "the request's body is not JSON: EOF while parsing"),
        ("POST /v1/networks", b"[1]", 400, "field [0] is 1: "),
        (
            "POST /v1/networks",
            br#"{"name": "x", "colour": 1}"#,
            400,
            "field colour is 1: unknown field `colour`, expected one of `name`, ",
        ),
        (
            "POST /v1/networks",
            br#"{"name": "../../etc"}"#,
            400,
            r#"field name is "../../etc": name "../../etc" must consist of letters, "#,
        ),
        (
            "POST /v1/services",
            br#"{"service": "a.dev", "mac": "01:00:00:00:00:00"}"#,
            400,
            r#"field mac is "01:00:00:00:00:00": MAC address "01:00:00:00:00:00": a group address, "#,
        ),
        ("POST /v1/networks", &huge, 413, "the request's body is longer than 262144 bytes"),
        ("PUT /v1/networks", b"", 405, "/v1/networks cannot be asked with PUT"),
        ("DELETE /v1/run", b"", 405, "/v1/run cannot be asked with DELETE"),
        ("GET /v2/networks", b"", 404, "there is no GET /v2/networks; routes begin with /v1"),
        ("GET /", b"", 404, "there is no GET /; routes begin with /v1"),
        ("GET /v1/networks/%ff", b"", 400, r#"path "/v1/networks/%ff": "#),
        ("GET /v1/networks/..%2f..%2fhosts", b"", 404, "there is no network ../../hosts: "),
        ("GET /v1/services/a.b.c.d", b"", 400, r#"service "a.b.c.d" has more parts than "#),
        ("DELETE /v1/services/a.dev?force=perhaps", b"", 400, r#"query "force=perhaps": "#),
        ("DELETE /v1/services/a.dev?strength=9", b"", 400, r#"query "strength=9": "#),
        ("GET /v1/networks/other", b"", 404, "there is no network other: "),
        ("POST /v1/networks", br#"{"name": "dev"}"#, 409, "network dev is there already: "),
    ] {
        let (found, said) = ask(host, head, body)?;
        assert!(
            found == status && said.starts_with(sentence) && !said.contains('\n'),
            "{head}: {found} {said}\nexpected {status} {sentence}"
        );
    }
    // What is no HTTP at all ends that connection and nothing else.
    let mut socket = UnixStream::connect(host.socket())?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.write_all(&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, b'\r', b'\n', b'\r', b'\n'])?;
    drop(socket.read_to_end(&mut Vec::new()));
    assert_eq!(before, (state::dump(&lab)?, state::machine(host)?));
    lab.end()
}
