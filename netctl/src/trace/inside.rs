//! What the sandbox does itself: its link, its route, and whom it takes for the next station.

use std::net::IpAddr;

use netctl_common::{DropReason, MacAddr};

use super::{
    Error, Known, Scene,
    packet::Packet,
    parties::{Destination, Sender},
    report::Hops,
};
use crate::{
    doctor::RESTART,
    kernel::{Departure, Link, Netlink, Netns},
    model::{InterfaceView, Name, Network},
};

/// How a packet leaves its sandbox.
pub(super) struct Start<'a> {
    pub(super) sandbox: &'a str,
    pub(super) interface: &'a InterfaceView,
    pub(super) network: Network,
    pub(super) mac: MacAddr,
    /// Whom it is handed to, the destination or a gateway.
    pub(super) via: IpAddr,
    /// The station that has that; `None` where the packet is for all.
    pub(super) next: Option<MacAddr>,
}

/// Has the packet leave; `None` where it does not, or comes back at once.
pub(super) async fn leave<'a>(
    scene: &'a Scene,
    sender: &Sender<'a>,
    destination: &Destination,
    packet: &mut Packet,
    hops: &mut Hops,
) -> Result<Option<Start<'a>>, Error> {
    let Some(inside) = Inside::open(sender, hops).await? else { return Ok(None) };
    let to = destination.address;
    let Some((source, departure)) = inside.departure(scene, to, hops).await? else {
        return Ok(None);
    };
    let Some((interface, link)) = inside.exit(&departure, hops) else { return Ok(None) };
    packet.source = source.or(departure.source).or(address(interface, to));
    if !inside.takes(link, packet, hops) {
        return Ok(None);
    }
    let (at, device) = (&inside.at, &link.name);
    let network = network(scene, interface)?;
    let Some(mac) = interface.mac.or(link.mac) else {
        hops.doubt(at, format!("{device} has no Ethernet address, so it is not the data plane's"));
        return Ok(None);
    };
    let via = departure.gateway.unwrap_or(to);
    let next = if to.is_multicast() || departure.broadcast {
        hops.pass(at, format!("it goes out by {device} to all"));
        None
    } else {
        let by = departure.gateway.map_or_else(String::new, |via| format!(" by {via}"));
        hops.pass(at, format!("it goes out by {device} to {to}{by}"));
        match next(scene, &inside.netlink, departure.link, &network, via, hops).await? {
            None => return Ok(None),
            found => found,
        }
    };
    let sandbox = sender.sandbox.sandbox.name.as_str();
    Ok(Some(Start { sandbox, interface, network, mac, via, next }))
}

/// The sandbox of the sender, looked into.
struct Inside<'a, 's> {
    sender: &'s Sender<'a>,
    at: String,
    netlink: Netlink,
    links: Vec<Link>,
}

impl<'a, 's> Inside<'a, 's> {
    /// Looks into it; `None` where it, or the interface that the packet is to be from, is not there.
    async fn open(sender: &'s Sender<'a>, hops: &mut Hops) -> Result<Option<Self>, Error> {
        let sandbox = &sender.sandbox.sandbox;
        let at = format!("sandbox {}", sandbox.name);
        let Ok(netns) = Netns::open(&sandbox.netns) else {
            let what = format!("its network namespace is gone from {}", sandbox.netns.display());
            hops.stop(at, "namespace-gone", what, format!("netctl sandbox rm {}", sandbox.name));
            return Ok(None);
        };
        let netlink = Netlink::open(&netns).await?;
        let links = netlink.links().await?;
        let inside = Self { sender, at, netlink, links };
        let stands = sender.interface.is_none_or(|interface| inside.stands(interface, hops));
        Ok(stands.then_some(inside))
    }

    /// Whether the interface, where it has a device, is there and up.
    fn stands(&self, interface: &InterfaceView, hops: &mut Hops) -> bool {
        let Some(device) = interface.device.as_deref() else { return true };
        let link = self.links.iter().find(|link| link.name == device);
        stands(&self.at, &self.sender.sandbox.sandbox.name, device, link, hops)
    }

    /// How what is for `to` is sent, and the source address where its sender says that.
    async fn departure(
        &self,
        scene: &Scene,
        to: IpAddr,
        hops: &mut Hops,
    ) -> Result<Option<(Option<IpAddr>, Departure)>, Error> {
        let Self { sender, at, netlink, .. } = self;
        let source = sender.interface.and_then(|own| address(own, to));
        if sender.interface.is_some() && source.is_none() {
            let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
            hops.stop(at, "no-address", format!("it has no address of {family}"), None);
            return Ok(None);
        }
        match netlink.departure(to, source).await? {
            None => hops.stop(at, "no-route", no_route(scene, sender, to), None),
            Some(departure) if departure.local => {
                hops.pass(at, format!("{to} is its own address"));
            }
            Some(departure) => return Ok(Some((source, departure))),
        }
        Ok(None)
    }

    /// The interface that it leaves by, with its link; `None` where that is not netctl's, or does not stand.
    fn exit(&self, departure: &Departure, hops: &mut Hops) -> Option<(&'a InterfaceView, &Link)> {
        let link = self.links.iter().find(|link| link.index == departure.link);
        let device = link.map_or("a device that is gone", |link| link.name.as_str());
        let mut own = self.sender.sandbox.interfaces.iter();
        let interface = own.find(|own| own.device.as_deref() == Some(device));
        let Some((interface, link)) = interface.zip(link) else {
            hops.doubt(&self.at, format!("it goes out by {device}, which is not netctl's"));
            return None;
        };
        self.stands(interface, hops).then_some((interface, link))
    }

    /// Whether the link takes a packet of that size.
    fn takes(&self, link: &Link, packet: &Packet, hops: &mut Hops) -> bool {
        let mtu = usize::try_from(link.mtu).unwrap_or(usize::MAX);
        if packet.size <= mtu {
            return true;
        }
        let what = format!(
            "{} takes packets of {mtu} bytes, and this has {}: what may not be cut is refused there",
            link.name, packet.size
        );
        hops.stop(&self.at, "message-too-long", what, None);
        false
    }
}

/// Whether the sandbox's device is there and up.
pub(super) fn stands(
    at: &str,
    sandbox: &Name,
    device: &str,
    link: Option<&Link>,
    hops: &mut Hops,
) -> bool {
    match link {
        Some(link) if link.up => true,
        Some(_) => {
            let mend = format!("netctl exec {sandbox} -- ip link set {device} up");
            hops.stop(at, "interface-down", format!("{device} is down"), mend);
            false
        }
        None => {
            hops.stop(at, "interface-gone", format!("{device} is gone"), RESTART.to_owned());
            false
        }
    }
}

/// The interface's address of the family of `to`.
fn address(interface: &InterfaceView, to: IpAddr) -> Option<IpAddr> {
    let mut own = interface.addresses.iter().map(ipnet::IpNet::addr);
    own.find(|own| own.is_ipv4() == to.is_ipv4())
}

fn no_route(scene: &Scene, sender: &Sender<'_>, to: IpAddr) -> String {
    let networks = &scene.store.networks;
    let joined: Vec<&Network> = networks
        .iter()
        .filter(|network| sender.sandbox.interfaces.iter().any(|own| own.network == network.name))
        .collect();
    if !joined.is_empty() && joined.iter().all(|network| network.internal) {
        let names: Vec<&str> = joined.iter().map(|network| network.name.as_str()).collect();
        return format!(
            "it has no route to {to}: it is in internal networks alone ({}), which have no way out",
            names.join(", ")
        );
    }
    format!("it has no route to {to}")
}

/// The network of an interface.
fn network(scene: &Scene, interface: &InterfaceView) -> Result<Network, Error> {
    let found = scene.store.networks.iter().find(|network| network.name == interface.network);
    found.cloned().ok_or_else(|| {
        let why = "was never heard of from the store: see `netctl status`";
        Error::Unknown(format!("network {} {why}", interface.network))
    })
}

/// The station that the packet is handed to, as the sandbox has learned it, or would be told if it asked.
async fn next(
    scene: &Scene,
    netlink: &Netlink,
    link: u32,
    network: &Network,
    next: IpAddr,
    hops: &mut Hops,
) -> Result<Option<MacAddr>, Error> {
    let at = "neighbour";
    if let Some(station) = netlink.station(link, next).await? {
        hops.pass(at, format!("the sandbox has learned that {next} is at {}", station.mac));
        return Ok(Some(station.mac));
    }
    if let Some(mac) = scene.neighbour(network, next) {
        hops.pass(at, format!("who asks for {next} is told {mac}"));
        return Ok(Some(mac));
    }
    if network.policy.open {
        let what =
            format!("nobody is known to have {next}; all members of {} are asked", network.name);
        hops.doubt(at, what);
        return Ok(None);
    }
    let reason = if next.is_ipv4() { DropReason::ArpUnknown } else { DropReason::NdUnknown };
    let (compared, mend) = compare(scene, network, next);
    hops.stop(at, reason.as_str(), format!("{} {compared}", reason.describe()), mend);
    Ok(None)
}

/// What the store says of an address that the maps lack.
pub(super) fn compare(
    scene: &Scene,
    network: &Network,
    address: IpAddr,
) -> (String, Option<String>) {
    let restart = Some(RESTART.to_owned());
    if network.subnets.iter().any(|subnet| subnet.gateway == address) {
        let what =
            format!("{address} is the gateway of {}. The maps of this host lack it.", network.name);
        return (what, restart);
    }
    match scene.known(network, address) {
        Known::Nobody => {
            let mend = "netctl service ls".to_owned();
            (format!("Nobody has {address} in the store either."), Some(mend))
        }
        Known::Nowhere(service) => {
            let name = service.qualified();
            let mend = format!("netctl service attach SANDBOX {name}");
            (format!("It is that of {name}, which is attached nowhere."), Some(mend))
        }
        Known::At(service) => {
            let name = service.qualified();
            let owner = service.endpoint.owner.as_ref();
            let on = owner.map_or_else(String::new, |owner| format!(" on {}", owner.host));
            let what =
                format!("The store has it: it is {name}{on}. The maps of this host lack it.");
            (what, restart)
        }
    }
}
