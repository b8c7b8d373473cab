//! What the eBPF programs and the daemon share.
//!
//! The one rule of this crate: every multi-byte field that came from or goes to the wire is kept as
//! big-endian bytes and read through a typed accessor, so that no caller ever swaps bytes.
#![cfg_attr(not(any(test, feature = "user")), no_std)]

pub mod addr;
pub mod addr6;
pub mod checksum;
pub mod config;
pub mod counter;
pub mod drop_reason;
pub mod ecn;
pub mod event;
pub mod flow;
pub mod maps;
pub mod outer;
pub mod traffic;
pub mod wire;

pub use addr::{MacAddr, Vni};
pub use counter::{Direction, Outcome, Verdict};
pub use drop_reason::DropReason;

/// The version of the layout of every pinned map.
///
/// It is part of the path under which links and maps are pinned, and moves whenever a key, a value or a map's type
/// changes, so that a daemon never reads what another layout wrote.
pub const ABI_VERSION: u32 = 3;
