//! What the host does with a packet that is for itself, or for what is behind it.

use std::net::IpAddr;

use super::{
    Error, Protocol, Scene, beyond, inside::Start, packet::Packet, parties::Destination,
    report::Hops,
};
use crate::{
    controller, drivers,
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
    let name = &start.network.name;
    if start.network.internal {
        let what = format!("network {name} is internal: nothing leaves it by its gateway");
        let mend = "netctl network create NAME    # without --internal".to_owned();
        hops.stop(at, "internal", what, mend);
        return Ok(());
    }
    let gateway = gateway(scene, start);
    if drivers::is_gateway(&device) && Some(&device) != gateway.as_ref() {
        let what = format!(
            "{to} is in another network, and networks reach each other at published ports alone"
        );
        let services = &scene.store.services;
        let has =
            |service: &&ServiceView| service.endpoint.addresses.iter().any(|own| own.addr() == to);
        let network = services.iter().find(has).map(|service| service.network_name.as_str());
        let mend =
            format!("netctl network connect {} {}", network.unwrap_or("NETWORK"), start.sandbox);
        hops.stop(at, "other-network", what, mend);
        return Ok(());
    }
    let ways = controller::ways(scene.netlink.netns()).await?;
    let restart = "systemctl restart netctl".to_owned();
    if !ways.table {
        let what = "its table inet netctl is gone, without which gateways forward nothing";
        hops.stop(at, "table-gone", what, restart);
        return Ok(());
    }
    if gateway.as_ref().is_some_and(|gateway| !ways.out.contains(gateway)) {
        let what = format!("its table inet netctl has no way out for network {name}");
        hops.stop(at, "no-way-out", what, restart);
        return Ok(());
    }
    if !ways.lacking.is_empty() {
        let mend = "netctl doctor    # says which rules are lacking".to_owned();
        hops.stop(at, "forward-dropped", "a table of others drops what it forwards", mend);
        return Ok(());
    }
    let masked = start.network.policy.way_out.masquerades(to.is_ipv6());
    let by = departure.gateway.map_or_else(String::new, |via| format!(" by {via}"));
    let from =
        if masked { "with an address of the host as its source" } else { "with its own source" };
    hops.pass(at, format!("it leaves by {device}{by}, {from}"));
    hops.doubt("outside", "what is behind that is not netctl's");
    Ok(())
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
    let name = format!("{}.{}", service.endpoint.name, service.network_name);
    hops.pass(at, format!("{to} is its own, and the port is published: it goes to {name}"));
    match service.endpoint.mac {
        Some(mac) => beyond::here(scene, mac, hops).await,
        None => Ok(()),
    }
}
