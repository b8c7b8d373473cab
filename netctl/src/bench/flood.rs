//! A flood of forged tunnel packets, for the project's own benchmark: what a host spends on what it does not want.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use nix::libc;
use serde::Serialize;

use super::{
    Busy, Error, WARM_UP,
    batch::Batch,
    cpu::{self, Sample},
};

/// Datagrams for each system call.
const BATCH: usize = 64;

/// VXLAN packets, at full speed.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// The outer source address: one of this namespace.
    pub from: IpAddr,
    /// The host that they go to.
    pub to: SocketAddr,
    /// The network that they claim.
    pub vni: u32,
    /// The inner destination.
    pub mac: [u8; 6],
    /// Whether the outer datagrams have a checksum. Those of VXLAN mostly have none (RFC 7348, section 5), and what a
    /// data plane does with one that has may be something else.
    pub checksum: bool,
    /// For how long they are counted.
    pub milliseconds: u64,
    /// The sender's CPU.
    pub cpu: Option<usize>,
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Flooded {
    /// Packets, while they were counted.
    pub sent: u64,
    /// For how long.
    pub seconds: f64,
    /// How busy the sender's CPU was, or where it has none of its own, the machine. On a veth pair it receives too, in
    /// soft interrupts.
    pub busy: Busy,
}

impl Flood {
    /// Sends them from the calling thread.
    pub fn run(&self) -> Result<Flooded, Error> {
        cpu::pin(self.cpu)?;
        let at = SocketAddr::new(self.from, 0);
        let socket = UdpSocket::bind(at).map_err(|source| Error::Listen { at, source })?;
        socket.connect(self.to).map_err(|source| Error::Unreachable { to: self.to, source })?;
        if !self.checksum {
            without_checksum(&socket).map_err(Error::system("send without checksums"))?;
        }
        let mut batch = Batch::of(BATCH, self.payload());
        let mut send = |time: Duration| -> Result<u64, Error> {
            let (mut sent, end) = (0, Instant::now() + time);
            while Instant::now() < end {
                match batch.send(&socket) {
                    Ok(count) => sent += count,
                    // The other host says that nobody listens, which is as it should be.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(source) => return Err(Error::System { doing: "send packets", source }),
                }
            }
            Ok(sent)
        };
        send(WARM_UP)?;
        let sample = || {
            Sample::take().map(|all| match self.cpu {
                Some(cpu) => all.of(cpu),
                None => all,
            })
        };
        let before = sample()?;
        let sent = send(Duration::from_millis(self.milliseconds))?;
        let after = sample()?;
        let seconds = (after.taken - before.taken).as_secs_f64();
        Ok(Flooded { sent, seconds, busy: after.since(&before)? })
    }

    /// The header of VXLAN (RFC 7348, section 5), and a frame of 60 bytes with a UDP datagram from a stranger to an
    /// address that nobody has (TEST-NET-2 and 3, RFC 5737).
    fn payload(&self) -> Vec<u8> {
        let mut bytes = vec![0x08, 0, 0, 0];
        bytes.extend((self.vni << 8).to_be_bytes());
        bytes.extend(self.mac);
        bytes.extend([0x02, 0xfe, 0, 0, 0, 1, 0x08, 0x00]);
        let mut header =
            [0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 198, 51, 100, 1, 203, 0, 113, 1];
        let sum: u32 =
            header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let [.., high, low] = (!folded).to_be_bytes();
        (header[10], header[11]) = (high, low);
        bytes.extend(header);
        bytes.extend([0x30, 0x39, 0x30, 0x39, 0, 26, 0, 0]);
        bytes.extend([0; 18]);
        bytes
    }
}

/// `SO_NO_CHECK` of `socket(7)`'s kernel side, for UDP over IPv4 (`udp_send_skb`).
fn without_checksum(socket: &UdpSocket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(0);
    let (fd, value) = (socket.as_raw_fd(), (&raw const on).cast());
    // SAFETY: the kernel reads `length` bytes of `on`, which has as many; the descriptor is open.
    let code = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_NO_CHECK, value, length) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_a_valid_packet_of_its_network() {
        let flood = Flood {
            from: [127, 0, 0, 1].into(),
            to: ([127, 0, 0, 1], 4789).into(),
            vni: 0x0012_3456,
            mac: [2, 0, 0, 0, 0, 7],
            checksum: false,
            milliseconds: 1,
            cpu: None,
        };
        let bytes = flood.payload();
        assert_eq!(bytes.len(), 8 + 60);
        assert_eq!(bytes[..8], [8, 0, 0, 0, 0x12, 0x34, 0x56, 0]);
        assert_eq!(bytes[8..14], [2, 0, 0, 0, 0, 7]);
        let header = &bytes[22..42];
        let sum: u32 =
            header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the header's checksum");
        let flooded = flood.run().expect("sent to a port where nobody listens");
        assert!(flooded.seconds > 0.0);
    }
}
