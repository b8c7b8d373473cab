//! Addresses of links.

use std::net::IpAddr;

use ipnet::IpNet;
use nix::errno::Errno;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{
            AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
        },
    },
};

use super::{Error, Link, Netlink};

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link's number.
    pub link: u32,
    /// The address with the length of its prefix.
    pub net: IpNet,
    /// Whether it reaches beyond the link and the host.
    pub global: bool,
    /// Whether it is not the first of its subnet on the link; of IPv6, whether it is temporary (RFC 8981).
    pub secondary: bool,
    /// What it can be used for.
    pub state: AddressState,
}

/// What an address can be used for; one of IPv4 for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// For all.
    Preferred,
    /// For nothing yet: it is being looked whether another has it (RFC 4862, section 5.4), which takes a second or so.
    Tentative,
    /// For nothing new: its time is nearly up, or another was found to have it.
    Deprecated,
}

impl Netlink {
    /// Gives the link an address, and with it the route to its subnet. One that is there stays as it is. An IPv6
    /// address is usable at once: duplicate detection is left out, since addresses are allocated.
    pub async fn add_address(&self, link: &Link, net: IpNet) -> Result<(), Error> {
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        match self.change(RouteNetlinkMessage::NewAddress(message(link, net)), flags).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.errno() == Some(Errno::EEXIST) => Ok(()),
            Err(failure) => {
                Err(failure.doing(format!("give the interface {} the address {net}", link.name)))
            }
        }
    }

    /// Takes an address from the link; `false` if it did not have it.
    pub async fn delete_address(&self, link: &Link, net: IpNet) -> Result<bool, Error> {
        match self.change(RouteNetlinkMessage::DelAddress(message(link, net)), 0).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.errno() == Some(Errno::EADDRNOTAVAIL) => Ok(false),
            Err(failure) => {
                Err(failure
                    .doing(format!("take the address {net} from the interface {}", link.name)))
            }
        }
    }

    /// Gives the link these global addresses and no others; link-local ones are left alone.
    pub async fn set_addresses(&self, link: &Link, nets: &[IpNet]) -> Result<(), Error> {
        for address in self.addresses_of(link).await? {
            if address.global && !nets.contains(&address.net) {
                self.delete_address(link, address.net).await?;
            }
        }
        // Last, since the secondary addresses of a subnet go with the first (`inet_del_ifa`).
        for net in nets {
            self.add_address(link, *net).await?;
        }
        Ok(())
    }

    /// All addresses of the namespace.
    pub async fn addresses(&self) -> Result<Vec<Address>, Error> {
        let answer = self
            .dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))
            .await
            .map_err(|failure| failure.doing("list the addresses"))?;
        Ok(answer
            .iter()
            .filter_map(|object| {
                if let RouteNetlinkMessage::NewAddress(message) = object {
                    read(message)
                } else {
                    None
                }
            })
            .collect())
    }

    /// The addresses of one link.
    pub async fn addresses_of(&self, link: &Link) -> Result<Vec<Address>, Error> {
        let mut addresses = self.addresses().await?;
        addresses.retain(|address| address.link == link.index);
        Ok(addresses)
    }
}

fn message(link: &Link, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = link.index;
    message.header.prefix_len = net.prefix_len();
    message.header.scope = AddressScope::Universe;
    message.attributes =
        vec![AddressAttribute::Local(net.addr()), AddressAttribute::Address(net.addr())];
    match net.addr() {
        IpAddr::V4(_) => message.header.family = AddressFamily::Inet,
        IpAddr::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
    }
    message
}

fn read(message: &AddressMessage) -> Option<Address> {
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            _ => {}
        }
    }
    // On a point-to-point link `Address` is the other end's; IPv6 has no `Local` otherwise.
    let net = IpNet::new(local.or(address)?, message.header.prefix_len).ok()?;
    let flags = message.header.flags;
    let state = if flags.intersects(AddressHeaderFlags::Deprecated | AddressHeaderFlags::Dadfailed)
    {
        AddressState::Deprecated
    } else if flags.contains(AddressHeaderFlags::Tentative) {
        AddressState::Tentative
    } else {
        AddressState::Preferred
    };
    Some(Address {
        link: message.header.index,
        net,
        global: message.header.scope == AddressScope::Universe,
        secondary: flags.contains(AddressHeaderFlags::Secondary),
        state,
    })
}
