//! What etcd's errors mean.

use std::{error::Error as _, io};

use super::super::{Error, Revision};

/// Why a call failed, without the place.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The member is away, or cannot answer now; another may.
    Away {
        /// Why.
        reason: String,
        /// Whether the request may have been carried out. A connection that was never made carried nothing.
        sent: bool,
    },
    /// The member lives, and has no leader at this moment, or had another one when it was asked: nothing was done.
    Unsettled(String),
    /// No member would do it.
    Refused(String),
    /// There is no such lease.
    NoLease,
    /// The revision is no longer kept.
    Compacted(Revision),
}

impl Fault {
    /// The same where it is certain that nothing was carried out.
    pub(super) fn unsent(self) -> Self {
        match self {
            Self::Away { reason, .. } => Self::Away { reason, sent: false },
            Self::Unsettled(_) | Self::Refused(_) | Self::NoLease | Self::Compacted(_) => self,
        }
    }

    pub(super) fn at(self, place: &str) -> Error {
        let place = place.to_owned();
        match self {
            Self::Away { reason, .. } | Self::Unsettled(reason) => {
                Error::Unavailable { place, reason }
            }
            Self::Refused(reason) => Error::Refused { place, reason },
            Self::NoLease => Error::Refused { place, reason: "the lease has ended".to_owned() },
            Self::Compacted(wanted) => Error::Compacted { wanted },
        }
    }
}

type Cause = dyn std::error::Error + 'static;

/// gRPC's codes by number (<https://grpc.io/docs/guides/status-codes/>): the client's crate does not export its own.
mod code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const UNIMPLEMENTED: i32 = 12;
    pub(super) const UNAVAILABLE: i32 = 14;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

impl From<etcd_client::Error> for Fault {
    fn from(error: etcd_client::Error) -> Self {
        use etcd_client::Error::{GRpcStatus, InvalidArgs, InvalidUri, LeaseKeepAliveError};
        if let LeaseKeepAliveError(text) = &error
            && text.contains("not found")
        {
            return Self::NoLease;
        }
        if matches!(error, InvalidArgs(_) | InvalidUri(_)) {
            return Self::Refused(root(&error));
        }
        let GRpcStatus(status) = &error else {
            return Self::Away { reason: root(&error), sent: true };
        };
        let message = status.message();
        let told = message.strip_prefix("etcdserver: ").unwrap_or(message).to_owned();
        match i32::from(status.code()) {
            code::NOT_FOUND if message.contains("lease not found") => Self::NoLease,
            code::OUT_OF_RANGE if message.contains("compacted") => Self::Compacted(Revision(0)),
            // Nothing was done: another connection logs in again.
            code::UNAUTHENTICATED | code::INVALID_ARGUMENT if is_stale_login(message) => {
                Self::Away { reason: told, sent: false }
            }
            code::RESOURCE_EXHAUSTED if message.contains(FULL) => Self::Refused(format!(
                "its database is full ({told}): compact and defragment it, and then `etcdctl alarm disarm`"
            )),
            code::INVALID_ARGUMENT
            | code::NOT_FOUND
            | code::PERMISSION_DENIED
            | code::RESOURCE_EXHAUSTED
            | code::FAILED_PRECONDITION
            | code::OUT_OF_RANGE
            | code::UNIMPLEMENTED
            | code::UNAUTHENTICATED => Self::Refused(told),
            // What comes while there is no leader (`newUnaryInterceptor` and `newStreamInterceptor` in etcd's
            // interceptor.go), and what reads meet that waited for one (`linearizableReadLoop` in v3_server.go).
            code::UNAVAILABLE
                if message.contains("no leader") || message.contains("leader changed") =>
            {
                Self::Unsettled(told)
            }
            _ if status.source().is_some() => {
                Self::Away { reason: root(status), sent: !unconnected(status) }
            }
            _ => Self::Away { reason: told, sent: true },
        }
    }
}

/// What etcd says when its database has grown to `--quota-backend-bytes`.
const FULL: &str = "database space exceeded";

/// Whether a login is out of date: its token has run out, or users or roles changed since.
fn is_stale_login(message: &str) -> bool {
    message.contains("invalid auth token") || message.contains("revision of auth store is old")
}

/// The chain of what caused an error, from it down.
fn causes(error: &Cause) -> impl Iterator<Item = &Cause> {
    fn below<'a>(error: &&'a Cause) -> Option<&'a Cause> {
        (**error).source()
    }
    std::iter::successors(Some(error), below)
}

/// The innermost cause: "Connection refused" rather than "transport error".
fn root(error: &Cause) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

/// Whether it is certain that there was no connection: only `connect(2)` fails so.
fn unconnected(error: &Cause) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| {
        matches!(
            cause.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::AddrNotAvailable
        )
    })
}
