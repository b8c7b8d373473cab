//! Frames that no kernel would send, and all that arrive.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socket};

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
}

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
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => frames.push(buffer[..length].to_vec()),
                Err(Errno::EAGAIN) if Instant::now() > end => return Ok(frames),
                Err(Errno::EAGAIN) => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => return Err(error).context("cannot read frames"),
            }
        }
    }
}
