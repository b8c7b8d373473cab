//! Addresses of links.

use std::{collections::BTreeMap, net::IpAddr};

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};

use super::{Error, Netlink, refused};

impl Netlink {
    /// Gives a link an address; one that it has is no error.
    pub async fn add_address(&self, index: u32, address: IpNet) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let request = self.handle.address().add(index, address.addr(), address.prefix_len());
        request
            .replace()
            .execute()
            .await
            .map_err(|error| refused("add", &format!("address {address}"), error))
    }

    /// The addresses of a link.
    pub async fn addresses(&self, index: u32) -> Result<Vec<IpNet>, Error> {
        let all = self.all_addresses().await?;
        Ok(all.into_iter().filter(|(link, _)| *link == index).map(|(_, address)| address).collect())
    }

    /// The networks that links of the namespace have addresses in, with the links' names; not those of the loopback
    /// device.
    pub async fn connected_networks(&self) -> Result<Vec<(IpNet, String)>, Error> {
        let names: BTreeMap<u32, String> = self
            .links()
            .await?
            .into_iter()
            .filter(|link| !link.loopback)
            .map(|link| (link.index, link.name))
            .collect();
        let all = self.all_addresses().await?;
        Ok(all
            .into_iter()
            .filter_map(|(index, address)| Some((address.trunc(), names.get(&index)?.clone())))
            .collect())
    }

    async fn all_addresses(&self) -> Result<Vec<(u32, IpNet)>, Error> {
        let _turn = self.turn.lock().await;
        let listed = self.handle.address().get().execute().try_collect::<Vec<_>>().await;
        let messages = listed.map_err(|error| refused("list", "addresses", error))?;
        Ok(messages
            .iter()
            .filter_map(|message| Some((message.header.index, own(message)?)))
            .collect())
    }
}

/// `IFA_LOCAL` is the link's own address where the two differ (point to point); IPv6 has `IFA_ADDRESS` alone.
fn own(message: &AddressMessage) -> Option<IpNet> {
    let pick = |attribute: &AddressAttribute| -> (Option<IpAddr>, Option<IpAddr>) {
        match attribute {
            AddressAttribute::Local(address) => (Some(*address), None),
            AddressAttribute::Address(address) => (None, Some(*address)),
            _ => (None, None),
        }
    };
    let found: Vec<_> = message.attributes.iter().map(pick).collect();
    let local = found.iter().find_map(|(local, _)| *local);
    let address = local.or_else(|| found.iter().find_map(|(_, address)| *address))?;
    IpNet::new(address, message.header.prefix_len).ok()
}
