//! Links and addresses over rtnetlink.

mod address;
mod veth;
mod vxlan;

use std::{io, sync::Arc};

use futures_util::TryStreamExt as _;
use rtnetlink::{
    Handle, LinkUnspec,
    packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};
use tokio::sync::Mutex;

pub use self::veth::{VethPeer, VethSpec};
use super::{Error, Netns};
use crate::model::MacAddr;

/// A link, as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index, which never changes.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, where it has one.
    pub mac: Option<MacAddr>,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it is the loopback device.
    pub loopback: bool,
    /// What it is (`veth`, `vxlan`, …), as rtnetlink calls it; nothing for a real device.
    pub kind: Option<InfoKind>,
    /// The index of the link that it hangs on or, for a veth, of its peer in the peer's namespace.
    pub peer: Option<u32>,
}

/// A socket for requests in one namespace, which it stays bound to whoever uses it.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: Handle,
    /// The kernel allows one dump at a time on a socket.
    turn: Arc<Mutex<()>>,
}

impl Netlink {
    /// Opens a socket in `netns`. Its work is done on the runtime of the caller.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn open(netns: &Netns) -> Result<Self, Error> {
        let runtime = tokio::runtime::Handle::current();
        let opened = netns.run(|| {
            let _entered = runtime.enter();
            rtnetlink::new_connection()
        })?;
        let (connection, handle, _) =
            opened.map_err(|source| failed("open", "a netlink socket", source))?;
        drop(runtime.spawn(connection));
        Ok(Self { handle, turn: Arc::default() })
    }

    /// All links of the namespace.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        let _turn = self.turn.lock().await;
        let links = self.handle.link().get().execute().try_collect::<Vec<_>>().await;
        Ok(links
            .map_err(|error| refused("list", "links", error))?
            .into_iter()
            .map(Link::from)
            .collect())
    }

    /// The link of this name, if there is one.
    pub async fn link_by_name(&self, name: &str) -> Result<Option<Link>, Error> {
        let _turn = self.turn.lock().await;
        let found = self.handle.link().get().match_name(name.to_owned()).execute().try_next().await;
        match found {
            Ok(link) => Ok(link.map(Link::from)),
            Err(error) if errno(&error) == nix::libc::ENODEV => Ok(None),
            Err(error) => Err(refused("look up", name, error)),
        }
    }

    /// Sets a link up.
    pub async fn set_up(&self, index: u32) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let message = LinkUnspec::new_with_index(index).up().build();
        let done = self.handle.link().set(message).execute().await;
        done.map_err(|error| refused("set up", &link(index), error))
    }

    /// Removes a link; one that is gone is no error.
    pub async fn delete(&self, index: u32) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        match self.handle.link().del(index).execute().await {
            Err(error) if errno(&error) != nix::libc::ENODEV => {
                Err(refused("remove", &link(index), error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn add_link(&self, name: &str, message: LinkMessage) -> Result<Added, Error> {
        let _turn = self.turn.lock().await;
        match self.handle.link().add(message).execute().await {
            Ok(()) => Ok(Added::New),
            Err(error) if errno(&error) == nix::libc::EEXIST => Ok(Added::Exists),
            Err(error) => Err(refused("create", name, error)),
        }
    }
}

/// What became of a link that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    New,
    Exists,
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            up: flags.contains(LinkFlags::Up),
            loopback: flags.contains(LinkFlags::Loopback),
            kind: None,
            peer: None,
        };
        for attribute in message.attributes {
            if let LinkAttribute::IfName(name) = attribute {
                link.name = name;
            } else if let LinkAttribute::Address(bytes) = attribute {
                link.mac = <[u8; 6]>::try_from(bytes).ok().map(MacAddr);
            } else if let LinkAttribute::Mtu(mtu) = attribute {
                link.mtu = mtu;
            } else if let LinkAttribute::Link(peer) = attribute {
                link.peer = Some(peer);
            } else if let LinkAttribute::LinkInfo(infos) = attribute {
                link.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind),
                    _ => None,
                });
            }
        }
        link
    }
}

/// Sets the loopback device of the calling thread's namespace up.
pub(super) fn raise_loopback() -> io::Result<()> {
    /// The loopback device is the first of every namespace (`loopback_net_init`).
    const LOOPBACK: u32 = 1;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        drop(tokio::spawn(connection));
        let message = LinkUnspec::new_with_index(LOOPBACK).up().build();
        handle
            .link()
            .set(message)
            .execute()
            .await
            .map_err(|error| io::Error::from_raw_os_error(errno(&error)))
    })
}

fn link(index: u32) -> String {
    format!("link {index}")
}

/// What the kernel answered; `EPROTO` where it answered something that cannot be understood.
fn errno(error: &rtnetlink::Error) -> i32 {
    match error {
        rtnetlink::Error::NetlinkError(message) => -message.raw_code(),
        _ => nix::libc::EPROTO,
    }
}

fn refused(verb: &'static str, object: &str, error: rtnetlink::Error) -> Error {
    failed(verb, object, io::Error::from_raw_os_error(errno(&error)))
}

fn failed(verb: &'static str, object: &str, source: io::Error) -> Error {
    Error::Netlink { verb, object: object.to_owned(), source }
}
