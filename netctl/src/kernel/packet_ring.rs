//! What one interface carries, in both directions: a packet socket with a ring that the kernel writes into.
//!
//! It sees what passes that interface and costs no other one anything. In particular the kernel stamps packets when it
//! puts them into the ring (`tpacket_rcv`): a socket that asks for time stamps by `SO_TIMESTAMP` has each packet of the
//! machine stamped when it is received (`net_enable_timestamp`).

use std::{
    mem,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    net::if_::if_nametoindex,
    sys::socket::{getsockopt, sockopt::SocketError},
};

use super::{Error, Netns, netns::on_thread};

/// All protocols, and both directions (`linux/if_ether.h`).
const ETH_P_ALL: u16 = 3;
/// The family of an interface's address.
const FAMILY: u16 = 17;
const _: () = assert!(libc::AF_PACKET == 17);
/// How long a packet waits at most for others before it can be read, in milliseconds.
const GATHER: u32 = 50;
/// The same, for those who wait for packets of several rings.
pub const RING_DELAY: Duration = Duration::from_millis(GATHER as u64);
/// The alignment of packets in a block (`TPACKET_ALIGNMENT` of `linux/if_packet.h`).
const FRAME: u32 = 16;

/// Offsets in a block, in bytes (`struct tpacket_block_desc` and `struct tpacket_hdr_v1` of `linux/if_packet.h`).
mod block {
    pub(super) const STATUS: usize = 8;
    pub(super) const PACKETS: usize = 12;
    pub(super) const FIRST: usize = 16;
}

/// Offsets in a packet of a block, in bytes (`struct tpacket3_hdr`), and in the address behind that (`struct sockaddr_ll`).
mod packet {
    pub(super) const NEXT: usize = 0;
    pub(super) const SECONDS: usize = 4;
    pub(super) const NANOSECONDS: usize = 8;
    pub(super) const SHOWN: usize = 12;
    pub(super) const LENGTH: usize = 16;
    pub(super) const STATUS: usize = 20;
    pub(super) const FRAME: usize = 24;
    pub(super) const TAG: usize = 32;
    pub(super) const TAG_TYPE: usize = 36;
    /// `sll_pkttype` of the address, which stands behind the header's 48 bytes.
    pub(super) const KIND: usize = 48 + 10;
}

/// Which packets a socket takes, and how many bytes of each: what a program of classic BPF returns.
pub type PacketFilter = Vec<libc::sock_filter>;

/// A packet that an interface has carried.
#[derive(Clone, Copy, Debug)]
pub struct RingPacket<'a> {
    /// When, since the Unix epoch.
    pub at: Duration,
    /// How many bytes it had.
    pub length: u32,
    /// What it begins with, from the Ethernet header on, as far as the filter said; without its VLAN tag.
    pub bytes: &'a [u8],
    /// The VLAN tag that the kernel keeps beside it: its ether type and what it says.
    pub tag: Option<(u16, u16)>,
    /// Whether it was sent by the interface's own side; else it was received there.
    pub sent: bool,
}

/// What a socket has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounts {
    /// Packets that its filter took.
    pub taken: u64,
    /// Those of them that the ring had no room for.
    pub lost: u64,
}

/// How large a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSize {
    /// Bytes of one block: a multiple of the page size, and a power of two. No packet takes more.
    pub block: u32,
    /// How many blocks there are.
    pub blocks: u32,
}

impl RingSize {
    fn bytes(self) -> usize {
        self.block as usize * self.blocks as usize
    }
}

/// A socket with its ring.
#[derive(Debug)]
pub struct PacketRing {
    socket: OwnedFd,
    memory: NonNull<u8>,
    size: RingSize,
    /// The block that is filled next.
    next: u32,
    counts: RingCounts,
}

// SAFETY: the memory is of the socket alone and has no other owner.
unsafe impl Send for PacketRing {}

impl PacketRing {
    /// Begins to take what `filter` lets through at the interface `device` of a namespace.
    ///
    /// # Errors
    /// [`Error::LinkMissing`], [`Error::NotPermitted`].
    pub async fn open(
        netns: &Netns,
        device: &str,
        filter: PacketFilter,
        size: RingSize,
    ) -> Result<Self, Error> {
        let (netns, device) = (netns.clone(), device.to_owned());
        let open = move || {
            netns.enter()?;
            Self::open_here(&device, &filter, size)
        };
        on_thread(open).await?
    }

    fn open_here(device: &str, filter: &PacketFilter, size: RingSize) -> Result<Self, Error> {
        let index = if_nametoindex(device)
            .map_err(|_errno| Error::LinkMissing { name: device.to_owned() })?;
        // It takes nothing before it is bound.
        // SAFETY: the call takes no pointers.
        let socket =
            unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        let socket = Errno::result(socket).map_err(|e| Error::system("open a packet socket", e))?;
        // SAFETY: it was just opened and is nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let set = |option, value: &dyn Setting| {
            value
                .set(&socket, option)
                .map_err(|errno| Error::system("set up a packet socket", errno))
        };
        set(
            (libc::SOL_PACKET, libc::PACKET_VERSION),
            &Plain(libc::tpacket_versions::TPACKET_V3 as i32),
        )?;
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
            filter: filter.as_ptr().cast_mut(),
        };
        set((libc::SOL_SOCKET, libc::SO_ATTACH_FILTER), &Plain(program))?;
        let request = libc::tpacket_req3 {
            tp_block_size: size.block,
            tp_block_nr: size.blocks,
            tp_frame_size: FRAME * 128,
            tp_frame_nr: size.block / (FRAME * 128) * size.blocks,
            tp_retire_blk_tov: GATHER,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set((libc::SOL_PACKET, libc::PACKET_RX_RING), &Plain(request))?;
        let ring = Self {
            memory: map(&socket, size)?,
            socket,
            size,
            next: 0,
            counts: RingCounts::default(),
        };
        ring.bind(index)?;
        Ok(ring)
    }

    fn bind(&self, index: u32) -> Result<(), Error> {
        let address = libc::sockaddr_ll {
            sll_family: FAMILY,
            sll_protocol: ETH_P_ALL.to_be(),
            sll_ifindex: index.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = length_of(&address);
        // SAFETY: the address is alive and of the length given.
        let bound =
            unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), length) };
        Errno::result(bound)
            .map(drop)
            .map_err(|errno| Error::system("listen on an interface", errno))
    }

    /// Gives `each` the packets that can be read by now, the oldest first.
    pub fn read(&mut self, mut each: impl FnMut(RingPacket<'_>)) {
        // No more than the ring holds: others wait too.
        for _ in 0..self.size.blocks {
            let status = self.status();
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return;
            }
            let block = self.block();
            let count = word(block, block::PACKETS);
            let mut at = word(block, block::FIRST) as usize;
            for _ in 0..count {
                let Some(header) = block.get(at..) else { break };
                let Some(packet) = parse(header) else { break };
                each(packet);
                at += word(header, packet::NEXT) as usize;
            }
            // The kernel's again: what was given to `each` is not used any more.
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % self.size.blocks;
        }
    }

    /// The status of the block that is filled next.
    fn status<'a>(&self) -> &'a AtomicU32 {
        // SAFETY: the block is within the memory, and aligned as pages are.
        let place = unsafe { self.start().add(block::STATUS) };
        // SAFETY: it lives as long as the ring, which `read` has borrowed for all of its time; the kernel too writes this
        // word at once.
        unsafe { AtomicU32::from_ptr(place.cast()) }
    }

    /// The bytes of the block that is filled next, which is ours now.
    fn block<'a>(&self) -> &'a [u8] {
        // SAFETY: the kernel writes none of it until its status is changed, and it lives as `status` says.
        unsafe { slice::from_raw_parts(self.start(), self.size.block as usize) }
    }

    fn start(&self) -> *mut u8 {
        let offset = self.size.block as usize * self.next as usize;
        // SAFETY: there are so many blocks.
        unsafe { self.memory.as_ptr().add(offset) }
    }

    /// What it has seen since it began.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn counts(&mut self) -> Result<RingCounts, Error> {
        let mut counts = [0_u32; 3];
        let mut length = length_of(&counts);
        // SAFETY: the buffer is alive and of the length given; it is a `struct tpacket_stats_v3`.
        let got = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                counts.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        Errno::result(got).map_err(|errno| Error::system("count packets", errno))?;
        // The kernel begins anew each time.
        let [taken, lost, _frozen] = counts.map(u64::from);
        self.counts.taken += taken;
        self.counts.lost += lost;
        Ok(self.counts)
    }

    /// Whether the interface is gone; it may have been down only. To be asked when the socket has an error, which is
    /// forgotten then.
    pub fn is_gone(&self) -> bool {
        // Which error it has does not matter.
        let _error = getsockopt(&self.socket, SocketError);
        // SAFETY: it is made of integers alone, for which zero is valid.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        let mut length = length_of(&address);
        let place = (&raw mut address).cast();
        // SAFETY: the address is alive and of the length given.
        let got = unsafe { libc::getsockname(self.socket.as_raw_fd(), place, &raw mut length) };
        // The kernel has -1 there then (`packet_notifier`).
        got == 0 && address.sll_ifindex < 0
    }
}

impl AsFd for PacketRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for PacketRing {
    fn drop(&mut self) {
        // SAFETY: nobody has a view of it any more, and it is unmapped once. That fails for no memory that was mapped.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.size.bytes()) };
    }
}

fn map(socket: &OwnedFd, size: RingSize) -> Result<NonNull<u8>, Error> {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let (length, socket) = (size.bytes(), socket.as_raw_fd());
    // SAFETY: it is new memory at a place of the kernel's choice.
    let memory =
        unsafe { libc::mmap(ptr::null_mut(), length, rights, libc::MAP_SHARED, socket, 0) };
    match NonNull::new(memory.cast::<u8>()) {
        Some(place) if memory != libc::MAP_FAILED => Ok(place),
        _ => Err(Error::system("share memory with the kernel", Errno::last())),
    }
}

/// A packet by what stands at its header.
fn parse(header: &[u8]) -> Option<RingPacket<'_>> {
    // The address is the last of what is looked at.
    header.get(packet::KIND)?;
    let start = usize::from(half(header, packet::FRAME));
    let shown = word(header, packet::SHOWN) as usize;
    let status = word(header, packet::STATUS);
    let tag = (status & libc::TP_STATUS_VLAN_VALID != 0).then(|| {
        let kind = if status & libc::TP_STATUS_VLAN_TPID_VALID != 0 {
            half(header, packet::TAG_TYPE)
        } else {
            0x8100
        };
        (kind, u16::try_from(word(header, packet::TAG)).unwrap_or_default())
    });
    let seconds = Duration::from_secs(word(header, packet::SECONDS).into());
    Some(RingPacket {
        at: seconds + Duration::from_nanos(word(header, packet::NANOSECONDS).into()),
        length: word(header, packet::LENGTH),
        bytes: header.get(start..start + shown)?,
        tag,
        sent: header.get(packet::KIND) == Some(&libc::PACKET_OUTGOING),
    })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|half| half.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

/// How long something is, as calls of sockets have it.
fn length_of<T>(value: &T) -> libc::socklen_t {
    size_of_val(value).try_into().unwrap_or(libc::socklen_t::MAX)
}

/// What an option of a socket is set to.
trait Setting {
    fn set(&self, socket: &OwnedFd, option: (i32, i32)) -> nix::Result<()>;
}

struct Plain<T>(T);

impl<T> Setting for Plain<T> {
    fn set(&self, socket: &OwnedFd, (level, name): (i32, i32)) -> nix::Result<()> {
        let value = (&raw const self.0).cast();
        let length = length_of(&self.0);
        // SAFETY: the value is alive and of the length given.
        let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, length) };
        Errno::result(set).map(drop)
    }
}
