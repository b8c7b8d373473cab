//! Whether a process of the host has a port.

use std::{io, net::SocketAddr};

use nix::libc::{EADDRINUSE, EAFNOSUPPORT, EPROTONOSUPPORT};
use socket2::{Domain, Protocol, Socket, Type};

use crate::model::{BoundPort, Transport};

/// Whether a process in the namespace of this thread could listen on a port now: a socket is bound, and closed at once.
pub(super) fn is_free(port: &BoundPort) -> io::Result<bool> {
    let Some(host_port) = port.host_port else { return Ok(true) };
    let (kind, protocol) = match port.transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
        Transport::Sctp => (Type::STREAM, Protocol::SCTP),
    };
    let address = SocketAddr::new(port.address, host_port.get());
    let socket = match Socket::new(Domain::for_address(address), kind, Some(protocol)) {
        // What the kernel does not have, no process uses.
        Err(error) if matches!(error.raw_os_error(), Some(EAFNOSUPPORT | EPROTONOSUPPORT)) => {
            return Ok(true);
        }
        socket => socket?,
    };
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // With this, a connection that has ended is not in the way (`inet_csk_bind_conflict`), as with any server that
    // starts again. UDP has none, and sockets that all ask for it would share the port.
    if port.transport != Transport::Udp {
        socket.set_reuse_address(true)?;
    }
    match socket.bind(&address.into()) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(EADDRINUSE) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        net::{TcpListener, TcpStream, UdpSocket},
        num::NonZeroU16,
    };

    use super::*;

    fn port(address: &str, number: u16, transport: Transport) -> BoundPort {
        let host_port = NonZeroU16::new(number);
        let port = NonZeroU16::MIN;
        BoundPort { address: address.parse().expect("an address"), host_port, port, transport }
    }

    fn free(address: &str, number: u16, transport: Transport) -> bool {
        is_free(&port(address, number, transport)).expect("it is found out")
    }

    #[test]
    fn who_listens_is_noticed() {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let number = tcp.local_addr().expect("an address").port();
        for (address, expected) in
            [("127.0.0.1", false), ("0.0.0.0", false), ("127.0.0.2", true), ("::", true)]
        {
            assert_eq!(free(address, number, Transport::Tcp), expected, "{address}");
        }
        drop(tcp);
        assert!(free("0.0.0.0", number, Transport::Tcp));

        let udp = UdpSocket::bind("[::]:0").expect("a port");
        let number = udp.local_addr().expect("an address").port();
        // A socket of IPv6 for all addresses takes those of IPv4 too (RFC 3493, section 3.7).
        for address in ["0.0.0.0", "127.0.0.1", "::", "::1"] {
            assert!(!free(address, number, Transport::Udp), "{address}");
        }
        drop(udp);
        assert!(free("::", number, Transport::Udp));
    }

    #[test]
    fn what_is_not_translated_takes_no_port() {
        assert!(free("0.0.0.0", 0, Transport::Tcp));
    }

    #[test]
    fn a_connection_that_has_ended_is_not_in_the_way() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).expect("a connection");
        // The end that closes first waits for a minute.
        drop(listener.accept().expect("a connection"));
        drop(listener);
        assert_eq!(client.read(&mut [0]).expect("the end"), 0);
        drop(client);
        assert!(free("127.0.0.1", address.port(), Transport::Tcp));
    }
}
