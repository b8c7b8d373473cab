//! What can go wrong between two ends of a load.

use std::{io, net::SocketAddr};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there, or no packet comes through.
    #[error("cannot reach the load generator at {to}: {source}")]
    Unreachable {
        /// Where it should listen.
        to: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The address to listen on cannot be had.
    #[error("cannot listen on {at}: {source}")]
    Listen {
        /// The address.
        at: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The other end will not do it.
    #[error("the load generator at the other end refuses: {0}")]
    Refused(String),
    /// The other end says something else than it should.
    #[error("the other end of the load is no generator of this version: it said {0:?}")]
    Garbled(String),
    /// The other end has closed the connection.
    #[error(
        "the load generator at the other end hung up: it does not serve this host, or has ended"
    )]
    HungUp,
    /// No load came through, though the generators reach each other.
    #[error("no {what} came through within {seconds} s")]
    Silence {
        /// Of what.
        what: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// The machine has no such CPU, or this process may not use it.
    #[error("cannot run on CPU {cpu}: {source}")]
    Cpu {
        /// From 0.
        cpu: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// A socket, or a file of the kernel, failed.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A thread of the generator panicked.
    #[error("the load generator panicked")]
    Panicked,
}

impl Error {
    /// For `map_err`: a call that failed while `doing` something.
    pub(super) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}
