//! The kernel's own part of an endpoint: a namespace that is bound to a file, and a veth pair into it with an address,
//! both ends up. By raw requests, one socket for each namespace: nothing is paid for but what the kernel does.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use testbed::Netns;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const REQUEST_ACK: u16 = 0x1 | 0x4;
const CREATE: u16 = 0x400 | 0x200;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFF_UP: u32 = 1;

/// A namespace with one end of a pair, whose other end is on the host `beside`.
pub(super) struct Pair {
    path: PathBuf,
    name: String,
}

impl Pair {
    pub(super) fn make(beside: &Netns, number: usize) -> Result<Self> {
        let pair = Self {
            path: beside.path().with_extension(number.to_string()),
            name: format!("v{number}"),
        };
        File::create_new(&pair.path).context("cannot make a namespace")?;
        let address = [10, 65, u8::try_from(number / 256)?, u8::try_from(number % 256)?];
        thread::scope(|scope| scope.spawn(|| pair.furnish(beside, address)).join())
            .map_err(|_panic| anyhow!("making a namespace panicked"))??;
        Ok(pair)
    }

    fn furnish(&self, beside: &Netns, address: [u8; 4]) -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let own = "/proc/thread-self/ns/net";
        mount(Some(own), &self.path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        let inside = Socket::open()?;
        inside.ask(&up("lo")?)?;
        let netns = File::open(own)?;
        beside.within(|| {
            let host = Socket::open()?;
            host.ask(&pair(&self.name, netns.as_raw_fd()))?;
            host.ask(&up(&self.name)?)
        })?;
        inside.ask(&address_of("eth0", address)?)?;
        inside.ask(&up("eth0")?)
    }

    pub(super) fn remove(self, beside: &Netns) -> Result<()> {
        beside.within(|| {
            let mut link = Message::new(RTM_DELLINK, 0, &header(0, 0, 0));
            link.text(IFLA_IFNAME, &self.name);
            Socket::open()?.ask(&link)
        })?;
        umount2(&self.path, MntFlags::MNT_DETACH)?;
        Ok(fs::remove_file(&self.path)?)
    }
}

/// `struct ifinfomsg`.
fn header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), change.to_ne_bytes()].concat()
}

fn pair(name: &str, netns: i32) -> Message {
    let mut link = Message::new(RTM_NEWLINK, CREATE, &header(0, 0, 0));
    link.text(IFLA_IFNAME, name);
    link.nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "veth");
        info.nest(IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |peer| {
                peer.0.extend(header(0, 0, 0));
                peer.text(IFLA_IFNAME, "eth0");
                peer.attribute(IFLA_NET_NS_FD, &netns.to_ne_bytes());
            });
        });
    });
    link
}

fn up(name: &str) -> Result<Message> {
    Ok(Message::new(RTM_NEWLINK, 0, &header(if_nametoindex(name)?, IFF_UP, IFF_UP)))
}

fn address_of(device: &str, address: [u8; 4]) -> Result<Message> {
    // `struct ifaddrmsg`: of IPv4, a prefix of 16 bits, for everywhere.
    let [family, length] = [2, 16];
    let head = [[family, length, 0, 0], if_nametoindex(device)?.to_ne_bytes()].concat();
    let mut message = Message::new(RTM_NEWADDR, CREATE, &head);
    message.attribute(IFA_LOCAL, &address);
    message.attribute(IFA_ADDRESS, &address);
    Ok(message)
}

/// A request, but for its length.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((REQUEST_ACK | flags).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        Self(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |message| message.0.extend(value));
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat());
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.0.len() - start).expect("attributes are short");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        let length = u32::try_from(bytes.len()).expect("requests are short");
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }
}

/// A netlink socket of the namespace of the thread that opens it.
struct Socket(OwnedFd);

impl Socket {
    fn open() -> Result<Self> {
        let (kind, flags) = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
        Ok(Self(socket(AddressFamily::Netlink, kind, flags, SockProtocol::NetlinkRoute)?))
    }

    /// Asks for a change, and waits until it is done.
    fn ask(&self, message: &Message) -> Result<()> {
        send(self.0.as_raw_fd(), &message.bytes(), MsgFlags::empty())?;
        let mut answer = [0; 4096];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // `struct nlmsghdr` with `struct nlmsgerr` behind it.
        let Some(code) = answer[..length].get(16..).and_then(|rest| rest.first_chunk::<4>()) else {
            bail!("the kernel answers with {length} bytes");
        };
        match i32::from_ne_bytes(*code) {
            0 => Ok(()),
            code => Err(io::Error::from(Errno::from_raw(-code)).into()),
        }
    }
}
