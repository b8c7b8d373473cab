//! Where the packet comes behind the port: into a sandbox of this host, or to another host.

use netctl_common::MacAddr;

use super::{
    Error, Known, Scene, inside::Start, outside, packet::Packet, parties::Destination,
    port::Passed, report::Hops,
};
use crate::{
    doctor::{self, Peer},
    kernel::{Netlink, Netns},
    model::{Host, HostName, SandboxView},
};

/// What stands in front of an IP packet in a tunnel: the outer headers, and the inner Ethernet header.
const OVERHEAD: [u32; 2] = [50, 70];

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
        Passed::Here(mac) => here(scene, mac, hops).await,
        Passed::Host => outside::host(scene, start, destination, packet, hops).await,
        Passed::Tunnel(mac) => tunnel(scene, start, destination, packet, mac, hops).await,
    }
}

/// Whether the sandbox of this host that has the station takes it.
pub(super) async fn here(scene: &Scene, mac: MacAddr, hops: &mut Hops) -> Result<(), Error> {
    let interface = |sandbox: &'_ SandboxView| {
        let own = sandbox.interfaces.iter().position(|own| own.mac == Some(mac))?;
        Some((sandbox.clone(), own))
    };
    let Some((sandbox, place)) = scene.sandboxes.iter().find_map(interface) else {
        hops.doubt("sandbox", format!("no sandbox of this host is known to have {mac}"));
        return Ok(());
    };
    let (interface, name) = (&sandbox.interfaces[place], &sandbox.sandbox.name);
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
    match Netlink::open(&netns).await?.find_link(device).await? {
        Some(link) if link.up => {
            hops.pass(at, format!("{} takes it by {device}", interface.service));
        }
        Some(_) => {
            let mend = format!("netctl exec {name} -- ip link set {device} up");
            hops.stop(at, "interface-down", format!("{device} is down"), mend);
        }
        None => {
            let mend = "systemctl restart netctl".to_owned();
            hops.stop(at, "interface-gone", format!("{device} is gone"), mend);
        }
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
) -> Result<(), Error> {
    let row = scene.station(&start.network, mac);
    let Some(vtep) = row.and_then(|row| row.vtep) else {
        hops.doubt("tunnel", format!("the maps do not say behind which host {mac} is"));
        return Ok(());
    };
    let known = scene.known(&start.network, destination.address);
    let owner = match known {
        Known::At(service) => service.endpoint.owner.as_ref(),
        Known::Nobody | Known::Nowhere(_) => None,
    };
    let vni = start.network.vni.map_or_else(String::new, |vni| format!(" in VNI {vni}"));
    if let Known::At(service) = known
        && service.endpoint.vteps().is_some_and(|vteps| vteps.iter().all(|own| own != vtep))
    {
        let on = owner.map_or_else(String::new, |owner| format!(" on {}", owner.host));
        let what = format!(
            "the maps send it to {vtep}, and the store has {} elsewhere{on}",
            service.endpoint.name
        );
        hops.stop("tunnel", "wrong-host", what, "systemctl restart netctl".to_owned());
        return Ok(());
    }
    if matches!(known, Known::Nobody | Known::Nowhere(_)) {
        let what = format!("the maps send it to {vtep}, and the store has nobody there any more");
        hops.stop("tunnel", "wrong-host", what, "systemctl restart netctl".to_owned());
        return Ok(());
    }
    let name = owner.map(|owner| &owner.host);
    let shown = name.map_or_else(|| vtep.to_string(), |name| format!("{name} ({vtep})"));
    hops.pass("tunnel", format!("to {shown}{vni}"));
    let host = alive(scene, name, hops);
    let answers = match (host, name) {
        (Some(host), _) => host.version == env!("CARGO_PKG_VERSION"),
        // Of one that is missed, that is not known; whether it answers tells.
        (None, Some(_)) => true,
        (None, None) => false,
    };
    let overhead = if vtep.is_ipv4() { OVERHEAD[0] } else { OVERHEAD[1] };
    let peer = Peer {
        name: name.map_or_else(|| vtep.to_string(), ToString::to_string),
        address: vtep,
        mtu: host.map(|host| host.mtu),
        answers,
    };
    way(scene, peer, packet, overhead, hops).await;
    if hops.stopped() {
        return Ok(());
    }
    let at = name.map_or_else(|| format!("host {vtep}"), |name| format!("host {name}"));
    match name {
        Some(_) => hops.pass(
            at,
            "it has the service, as the store says; `netctl doctor` there says how it is",
        ),
        None => hops.doubt(at, "it is no host of netctl: what it does with it is not known"),
    }
    Ok(())
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
async fn way(scene: &Scene, peer: Peer, packet: &Packet, overhead: u32, hops: &mut Hops) {
    let at = format!("underlay {}", scene.note.underlay.as_deref().unwrap_or_default());
    let outer = u32::try_from(packet.size).unwrap_or(u32::MAX).saturating_add(overhead);
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
