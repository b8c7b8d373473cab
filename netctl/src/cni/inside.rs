//! What is in a container's namespace, as the kernel has it.

use std::net::IpAddr;

use super::error::{Code, Error, Result};
use crate::kernel::{self, Link, Netlink, Netns, Route};

/// A container's namespace.
pub(super) struct Inside(Netlink);

impl Inside {
    pub(super) async fn open(netns: &Netns) -> Result<Self> {
        Netlink::open(netns).await.map(Self).map_err(|error| internal(&error))
    }

    pub(super) async fn link(&self, name: &str) -> Result<Option<Link>> {
        self.0.find_link(name).await.map_err(|error| internal(&error))
    }

    pub(super) async fn addresses(&self, link: &Link) -> Result<Vec<IpAddr>> {
        let addresses = self.0.addresses_of(link).await.map_err(|error| internal(&error))?;
        Ok(addresses.into_iter().map(|address| address.net.addr()).collect())
    }

    pub(super) async fn routes(&self) -> Result<Vec<Route>> {
        self.0.routes().await.map_err(|error| internal(&error))
    }
}

fn internal(error: &kernel::Error) -> Error {
    Error::new(Code::Internal, error.to_string())
}
