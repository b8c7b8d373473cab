//! Names: a DNS server on the gateway address of each network, and the text of sandboxes' `/etc/resolv.conf` and
//! `/etc/hosts`.
//!
//! It knows nothing of the store or the kernel's state: whoever does hands it a [`Directory`] of [`Zone`]s and a set of
//! [`Listener`]s, and swaps them when things change. A query goes one way: [`listener`] receives it, [`answer`] reads
//! it, [`resolve`] looks it up among the networks of the asker, and what is not ours goes by [`forward`] to the name
//! servers of [`upstream`].

mod answer;
mod counts;
mod directory;
pub mod files;
mod forward;
mod listener;
mod packet;
mod resolve;
mod server;
mod socket;
mod upstream;
mod zone;

pub use self::{
    counts::Counters,
    directory::{Asker, Askers, Directory, Joined},
    server::{Listener, Servers},
    socket::ListenError,
    upstream::{Led, Upstreams},
    zone::Zone,
};

#[cfg(test)]
pub(crate) mod tests;
