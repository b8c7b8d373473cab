//! One HTTP exchange with a plugin.

use std::{error::Error as _, io, time::Duration};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::Address;

/// What a plugin is told of the form that its answer may have (moby, `pkg/plugins/transport`).
const ACCEPT: &str = "application/vnd.docker.plugins.v1.2+json";
/// The name of a host that a socket has.
const HOST: &str = "plugin.moby.localhost";
/// The longest answer that is read, in bytes.
const ANSWER: usize = 1 << 20;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It could not be asked, or broke off before it began to answer. Asking again may help.
    Unreachable(String),
    /// It took too long.
    Late,
    /// It began to answer, and that is of no use.
    Garbled(String),
}

/// Posts `body` to `/METHOD`, and waits for the answer for at most `limit`.
pub(super) async fn post(
    address: &Address,
    method: &str,
    body: Vec<u8>,
    limit: Duration,
) -> Result<(StatusCode, Bytes), Fault> {
    let exchange = async {
        match address {
            Address::Unix(path) => {
                let stream =
                    UnixStream::connect(path).await.map_err(|error| unreachable(&error))?;
                exchange(stream, HOST, method, body).await
            }
            Address::Tcp(authority) => {
                let stream =
                    TcpStream::connect(authority).await.map_err(|error| unreachable(&error))?;
                exchange(stream, authority, method, body).await
            }
        }
    };
    tokio::time::timeout(limit, exchange).await.unwrap_or(Err(Fault::Late))
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    host: &str,
    method: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), Fault> {
    let broken = |error: hyper::Error| Fault::Unreachable(reason(&error));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // What goes wrong in it is said by the calls below; it ends when this is done with, or given up.
    let connection = tokio::spawn(connection);
    let _ended = End(connection.abort_handle());
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/{method}"))
        .header(header::HOST, host)
        .header(header::ACCEPT, ACCEPT)
        // Go says so of an empty body too.
        .header(header::CONTENT_LENGTH, body.len())
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Fault::Garbled(error.to_string()))?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    match Limited::new(answer.into_body(), ANSWER).collect().await {
        Ok(body) => Ok((status, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Fault::Garbled(format!("it is longer than {ANSWER} bytes")))
        }
        Err(error) => Err(Fault::Garbled(format!("it broke off: {error}"))),
    }
}

fn unreachable(error: &io::Error) -> Fault {
    Fault::Unreachable(error.to_string())
}

/// hyper says what it was at, and its source what went wrong.
fn reason(error: &hyper::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Ends a connection's task when it goes.
struct End(tokio::task::AbortHandle);

impl Drop for End {
    fn drop(&mut self) {
        self.0.abort();
    }
}
