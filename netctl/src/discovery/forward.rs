//! Asking other name servers.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::{
    packet::{self, Packet},
    upstream::Upstreams,
};

/// How long all name servers together may take: less than the 5 seconds after which the asker's own resolver, at its
/// defaults, asks again (resolv.conf(5), `timeout`).
const PATIENCE: Duration = Duration::from_millis(4500);
/// When a server that said nothing is asked again: a datagram may get lost.
const AGAIN: Duration = Duration::from_secs(1);
/// What is read of a UDP answer. One that fills it may have been longer, and is asked for over TCP.
const UDP_BUFFER: usize = 4096;

/// Asks `servers` one after another; nothing where none gives an answer.
pub(super) async fn ask(
    upstreams: &Upstreams,
    servers: &[SocketAddr],
    query: &[u8],
) -> Option<Vec<u8>> {
    let share = PATIENCE / u32::try_from(servers.len()).ok().filter(|&count| count > 0)?;
    for &server in servers {
        match timeout(share, exchange(server, query)).await {
            Ok(Ok(answer)) => {
                upstreams.answered(server);
                return Some(answer);
            }
            Ok(Err(error)) => tracing::debug!(%server, %error, "a name server gave no answer"),
            Err(_elapsed) => {
                upstreams.silent(server);
                tracing::debug!(%server, "a name server did not answer in time");
            }
        }
    }
    None
}

/// One question to one server, under a number and from a port of its own, both random: an answer that nobody was asked
/// for has to guess both (RFC 5452, section 9).
async fn exchange(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let number = getrandom::u32()?.to_ne_bytes();
    let query = Packet::new(query).ok_or(io::ErrorKind::InvalidInput)?;
    let query = query.renumbered([number[0], number[1]]);
    let mut answer = over_udp(server, &query).await?;
    if is_cut(&answer) {
        match over_tcp(server, &query).await {
            Ok(whole) => answer = whole,
            // The asker gets what there is, marked as cut.
            Err(error) if answer.len() < UDP_BUFFER => {
                tracing::debug!(%server, %error, "a name server cuts its answer, and gives no other");
            }
            Err(error) => return Err(error),
        }
    }
    let Some(packet) =
        Packet::new(&answer).filter(|packet| packet.is_truncated() || packet.is_whole())
    else {
        return Err(io::Error::other("its answer is not whole"));
    };
    let code = packet.response_code();
    if matches!(code, packet::SERVFAIL | packet::REFUSED) {
        return Err(io::Error::other(format!("it refused with code {code}")));
    }
    Ok(answer)
}

/// Whether a UDP answer lacks something.
fn is_cut(answer: &[u8]) -> bool {
    answer.len() == UDP_BUFFER || Packet::new(answer).is_some_and(Packet::is_truncated)
}

async fn over_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; UDP_BUFFER];
    loop {
        let Ok(received) = timeout(AGAIN, socket.recv(&mut buffer)).await else {
            socket.send(query).await?;
            continue;
        };
        let length = received?;
        if answer_to(query, &buffer[..length]).is_some() {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&framed(query)).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    match answer_to(query, &answer) {
        Some(_) => Ok(answer),
        None => Err(io::Error::other("it answered another question")),
    }
}

fn answer_to<'a>(query: &[u8], answer: &'a [u8]) -> Option<Packet<'a>> {
    let query = Packet::new(query)?;
    Packet::new(answer).filter(|answer| answer.answers(query))
}

/// A message with its length before it (RFC 1035, section 4.2.2).
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    // What is longer than a length can say is never made: both a query and an answer have been read from a frame or a
    // datagram, or were encoded within the limit.
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&message[..length.into()]);
    bytes
}
