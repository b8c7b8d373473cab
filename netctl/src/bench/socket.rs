//! Sockets with the settings that a load needs.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    time::Duration,
};

use nix::{
    libc,
    sys::socket::{setsockopt, sockopt::RcvBufForce},
};
use socket2::{Domain, SockRef, Socket, Type};

use super::{Error, LOOK, PATIENCE};

/// What a receiver of datagrams may hold back, in bytes: some milliseconds of them.
const HELD: usize = 4 << 20;

/// A listener on a free port of `at`, whose calls, and those of its connections, return every [`LOOK`].
pub(super) fn listen(at: SocketAddr) -> Result<TcpListener, Error> {
    let failed = |source| Error::Listen { at, source };
    let listener = TcpListener::bind(any_port(at)).map_err(failed)?;
    SockRef::from(&listener).set_read_timeout(Some(LOOK)).map_err(failed)?;
    Ok(listener)
}

/// A socket for datagrams on a free port of `at`, whose calls return every `patience`.
pub(super) fn bind(at: SocketAddr, patience: Duration) -> Result<UdpSocket, Error> {
    let failed = |source| Error::Listen { at, source };
    let socket = UdpSocket::bind(any_port(at)).map_err(failed)?;
    socket.set_read_timeout(Some(patience)).map_err(failed)?;
    // Only some may have more than the kernel gives to everybody.
    if setsockopt(&socket, RcvBufForce, &HELD).is_err() {
        SockRef::from(&socket).set_recv_buffer_size(HELD).map_err(failed)?;
    }
    Ok(socket)
}

/// A socket for datagrams to `to`.
pub(super) fn dial(to: SocketAddr, patience: Duration) -> Result<UdpSocket, Error> {
    let own: SocketAddr = match to {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    };
    let socket = bind(own, patience)?;
    socket.connect(to).map_err(|source| Error::Unreachable { to, source })?;
    Ok(socket)
}

/// A TCP connection that sends at once what it is given.
pub(super) fn connect(to: SocketAddr) -> Result<TcpStream, Error> {
    let unreachable = |source| Error::Unreachable { to, source };
    let stream = TcpStream::connect_timeout(&to, PATIENCE).map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(unreachable)?;
    Ok(stream)
}

/// A TCP connection that ends by a reset, so that no port has to wait for anything afterwards.
pub(super) fn brief(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// What the kernel knows of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Connection {
    /// Segments that were sent again.
    pub(super) retransmits: u64,
    /// The algorithm of its congestion control.
    pub(super) congestion: String,
    /// Bytes of payload in its largest segment.
    pub(super) segment: u32,
}

impl Connection {
    /// Of the sender's end.
    pub(super) fn of(stream: &TcpStream) -> io::Result<Self> {
        let name = SockRef::from(stream).tcp_congestion()?;
        let name: Vec<u8> = name.into_iter().take_while(|byte| *byte != 0).collect();
        let info = info(stream)?;
        Ok(Self {
            retransmits: info.tcpi_total_retrans.into(),
            congestion: String::from_utf8_lossy(&name).into_owned(),
            segment: info.tcpi_snd_mss,
        })
    }
}

/// `tcp(7)`, `TCP_INFO`.
fn info(stream: &TcpStream) -> io::Result<libc::tcp_info> {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).unwrap_or(0);
    let (fd, to) = (stream.as_raw_fd(), info.as_mut_ptr().cast());
    // SAFETY: the kernel writes at most `length` bytes to `to`, which has as many.
    let code =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, to, &raw mut length) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it consists of integers, for which all bits zero are a value, and was zeroed.
    Ok(unsafe { info.assume_init() })
}

fn any_port(mut at: SocketAddr) -> SocketAddr {
    at.set_port(0);
    at
}
