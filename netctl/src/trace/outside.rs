//! What the host does with a packet that is for itself, or for what is behind it.

use std::net::IpAddr;

use super::{
    Error, Protocol, Scene, beyond, inside::Start, packet::Packet, parties::Destination,
    report::Hops,
};
use crate::{
    controller,
    doctor::RESTART,
    drivers,
    model::{BoundPort, ServiceView, Transport},
};

/// Has the host take the packet, or send it on.
pub(super) async fn host(
    scene: &Scene,
    start: &Start<'_>,
    destination: &Destination,
    packet: &Packet,
    hops: &mut Hops,
) -> Result<(), Error> {
    let to = destination.address;
    let at = format!("host {}", scene.note.host);
    let Some(departure) = scene.netlink.departure(to, None).await? else {
        let mend = format!("ip route get {to}    # and add what is missing");
        hops.stop(at, "no-route", format!("it has no route to {to}"), mend);
        return Ok(());
    };
    if departure.local {
        return own(scene, to, packet, &at, hops).await;
    }
    let links = scene.netlink.links().await?;
    let device = links.iter().find(|link| link.index == departure.link);
    let device = device.map_or_else(String::new, |link| link.name.clone());
    let way = Way { scene, start, to, at, device, gateway: gateway(scene, start) };
    if !way.is_allowed(hops) || !way.is_open(hops).await? {
        return Ok(());
    }
    let masked = start.network.policy.way_out.masquerades(to.is_ipv6());
    let by = departure.gateway.map_or_else(String::new, |via| format!(" by {via}"));
    let from =
        if masked { "with an address of the host as its source" } else { "with its own source" };
    hops.pass(&way.at, format!("it leaves by {}{by}, {from}", way.device));
    hops.doubt("outside", "what is behind that is not netctl's");
    Ok(())
}

/// The way from a network's gateway through the host.
struct Way<'a> {
    scene: &'a Scene,
    start: &'a Start<'a>,
    to: IpAddr,
    /// The host.
    at: String,
    /// The device that it leads to.
    device: String,
    gateway: Option<String>,
}

impl Way<'_> {
    /// Whether the network may send there by its gateway.
    fn is_allowed(&self, hops: &mut Hops) -> bool {
        let Self { scene, start, to, at, device, gateway } = self;
        let name = &start.network.name;
        if start.network.internal {
            let what = format!("network {name} is internal: nothing leaves it by its gateway");
            let mend = "netctl network create NAME    # without --internal".to_owned();
            hops.stop(at, "internal", what, mend);
            return false;
        }
        if !drivers::is_gateway(device) || Some(device) == gateway.as_ref() {
            return true;
        }
        let what = format!(
            "{to} is in another network, and networks reach each other at published ports alone"
        );
        let has =
            |service: &&ServiceView| service.endpoint.addresses.iter().any(|own| own.addr() == *to);
        let other = scene.store.services.iter().find(has);
        let other = other.map_or("NETWORK", |service| service.network_name.as_str());
        let mend = format!("netctl network connect {other} {}", start.sandbox);
        hops.stop(at, "other-network", what, mend);
        false
    }

    /// Whether the host's tables let it through.
    async fn is_open(&self, hops: &mut Hops) -> Result<bool, Error> {
        let ways = controller::ways(self.scene.netlink.netns()).await?;
        let lacks = |gateway: &String| !ways.out.contains(gateway);
        let (reason, what, mend) = if !ways.table {
            let what = "its table inet netctl is gone, without which gateways forward nothing";
            ("table-gone", what.to_owned(), RESTART)
        } else if self.gateway.as_ref().is_some_and(lacks) {
            let name = &self.start.network.name;
            let what = format!("its table inet netctl has no way out for network {name}");
            ("no-way-out", what, RESTART)
        } else if !ways.lacking.is_empty() {
            let what = "a table of others drops what it forwards".to_owned();
            ("forward-dropped", what, "netctl doctor    # says which rules are lacking")
        } else {
            return Ok(true);
        };
        hops.stop(&self.at, reason, what, mend.to_owned());
        Ok(false)
    }
}

/// The device of the network's gateway on this host.
fn gateway(scene: &Scene, start: &Start<'_>) -> Option<String> {
    let mac = start.network.gateway_mac?;
    scene.station(&start.network, mac)?.device.clone().filter(|device| drivers::is_gateway(device))
}

/// What is for an address of the host is for itself, or for a service whose port it is.
async fn own(
    scene: &Scene,
    to: IpAddr,
    packet: &Packet,
    at: &str,
    hops: &mut Hops,
) -> Result<(), Error> {
    let transport = match packet.protocol {
        Protocol::Tcp => Some(Transport::Tcp),
        Protocol::Udp => Some(Transport::Udp),
        Protocol::Icmp => None,
    };
    let led = |bound: &BoundPort| {
        Some(bound.transport) == transport
            && bound.host_port.map(u16::from) == packet.port()
            && (bound.address == to
                || bound.address.is_unspecified() && bound.address.is_ipv4() == to.is_ipv4())
    };
    let published = |service: &&ServiceView| {
        let owner = service.endpoint.owner.as_ref();
        owner.is_some_and(|owner| owner.host == scene.note.host && owner.ports.iter().any(led))
    };
    let Some(service) = scene.store.services.iter().find(published) else {
        hops.pass(at, format!("{to} is its own address: it takes it itself"));
        return Ok(());
    };
    let name = service.qualified();
    hops.pass(at, format!("{to} is its own, and the port is published: it goes to {name}"));
    match service.endpoint.mac {
        Some(mac) => beyond::here(scene, &service.network_name, mac, hops).await,
        None => Ok(()),
    }
}
