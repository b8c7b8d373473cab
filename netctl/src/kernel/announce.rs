//! Telling the neighbours on a link who has an address now.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsRawFd as _, OwnedFd},
};

use netctl_common::{
    MacAddr,
    wire::{Ethernet, NeighbourAnswer, ether_type},
};
use nix::{
    libc,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::{Error, Netns};

/// An ARP packet for IPv4 over Ethernet that asks (RFC 826), up to the sender's address.
const ARP_REQUEST: [u8; 8] = [0, 1, 0x08, 0, 6, 4, 0, 1];

impl Netns {
    /// Says on a link of this namespace, once, that the station `mac` has these addresses: by an ARP announcement (RFC
    /// 5227 section 2.3) or an unsolicited neighbour advertisement (RFC 4861 section 7.2.6). Who knew another station for
    /// one of them knows better then.
    pub async fn announce(
        &self,
        link: u32,
        mac: MacAddr,
        addresses: Vec<IpAddr>,
    ) -> Result<(), Error> {
        self.run(move || {
            // Without a protocol it receives nothing.
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
            addresses.iter().try_for_each(|address| send(&socket, link, &frame(mac, *address)))
        })
        .await?
        .map_err(|source| Error::System { doing: "announce an address", source })
    }
}

fn frame(mac: MacAddr, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(mac, address),
        IpAddr::V6(address) => {
            // To all nodes, as where one without an address asks.
            let answer = NeighbourAnswer::new(mac, address.octets(), [0; 16]);
            let header = answer.ethernet(mac, mac);
            [bytes(&header), bytes(&answer)].concat()
        }
    }
}

fn arp(mac: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    let header = Ethernet::new(MacAddr([0xff; 6]), mac, ether_type::ARP);
    let address = address.octets();
    [bytes(&header), &ARP_REQUEST, &mac.0, &address, &[0; 6], &address].concat()
}

/// The bytes of a part of a packet.
fn bytes<T: Wire>(part: &T) -> &[u8] {
    // SAFETY: it consists of as many bytes, without gaps.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(part).cast(), size_of::<T>()) }
}

/// Consists of bytes without gaps.
///
/// # Safety
/// It does.
unsafe trait Wire {}
// SAFETY: their length is asserted where they are defined to be that of their fields.
unsafe impl Wire for Ethernet {}
// SAFETY: the same.
unsafe impl Wire for NeighbourAnswer {}

fn send(socket: &OwnedFd, link: u32, frame: &[u8]) -> io::Result<()> {
    // SAFETY: all fields are numbers, for which zero is a value.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    to.sll_ifindex = link.cast_signed();
    let length = libc::socklen_t::try_from(size_of_val(&to)).map_err(io::Error::other)?;
    // SAFETY: both pointers are to values of the lengths given, which outlive the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            std::ptr::from_ref(&to).cast(),
            length,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
        (0..text.len()).step_by(2).map(byte).collect()
    }

    #[test]
    fn frames_are_as_the_standards_have_them() {
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let arp = frame(mac, "10.1.0.2".parse().expect("an address"));
        let told = concat!(
            "ffffffffffff0200000000010806",
            "0001080006040001",
            "0200000000010a010002",
            "0000000000000a010002"
        );
        assert_eq!(arp, hex(told));
        let na = frame(mac, "fd00::2".parse().expect("an address"));
        assert_eq!(na.len(), 14 + 40 + 32);
        // To all nodes, from the address; the override flag alone.
        assert_eq!(na[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!((na[54], na[58]), (136, 0x20));
    }
}
