//! Capturing packets at interfaces, into a file that Wireshark and its kin read.

mod filter;
mod pcapng;
mod session;

use std::io;

pub use self::{
    filter::{Filter, Tunnelled},
    pcapng::{Interface, Writer},
    session::{Captured, Limits, Point, Session},
};
use crate::kernel;

/// Why packets cannot be captured, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is no filter.
    #[error(
        "the filter {expression:?} is unusable: {reason}; pcap-filter(7) says how to write one"
    )]
    Filter {
        /// What was given.
        expression: String,
        /// What tcpdump says of it.
        reason: String,
    },
    /// There is nothing to compile a filter with.
    #[error(
        "there is no tcpdump on the PATH, which compiles filters: install the package tcpdump, or capture without a filter"
    )]
    NoTcpdump,
    /// An interface cannot be listened to.
    #[error("cannot capture at {interface}: {source}")]
    Interface {
        /// Its name.
        interface: String,
        /// Why.
        source: kernel::Error,
    },
    /// The interfaces are gone.
    #[error("{0}, so there is nothing more to capture")]
    Gone(String),
    /// What is captured cannot be written; by itself, to standard output.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// The kernel does not do what is needed.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
}
