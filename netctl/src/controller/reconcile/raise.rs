//! Opening interfaces, once the data plane serves them.

use std::{collections::BTreeMap, path::PathBuf};

use ipnet::IpNet;

use super::{Reconciler, Service, failures::Failures, look::Own, pass::Work};
use crate::{
    controller::records::Attachment,
    drivers::Device,
    kernel::{self, Netns},
    model::EndpointId,
};

impl Reconciler {
    /// Opens interfaces that are not open yet.
    pub(super) async fn raise(
        &mut self,
        own: &BTreeMap<EndpointId, Own>,
        work: &Work,
        failures: &mut Failures,
    ) {
        for id in &work.endpoints {
            let Some(own) = own.get(id) else { continue };
            let port = self.built.get(id).and_then(|built| built.joined.port.as_ref());
            if let Some(port) = port.filter(|_| work.suspects.contains(id)) {
                self.raised.remove(&port.index);
            }
            let Some(port) = port.filter(|port| !self.raised.contains(&port.index)) else {
                continue;
            };
            if failures.of(id, &own.endpoint.network) != Service::Ready {
                continue;
            }
            match self.open(own, port).await {
                Ok(()) => drop(self.raised.insert(port.index)),
                Err(error) => failures.endpoint(id, error.to_string()),
            }
        }
    }

    /// Opens both ends of an endpoint's interface, the sandbox's last: so it has a carrier from the first packet on that
    /// it gets. Without one its answer would wait until its kernel, a second later, asks for its neighbour again.
    async fn open(&self, own: &Own, port: &Device) -> Result<(), kernel::Error> {
        let netlink = &self.context.netlink;
        netlink.set_up_by(port.index, &port.name).await?;
        let Some((netns, device)) = self.place(own) else { return Ok(()) };
        let netns = Netns::open(&netns)?;
        let inside = self.insides.open(&netns).await?;
        let inner = inside.link_by_name(&device).await?;
        inside.set_up(&inner).await?;
        // The outer end has a carrier only now. That it is looked at, has the kernel take notice at once instead of soon,
        // and drop none of what the programs answer (`linkwatch_sync_dev` in `rtnl_getlink`, since Linux 6.8).
        netlink.link_by_name(&port.name).await?;
        if !inner.up {
            announce(own, netns, inner.index);
        }
        Ok(())
    }

    /// The namespace of an endpoint's sandbox, and what its interface is called there; nothing where that is somebody
    /// else's to open.
    fn place(&self, Own { endpoint, sandbox, .. }: &Own) -> Option<(PathBuf, String)> {
        let record = self.records.get(sandbox).filter(|record| !record.sandbox.foreign)?;
        let of = |a: &&Attachment| a.interface.endpoint == endpoint.id;
        let device = record.attachments.iter().find(of)?.interface.device.clone()?;
        Some((record.sandbox.netns, device))
    }
}

/// Tells the members of its network where an endpoint's addresses are now. Who misses it finds out by itself, at the
/// price of some packets that are readdressed. Nobody waits for it: the kernel is slow to close a socket of packets
/// (`packet_release` waits for all processors).
fn announce(Own { endpoint, .. }: &Own, netns: Netns, link: u32) {
    let Some(mac) = endpoint.mac else { return };
    let addresses = endpoint.addresses.iter().map(IpNet::addr).collect();
    let service = endpoint.name.clone();
    drop(tokio::spawn(async move {
        if let Err(error) = netns.announce(link, mac, addresses).await {
            tracing::debug!(%service, %error, "not announced");
        }
    }));
}
