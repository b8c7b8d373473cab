//! Sockets at a gateway address.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use super::server::Listener;

/// Where DNS is served.
pub(super) const PORT: u16 = 53;
/// How many connections may wait to be accepted.
const BACKLOG: i32 = 64;

/// Names are not served on a network.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot serve names at {address} port {PORT} on device {device}: {source}{}",
    advice(source)
)]
pub struct ListenError {
    /// The address.
    pub address: IpAddr,
    /// The device.
    pub device: String,
    /// What the kernel says.
    pub source: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        "; let the name server of this host listen on addresses of its own instead of on all of them"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "; run the daemon as root"
    } else {
        ""
    }
}

/// The two sockets of a listener.
pub(super) fn open(listener: &Listener) -> Result<(UdpSocket, TcpListener), ListenError> {
    let sockets = || {
        let udp = bound(listener, Type::DGRAM, Protocol::UDP)?;
        let tcp = bound(listener, Type::STREAM, Protocol::TCP)?;
        tcp.listen(BACKLOG)?;
        Ok((UdpSocket::from_std(udp.into())?, TcpListener::from_std(tcp.into())?))
    };
    let Listener { device, address, .. } = listener;
    sockets().map_err(|source| ListenError { address: *address, device: device.clone(), source })
}

fn bound(listener: &Listener, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let address = SocketAddr::new(listener.address, PORT);
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    // Before bind: the same address may be taken once on each device, since networks may have the same gateway.
    socket.bind_device(Some(listener.device.as_bytes()))?;
    // An IPv6 address is not usable until it is known to be unique, which must not keep its server from starting.
    if listener.address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}
