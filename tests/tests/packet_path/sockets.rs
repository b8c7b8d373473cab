//! What goes through sockets, and what comes out at the other end.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use testbed::Netns;

use crate::host::Container;

const DEADLINE: Duration = Duration::from_secs(10);

/// Sends `megabytes` by TCP, and fails unless the same bytes arrive.
pub(crate) fn transfer(from: &Container, to: &Container, megabytes: usize) -> Result<()> {
    transfer_to(from, to, to.station.address.into(), megabytes)
}

/// The same to this address of the receiver.
pub(crate) fn transfer_to(
    from: &Container,
    to: &Container,
    address: IpAddr,
    megabytes: usize,
) -> Result<()> {
    let listener = to.netns.within(|| Ok(TcpListener::bind((address, 0))?))?;
    let target = listener.local_addr()?;
    let stream = from.netns.within(|| Ok(TcpStream::connect_timeout(&target, DEADLINE)?));
    let mut stream = stream.context("connecting")?;
    let (mut accepted, _) = listener.accept()?;
    stream.set_write_timeout(Some(DEADLINE))?;
    accepted.set_read_timeout(Some(DEADLINE))?;

    let mut noise = Noise(1);
    let sent: Vec<u8> = (0..megabytes << 20).map(|_| noise.next()).collect();
    let received = thread::scope(|scope| -> Result<Vec<u8>> {
        let reader = scope.spawn(move || {
            let mut received = Vec::new();
            accepted.read_to_end(&mut received).map(|_| received)
        });
        stream.write_all(&sent).context("sending")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        Ok(reader.join().expect("the reader does not panic")?)
    })?;
    ensure!(received.len() == sent.len(), "{} of {} bytes arrived", received.len(), sent.len());
    ensure!(received == sent, "the bytes that arrived are others than those sent");
    Ok(())
}

/// Sends 100 datagrams in two writes (`UDP_SEGMENT`), and fails unless each arrives as it was sent.
pub(crate) fn segments(from: &Container, to: &Container, merge: bool) -> Result<()> {
    segments_to(from, to, to.station.address.into(), merge)
}

/// The same to this address of the receiver.
pub(crate) fn segments_to(
    from: &Container,
    to: &Container,
    address: IpAddr,
    merge: bool,
) -> Result<()> {
    const DATAGRAM: usize = 1000;
    let receiver = socket(&to.netns, address)?;
    let target = receiver.local_addr()?;
    if merge {
        setsockopt(&receiver, sockopt::UdpGroSegment, &true)?;
    }
    // All of them, however late the reader is and however small the buffers are that each came in.
    setsockopt(&receiver, sockopt::RcvBufForce, &(1 << 20))?;
    receiver.set_read_timeout(Some(Duration::from_secs(2)))?;
    let [v4, v6] = from.station.both();
    let sender = socket(&from.netns, if address.is_ipv4() { v4 } else { v6 })?;
    setsockopt(&sender, sockopt::UdpGsoSegment, &i32::try_from(DATAGRAM)?)?;
    let mut noise = Noise(2);
    let sent: Vec<u8> = (0..100 * DATAGRAM).map(|_| noise.next()).collect();

    let (done, finished) = mpsc::channel();
    let received = thread::scope(|scope| -> Result<(Vec<u8>, usize)> {
        let reader = scope.spawn(move || -> Result<(Vec<u8>, usize)> {
            let (mut all, mut reads) = (Vec::new(), 0);
            let mut buffer = vec![0; 65_536];
            while all.len() < 100 * DATAGRAM {
                let Ok(length) = receiver.recv(&mut buffer) else { break };
                ensure!(merge || length == DATAGRAM, "a datagram of {length} bytes");
                all.extend(&buffer[..length]);
                reads += 1;
            }
            done.send(()).context("nobody waits")?;
            Ok((all, reads))
        });
        for write in sent.chunks(50 * DATAGRAM) {
            sender.send_to(write, target)?;
        }
        finished.recv_timeout(DEADLINE).context("the receiver does not end")?;
        reader.join().expect("the reader does not panic")
    })?;
    let (received, reads) = received;
    ensure!(received.len() == sent.len(), "{} of {} bytes arrived", received.len(), sent.len());
    ensure!(received == sent, "the bytes that arrived are others than those sent");
    ensure!(merge || reads == 100, "{reads} datagrams arrived");
    Ok(())
}

/// A socket on a port that nobody has.
pub(crate) fn socket(netns: &Netns, ip: IpAddr) -> Result<UdpSocket> {
    netns.within(|| Ok(UdpSocket::bind((ip, 0))?))
}

/// Bytes that do not repeat soon: xorshift.
pub(crate) struct Noise(pub(crate) u32);

impl Noise {
    pub(crate) fn next(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.to_le_bytes()[1]
    }
}
