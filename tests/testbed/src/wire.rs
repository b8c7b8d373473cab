//! Frames that no kernel would send, and all that arrive.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socket,
};

use crate::netns::Netns;

#[expect(
    clippy::cast_possible_truncation,
    reason = "constants of the kernel's interface, all small"
)]
mod abi {
    use nix::libc;

    pub(super) const FAMILY: u16 = libc::AF_PACKET as u16;
    pub(super) const ALL: u16 = libc::ETH_P_ALL as u16;
    pub(super) const ADDRESS: libc::socklen_t = size_of::<libc::sockaddr_ll>() as u32;
    pub(super) const SWITCH: libc::socklen_t = size_of::<libc::c_int>() as u32;
}

/// `struct virtio_net_hdr` of `include/uapi/linux/virtio_net.h`, in bytes.
const OFFLOAD_HEADER: usize = 10;
/// `struct tpacket_auxdata` of `include/uapi/linux/if_packet.h`: its size, and where its fields stand.
const AUXILIARY: usize = 20;
const STATUS: usize = 0;
const TAG: usize = 16;
const TAG_TYPE: usize = 18;

/// A device that frames are written to and read from as they are (packet(7)).
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    address: libc::sockaddr_ll,
}

impl Wire {
    /// Only writes: what arrives is not kept.
    pub fn new(netns: &Netns, device: &str) -> Result<Self> {
        Self::open(netns, device, 0)
    }

    /// Also keeps what arrives from now on, and what the stack behind the device sends.
    pub fn tap(netns: &Netns, device: &str) -> Result<Self> {
        Self::open(netns, device, abi::ALL)
    }

    /// The same with VLAN tags where they were on the wire, though the kernel keeps them beside the frame.
    pub fn tap_with_tags(netns: &Netns, device: &str) -> Result<Self> {
        let wire = Self::tap(netns, device)?;
        wire.switch(libc::PACKET_AUXDATA, true)?;
        Ok(wire)
    }

    fn open(netns: &Netns, device: &str, protocol: u16) -> Result<Self> {
        netns
            .within(|| {
                let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
                let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
                // SAFETY: it is made of integers alone, for which zero is valid.
                let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
                address.sll_family = abi::FAMILY;
                address.sll_protocol = protocol.to_be();
                address.sll_ifindex = nix::net::if_::if_nametoindex(device)?.cast_signed();
                // SAFETY: the address is alive and of the size given.
                let bound = unsafe {
                    libc::bind(socket.as_raw_fd(), (&raw const address).cast(), abi::ADDRESS)
                };
                Errno::result(bound)?;
                Ok(Self { socket, address })
            })
            .with_context(|| format!("cannot open {device} in {}", netns.name()))
    }

    fn switch(&self, option: libc::c_int, on: bool) -> Result<()> {
        let value = libc::c_int::from(on);
        // SAFETY: the value is alive and of the size given.
        let set = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                (&raw const value).cast(),
                abi::SWITCH,
            )
        };
        Errno::result(set).with_context(|| format!("cannot set option {option}"))?;
        Ok(())
    }

    /// Writes a frame of which only the first `head` bytes are where the kernel looks for headers, and the rest in
    /// pages. Frames of less than a page it keeps in one piece whatever it is told (`packet_alloc_skb`).
    pub fn send_apart(&self, head: u16, frame: &[u8]) -> Result<()> {
        ensure!(frame.len() >= 4096, "{} bytes are kept in one piece", frame.len());
        let mut header = [0; OFFLOAD_HEADER];
        header[2..4].copy_from_slice(&head.to_ne_bytes());
        self.switch(libc::PACKET_VNET_HDR, true)?;
        self.send(&[&header[..], frame].concat())?;
        self.switch(libc::PACKET_VNET_HDR, false)
    }

    /// Writes a frame.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        // SAFETY: the buffer and the address are alive and of the sizes given.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const self.address).cast(),
                abi::ADDRESS,
            )
        };
        ensure!(sent == frame.len() as isize, "sent {sent} of {}: {}", frame.len(), Errno::last());
        Ok(())
    }

    /// The frames that come within `time`, those that are here already among them.
    pub fn receive(&self, time: Duration) -> Result<Vec<Vec<u8>>> {
        let end = Instant::now() + time;
        let mut frames = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            match self.read(&mut buffer) {
                Ok(frame) => frames.push(frame),
                Err(Errno::EAGAIN) if Instant::now() > end => return Ok(frames),
                Err(Errno::EAGAIN) => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => return Err(error).context("cannot read frames"),
            }
        }
    }

    fn read(&self, buffer: &mut [u8]) -> nix::Result<Vec<u8>> {
        let mut space = nix::cmsg_space!([u8; AUXILIARY]);
        let mut pieces = [IoSliceMut::new(buffer)];
        let message = recvmsg::<()>(
            self.socket.as_raw_fd(),
            &mut pieces,
            Some(&mut space),
            MsgFlags::empty(),
        )?;
        let length = message.bytes;
        let mut tag = None;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::Unknown(control) = control
                && control.cmsg_header.cmsg_type == libc::PACKET_AUXDATA
            {
                tag = tag.or(vlan(&control.data_bytes));
            }
        }
        let frame = &buffer[..length];
        Ok(match tag {
            Some(tag) => [&frame[..12], &tag, &frame[12..]].concat(),
            None => frame.to_vec(),
        })
    }
}

/// The tag that stands beside a frame, as it was on the wire.
fn vlan(auxiliary: &[u8]) -> Option<[u8; 4]> {
    let half = |at: usize| {
        let bytes = auxiliary.get(at..at + 2)?;
        Some(u16::from_ne_bytes(bytes.try_into().ok()?).to_be_bytes())
    };
    let status = auxiliary.get(STATUS..STATUS + 4)?;
    let status = u32::from_ne_bytes(status.try_into().ok()?);
    let ([type0, type1], [tag0, tag1]) = (half(TAG_TYPE)?, half(TAG)?);
    (status & libc::TP_STATUS_VLAN_VALID != 0).then_some([type0, type1, tag0, tag1])
}
