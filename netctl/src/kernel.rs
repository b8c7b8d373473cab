//! Links, addresses, namespaces and settings of the kernel: small verbs on a handle bound to one namespace.
//!
//! Nothing here knows what a network or an endpoint is.

mod error;
mod netlink;
mod netns;
mod privileges;
mod sysctl;
mod underlay;

pub use self::{
    error::Error,
    netlink::{Link, Netlink, VethPeer, VethSpec},
    netns::Netns,
    privileges::check_privileges,
    sysctl::set_sysctl,
    underlay::{Underlay, find_underlay},
};
