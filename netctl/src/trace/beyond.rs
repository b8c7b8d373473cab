//! Where the packet comes behind the port: into a sandbox of this host, or to another host.

use std::net::IpAddr;

use netctl_common::{MacAddr, outer::overhead};

use super::{
    Error, Known, Scene,
    inside::{Start, stands},
    outside,
    packet::Packet,
    parties::Destination,
    port::Passed,
    report::Hops,
};
use crate::{
    doctor::{self, Peer, RESTART},
    kernel::{Netlink, Netns},
    model::{Host, HostName, Name},
};

/// Follows the packet to its end.
pub(super) async fn arrive(
    scene: &Scene,
    start: &Start<'_>,
    destination: &Destination,
    packet: &Packet,
    passed: Passed,
    hops: &mut Hops,
) -> Result<(), Error> {
    match passed {
        Passed::Here(mac) => here(scene, &start.network.name, mac, hops).await,
        Passed::Host => outside::host(scene, start, destination, packet, hops).await,
        Passed::Tunnel(mac) => {
            tunnel(scene, start, destination, packet, mac, hops).await;
            Ok(())
        }
    }
}

/// Whether the sandbox of this host that has the station of the network takes it.
pub(super) async fn here(
    scene: &Scene,
    network: &Name,
    mac: MacAddr,
    hops: &mut Hops,
) -> Result<(), Error> {
    let Some((sandbox, interface)) = scene.interface(network, mac) else {
        hops.doubt("sandbox", format!("no sandbox of this host is known to have {mac}"));
        return Ok(());
    };
    let name = &sandbox.sandbox.name;
    let at = format!("sandbox {name}");
    let Some(device) = interface.device.as_deref().filter(|_| !sandbox.sandbox.foreign) else {
        hops.pass(at, format!("{} takes it", interface.service));
        return Ok(());
    };
    let Ok(netns) = Netns::open(&sandbox.sandbox.netns) else {
        let what = "its network namespace is gone";
        hops.stop(at, "namespace-gone", what, format!("netctl sandbox rm {name}"));
        return Ok(());
    };
    let link = Netlink::open(&netns).await?.find_link(device).await?;
    if stands(&at, name, device, link.as_ref(), hops) {
        hops.pass(at, format!("{} takes it by {device}", interface.service));
    }
    Ok(())
}

/// The way to another host, and what is known of it.
async fn tunnel(
    scene: &Scene,
    start: &Start<'_>,
    destination: &Destination,
    packet: &Packet,
    mac: MacAddr,
    hops: &mut Hops,
) {
    let network = &start.network;
    let Some(vtep) = scene.station(network, mac).and_then(|row| row.vtep) else {
        return hops.doubt("tunnel", format!("the maps do not say behind which host {mac} is"));
    };
    let known = scene.known(network, destination.address);
    if let Some(otherwise) = otherwise(known, vtep) {
        let what = format!("the maps send it to {vtep}, and the store has {otherwise}");
        return hops.stop("tunnel", "wrong-host", what, RESTART.to_owned());
    }
    let name = known.host();
    let shown = name.map_or_else(|| vtep.to_string(), |name| format!("{name} ({vtep})"));
    let vni = network.vni.map_or_else(String::new, |vni| format!(" in VNI {vni}"));
    hops.pass("tunnel", format!("to {shown}{vni}"));
    way(scene, peer(scene, vtep, name, hops), packet, hops).await;
    if hops.stopped() {
        return;
    }
    match name {
        Some(name) => hops.pass(
            format!("host {name}"),
            "it has the service, as the store says; `netctl doctor` there says how it is",
        ),
        None => hops.doubt(
            format!("host {vtep}"),
            "it is no host of netctl: what it does with it is not known",
        ),
    }
}

/// Whom the store has in place of somebody behind this tunnel address, if that is so.
fn otherwise(known: Known<'_>, vtep: IpAddr) -> Option<String> {
    let Known::At(service) = known else { return Some("nobody there any more".to_owned()) };
    let vteps = service.endpoint.vteps()?;
    let on = known.host().map_or_else(String::new, |host| format!(" on {host}"));
    vteps.iter().all(|own| own != vtep).then(|| format!("{} elsewhere{on}", service.endpoint.name))
}

/// The host behind this tunnel address, as far as it is known.
fn peer(scene: &Scene, vtep: IpAddr, name: Option<&HostName>, hops: &mut Hops) -> Peer {
    let host = alive(scene, name, hops);
    Peer {
        name: name.map_or_else(|| vtep.to_string(), ToString::to_string),
        address: vtep,
        mtu: host.map(|host| host.mtu),
        answers: match (host, name) {
            (Some(host), _) => host.version == env!("CARGO_PKG_VERSION"),
            // Of one that is missed, that is not known; whether it answers tells.
            (None, Some(_)) => true,
            (None, None) => false,
        },
    }
}

/// What the store says of the host.
fn alive<'a>(scene: &'a Scene, name: Option<&HostName>, hops: &mut Hops) -> Option<&'a Host> {
    let (hosts, name) = (scene.store.hosts.as_ref()?, name?);
    let host = hosts.iter().find(|host| host.name == *name);
    if host.is_none() {
        let what = format!(
            "{name} is missed: its daemon was not heard of for 15 s; if that alone is down, packets flow on"
        );
        hops.doubt("store", what);
    }
    host
}

/// Tries the way to the host.
async fn way(scene: &Scene, peer: Peer, packet: &Packet, hops: &mut Hops) {
    let at = format!("underlay {}", scene.note.underlay.as_deref().unwrap_or_default());
    let size = u32::try_from(packet.size).unwrap_or(u32::MAX);
    let outer = size.saturating_add(overhead(peer.address));
    let tried = match doctor::try_way(&scene.netlink, &scene.note, peer).await {
        Ok(tried) => tried,
        Err(why) => return hops.doubt(at, format!("the way cannot be tried: {why}")),
    };
    let carries = tried.carries;
    if let Some(finding) = tried.finding.filter(|found| found.id != "path-mtu" || outer > carries) {
        let on = if finding.on == scene.note.host {
            String::new()
        } else {
            format!("on {}: ", finding.on)
        };
        return hops.stop(at, finding.id, finding.what, format!("{on}{}", finding.mend));
    }
    if outer > carries {
        let what = format!("it has {outer} bytes in the tunnel, and the way carries {carries}");
        return hops.stop(at, "path-mtu", what, None);
    }
    if tried.probed {
        hops.pass(
            at,
            format!("{outer} bytes in the tunnel; probes came back, of up to {carries} bytes"),
        );
    } else {
        hops.doubt(at, format!("{outer} bytes in the tunnel; that host answers no probes"));
    }
}
