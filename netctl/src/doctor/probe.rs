//! Probes of the path to another host, on the port of VXLAN: the other host's programs send them back.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use netctl_common::wire::{PROBE_PORTS, Probe, Vxlan};
use nix::libc;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(600);
/// How often what was not answered is sent, so that one lost packet is no finding.
const TRIES: usize = 3;
/// Sizes of IP packets that are tried beside the one that is to fit, in bytes: what links and tunnels of others leave.
const SIZES: [u32; 14] =
    [9000, 8950, 4000, 1500, 1492, 1480, 1460, 1450, 1430, 1400, 1350, 1280, 1000, 576];
/// What stands behind the VXLAN header: an Ethernet header of a type for experiments (IEEE 802), from nobody to nobody.
const FRAME: [u8; 14] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x88, 0xb5];

/// How the way to a host was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// This host's own packet filter refused to let probes out.
    pub(super) refused: bool,
    /// What the host answered.
    pub(super) answered: Answered,
    /// The largest IP packet that came back, of those that were tried, in bytes.
    pub(super) largest: Option<u32>,
}

/// What a host answered; each but the last where nothing that comes after it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// Nothing at all.
    Nothing,
    /// That it is there, and no probe.
    Life,
    /// Probes that come back to the port that they were sent from.
    Back,
    /// Probes that come back as packets in tunnels do.
    Tunnel,
}

/// Probes the way to `peer` on UDP port `port`, for packets of up to `promised` bytes. In the namespace of the calling
/// thread, which it blocks.
pub(super) fn probe(own: IpAddr, peer: IpAddr, port: u16, promised: u32) -> io::Result<Found> {
    let socket = socket(own, peer, port)?;
    let mut refused = false;
    let headers = if peer.is_ipv4() { 20 + 8 } else { 40 + 8 };
    // Back to where it came from, as tunnels go, and the same in all sizes.
    let mut sizes: Vec<u32> = SIZES.into_iter().filter(|size| *size < promised).collect();
    sizes.insert(0, promised);
    let mut wanted: Vec<(Probe, u32)> = vec![(Probe::Back, 0), (Probe::Tunnel, 0)];
    wanted.extend(sizes.iter().map(|size| (Probe::Tunnel, size - headers)));
    let mut answered: BTreeSet<usize> = BTreeSet::new();
    let token: [u8; 8] = token()?;
    for _ in 0..TRIES {
        for (number, (kind, length)) in wanted.iter().enumerate() {
            if answered.contains(&number) {
                continue;
            }
            let datagram = datagram(*kind, token, number, *length);
            match socket.send(&datagram) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    refused = true;
                }
                // It does not fit the device, has no way, or an earlier one was answered by ICMP: no answer tells the rest.
                Err(_) => {}
            }
        }
        hear(&socket, token, &mut answered, wanted.len());
        if answered.contains(&0) && answered.contains(&1) && answered.contains(&2) {
            break;
        }
    }
    let fits = (0..sizes.len()).filter(|place| answered.contains(&(place + 2)));
    let largest = fits.map(|place| sizes[place]).max();
    let answered = if answered.contains(&1) {
        Answered::Tunnel
    } else if answered.contains(&0) {
        Answered::Back
    } else if is_alive(peer, port) {
        Answered::Life
    } else {
        Answered::Nothing
    };
    Ok(Found { refused, answered, largest })
}

/// Takes what comes back, until all has or nothing more does.
fn hear(socket: &UdpSocket, token: [u8; 8], answered: &mut BTreeSet<usize>, all: usize) {
    let end = Instant::now() + PATIENCE;
    let mut bytes = [0; 64];
    while answered.len() < all {
        let Some(left) = end.checked_duration_since(Instant::now()).filter(|l| !l.is_zero()) else {
            return;
        };
        if socket.set_read_timeout(Some(left)).is_err() {
            return;
        }
        // What ICMP says of an earlier one comes as an error of its own.
        if let Ok(length) = socket.recv(&mut bytes)
            && let Some(rest) = bytes.get(8 + FRAME.len()..length)
            && let Some((own, number)) = rest.split_first_chunk::<8>()
            && *own == token
            && let Some(number) = number.first()
        {
            answered.insert(usize::from(*number));
        }
    }
}

/// A probe of so many bytes of UDP payload, or of as many as it needs.
fn datagram(kind: Probe, token: [u8; 8], number: usize, length: u32) -> Vec<u8> {
    let number = [u8::try_from(number).unwrap_or(u8::MAX)];
    let mut datagram = [&Vxlan::bytes_of_probe(kind)[..], &FRAME, &token, &number].concat();
    let length = usize::try_from(length).unwrap_or(0);
    datagram.resize(datagram.len().max(length), 0);
    datagram
}

/// What tells the probes of this run from those of others.
fn token() -> io::Result<[u8; 8]> {
    let mut token = [0; 8];
    getrandom::fill(&mut token).map_err(io::Error::other)?;
    Ok(token)
}

/// A socket whose packets are not to be cut, whatever is known of the path, and have no checksum.
fn socket(own: IpAddr, peer: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = (PROBE_PORTS..=u16::MAX)
        .rev()
        .find_map(|port| match UdpSocket::bind((own, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
            bound => Some(bound),
        })
        .ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))??;
    // Numbers of `linux/in6.h`, which libc lacks.
    const UDP_NO_CHECK6_TX: libc::c_int = 101;
    const UDP_NO_CHECK6_RX: libc::c_int = 102;
    if peer.is_ipv4() {
        set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
        set(&socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1)?;
    } else {
        set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
        set(&socket, libc::SOL_UDP, UDP_NO_CHECK6_TX, 1)?;
        set(&socket, libc::SOL_UDP, UDP_NO_CHECK6_RX, 1)?;
    }
    socket.connect(SocketAddr::new(peer, port))?;
    Ok(socket)
}

fn set(
    socket: &UdpSocket,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open, and the option's value is an integer that lives as long as the call.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the host answers, be it to say that nobody listens.
fn is_alive(peer: IpAddr, port: u16) -> bool {
    match TcpStream::connect_timeout(&SocketAddr::new(peer, port), PATIENCE) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_vxlan_of_no_network() {
        let bytes = datagram(Probe::Tunnel, [7; 8], 3, 0);
        assert_eq!(bytes.len(), 8 + 14 + 8 + 1);
        assert_eq!(bytes[..8], [8, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(bytes[22..], [7, 7, 7, 7, 7, 7, 7, 7, 3]);
        assert_eq!(datagram(Probe::Tunnel, [7; 8], 3, 1472).len(), 1472);
    }
}
