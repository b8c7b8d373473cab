//! Many datagrams by one system call: one call for each would measure the calls.

use std::{
    io,
    net::UdpSocket,
    os::fd::AsRawFd as _,
    ptr::{null_mut, without_provenance_mut},
};

use nix::libc;

/// Datagrams of one size, as `sendmmsg` and `recvmmsg` take them. All of them lie in the same bytes: what is in
/// them does not matter.
pub(super) struct Batch {
    headers: Vec<libc::mmsghdr>,
    // The headers point to the vector, and that to the bytes: neither is touched again, both live as long.
    _vector: Box<libc::iovec>,
    _bytes: Box<[u8]>,
}

impl Batch {
    /// `count` datagrams of `size` bytes.
    pub(super) fn new(count: usize, size: usize) -> Self {
        Self::of(count, vec![0; size])
    }

    /// `count` datagrams of these bytes.
    pub(super) fn of(count: usize, bytes: Vec<u8>) -> Self {
        let size = bytes.len();
        let mut bytes = bytes.into_boxed_slice();
        let base = bytes.as_mut_ptr().cast();
        let mut vector = Box::new(libc::iovec { iov_base: base, iov_len: size });
        let header = libc::mmsghdr {
            msg_hdr: libc::msghdr {
                msg_name: null_mut(),
                msg_namelen: 0,
                msg_iov: &raw mut *vector,
                msg_iovlen: 1,
                msg_control: without_provenance_mut(0),
                msg_controllen: 0,
                msg_flags: 0,
            },
            msg_len: 0,
        };
        Self { headers: vec![header; count], _vector: vector, _bytes: bytes }
    }

    /// Sends all of them over a connected socket; gives how many were taken.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> io::Result<u64> {
        let (headers, count) = self.raw();
        // SAFETY: `headers` are `count` valid headers, which point into memory that this value owns and that nothing
        // else refers to; the descriptor is open.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers, count, 0) };
        u64::try_from(sent).map_err(|_negative| io::Error::last_os_error())
    }

    /// Waits for one, and takes as many as are there; gives their number.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<u64> {
        let (headers, count) = self.raw();
        let flags = libc::MSG_WAITFORONE;
        // SAFETY: as in `send`; the kernel writes into the bytes, which are never read.
        let received =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), headers, count, flags, null_mut()) };
        u64::try_from(received).map_err(|_negative| io::Error::last_os_error())
    }

    fn raw(&mut self) -> (*mut libc::mmsghdr, u32) {
        let count = u32::try_from(self.headers.len()).unwrap_or(u32::MAX);
        (self.headers.as_mut_ptr(), count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_at_once_is_received_at_once() {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        sender.connect(receiver.local_addr().expect("an address")).expect("connected");
        assert_eq!(Batch::new(7, 18).send(&sender).expect("sent"), 7);
        let mut batch = Batch::new(64, 64);
        assert_eq!(batch.receive(&receiver).expect("received"), 7);
        assert_eq!(batch.headers.iter().take(7).map(|header| header.msg_len).sum::<u32>(), 7 * 18);
    }
}
