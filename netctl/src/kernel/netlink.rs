//! One rtnetlink socket of one namespace, and the requests on it.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::StreamExt as _;
use nix::errno::Errno;
use rtnetlink::{
    Handle,
    packet_core::{
        ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage,
        NetlinkPayload,
    },
    packet_route::RouteNetlinkMessage,
};
use tokio::{runtime, sync::Mutex};

use super::{Error, Netns, NetnsId};
use crate::crash;

/// How often a dump that changes beneath it is begun again before its last answer is taken as it is.
const DUMP_TRIES: u32 = 5;
/// How many sockets [`Insides`] has open at most: there may be more sandboxes than descriptors.
const INSIDES: usize = 16;

/// The verbs of one namespace. Cheap to clone; clones share the socket.
#[derive(Clone, Debug)]
pub struct Netlink {
    /// The kernel allows one dump at a time on a socket (`netlink_dump_start` answers EBUSY): one request at a time.
    handle: Arc<Mutex<Handle>>,
    netns: Netns,
}

impl Netlink {
    /// Opens a socket in `netns`. Call it within a runtime, which then drives the socket from any of its threads.
    pub async fn open(netns: &Netns) -> Result<Self, Error> {
        let runtime = runtime::Handle::current();
        let (connection, handle, _) = netns
            .run(move || {
                let _entered = runtime.enter();
                let (mut connection, handle, unsolicited) = rtnetlink::new_connection()?;
                let socket = rtnetlink::sys::AsyncSocket::socket_mut(connection.socket_mut());
                // The kernel's own words for a refusal, without the request repeated before them.
                socket.set_ext_ack(true)?;
                socket.set_cap_ack(true)?;
                Ok((connection, handle, unsolicited))
            })
            .await?
            .map_err(|source| Error::System { doing: "open a netlink socket", source })?;
        drop(tokio::spawn(connection));
        Ok(Self { handle: Arc::new(Mutex::new(handle)), netns: netns.clone() })
    }

    /// The namespace that the verbs act on.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Asks for a change, or for one object where `flags` is 0.
    pub(super) async fn request(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, Failure> {
        self.request_with(message, flags, None).await
    }

    /// [`Netlink::request`] with a namespace whose descriptor the message names, to be kept open until the answer.
    pub(super) async fn request_with(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        named: Option<Netns>,
    ) -> Result<Vec<RouteNetlinkMessage>, Failure> {
        let handle = Arc::clone(&self.handle).lock_owned().await;
        let is_change = flags & NLM_F_ACK != 0;
        // On a task of its own, so that a caller that is cancelled does not leave half a conversation on the socket.
        tokio::spawn(async move {
            if is_change {
                crash::step("before a change by netlink");
            }
            let answer = exchange(handle.clone(), message, flags | NLM_F_REQUEST).await;
            if is_change {
                crash::step("after a change by netlink");
            }
            drop((handle, named));
            answer.map(|complete| complete.0)
        })
        .await
        .map_err(|_join| Failure::Lost)?
    }

    /// Asks for a change that the kernel acknowledges.
    pub(super) async fn change(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), Failure> {
        self.request(message, flags | NLM_F_ACK).await.map(drop)
    }

    /// Asks for all objects of a kind. Begun again if the kernel says that they changed meanwhile.
    pub(super) async fn dump(
        &self,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Failure> {
        let handle = Arc::clone(&self.handle).lock_owned().await;
        tokio::spawn(async move {
            let mut tries = 1;
            loop {
                let (objects, consistent) =
                    exchange(handle.clone(), message.clone(), NLM_F_REQUEST | NLM_F_DUMP).await?;
                if consistent || tries == DUMP_TRIES {
                    drop(handle);
                    return Ok(objects);
                }
                tries += 1;
            }
        })
        .await
        .map_err(|_join| Failure::Lost)?
    }
}

/// Sockets that stay open while several steps act on the same namespace: to open one takes a thread. They keep their
/// namespaces alive until they are closed.
#[derive(Debug, Default)]
pub struct Insides(Mutex<BTreeMap<NetnsId, Netlink>>);

impl Insides {
    /// The socket in `netns`, which is opened where there is none yet.
    pub async fn open(&self, netns: &Netns) -> Result<Netlink, Error> {
        let id = netns.id()?;
        let mut open = self.0.lock().await;
        if let Some(netlink) = open.get(&id) {
            return Ok(netlink.clone());
        }
        if open.len() >= INSIDES {
            open.clear();
        }
        let netlink = Netlink::open(netns).await?;
        open.insert(id, netlink.clone());
        Ok(netlink)
    }

    /// Closes them all.
    pub async fn close(&self) {
        self.0.lock().await.clear();
    }
}

/// One request and all that is answered to it, and whether nothing changed during a dump.
async fn exchange(
    mut handle: Handle,
    message: RouteNetlinkMessage,
    flags: u16,
) -> Result<(Vec<RouteNetlinkMessage>, bool), Failure> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = flags;
    let mut answers = handle.request(request).map_err(|_closed| Failure::Lost)?;
    let mut objects = Vec::new();
    let mut consistent = true;
    while let Some(answer) = answers.next().await {
        consistent &= answer.header.flags & NLM_F_DUMP_INTR == 0;
        match answer.payload {
            NetlinkPayload::InnerMessage(object) => objects.push(object),
            NetlinkPayload::Error(error) => {
                if let Some(code) = error.code {
                    return Err(Failure::Errno(Errno::from_raw(-code.get()), detail(&error)));
                }
            }
            NetlinkPayload::Overrun(_) => return Err(Failure::Lost),
            _ => {}
        }
    }
    Ok((objects, consistent))
}

/// The kernel's sentence in an extended acknowledgement: attributes after the header of the refused request.
fn detail(error: &ErrorMessage) -> Option<String> {
    const HEADER: usize = 16;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let mut rest = error.header.get(HEADER..)?;
    while let Some(&[l0, l1, k0, k1]) = rest.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(4..length)?;
        if u16::from_ne_bytes([k0, k1]) == NLMSGERR_ATTR_MSG {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// A request failed; what it was for is added by [`Failure::doing`].
#[derive(Debug)]
pub(super) enum Failure {
    Lost,
    Errno(Errno, Option<String>),
}

impl Failure {
    /// The kernel's answer, if it gave one.
    pub(super) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Lost => None,
            Self::Errno(errno, _) => Some(*errno),
        }
    }

    /// The error for users; `doing` completes "cannot …".
    pub(super) fn doing(self, doing: impl Into<String>) -> Error {
        let doing = doing.into();
        match self {
            Self::Lost => Error::ConnectionLost { doing },
            Self::Errno(Errno::EPERM, _) => Error::NotPermitted { doing },
            Self::Errno(errno, detail) => Error::Refused { doing, errno, detail },
        }
    }
}
