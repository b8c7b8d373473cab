//! The way of the answer. It is a packet of its own: what it meets on this host is tried as that of any other, and what it
//! meets on another host, that host alone knows.

use std::net::IpAddr;

use netctl_common::{MacAddr, Outcome, Verdict};

use super::{
    Error, Scene, beyond,
    inside::Start,
    packet::{Packet, tunnelled},
    parties::{Destination, Sender},
    port::{self, Passed},
    report::Hops,
};
use crate::{
    dataplane::{Entrance, Rehearsal, rehearse},
    doctor::RESTART,
};

/// Follows what `packet`, which has come to `destination` in this way, is answered with.
pub(super) async fn follow(
    scene: &Scene,
    start: &Start<'_>,
    destination: &Destination,
    passed: Passed,
    packet: &Packet,
    hops: &mut Hops,
) -> Result<(), Error> {
    let Some(to) = packet.source else { return Ok(()) };
    let answer = packet.answer(to);
    match passed {
        Passed::Here(mac) => here(scene, start, mac, answer, hops).await,
        Passed::Tunnel(mac) => tunnel(scene, start, destination, mac, &answer, hops).await,
        Passed::Host => {
            let at = format!("host {}", scene.note.host);
            hops.doubt(
                at,
                "what it answers, or gets from outside, it sends by its own routes and flows",
            );
            Ok(())
        }
    }
}

/// From the sandbox of this host that has the station `mac`.
async fn here(
    scene: &Scene,
    start: &Start<'_>,
    mac: MacAddr,
    mut answer: Packet,
    hops: &mut Hops,
) -> Result<(), Error> {
    let Some((sandbox, interface)) = scene.interface(&start.network.name, mac) else {
        return Ok(());
    };
    let sender = Sender { sandbox, interface: Some(interface) };
    let destination = Destination::of_answer(answer.destination, start.interface.qualified());
    super::follow(scene, &sender, &destination, &mut answer, hops).await.map(drop)
}

/// From another host, where the station `mac` is.
async fn tunnel(
    scene: &Scene,
    start: &Start<'_>,
    destination: &Destination,
    mac: MacAddr,
    answer: &Packet,
    hops: &mut Hops,
) -> Result<(), Error> {
    let Some(vtep) = scene.station(&start.network, mac).and_then(|row| row.vtep) else {
        return Ok(());
    };
    match scene.known(&start.network, destination.address).host() {
        Some(host) => hops.doubt(
            format!("host {host}"),
            format!(
                "it has maps of its own: `netctl trace {} {}` there says how it sends it",
                destination.name(),
                start.interface.qualified()
            ),
        ),
        None => hops.doubt(format!("host {vtep}"), "how it sends it is not known"),
    }
    let place = "from-underlay";
    let (Some(config), Some(vni)) = (port::config(scene), start.network.vni) else {
        hops.doubt(place, "the underlay of this host is not known, so the program cannot be tried");
        return Ok(());
    };
    let link = scene.netlink.find_link(&config.underlay).await?;
    let local = config.vteps.iter().find(|own| own.is_ipv4() == vtep.is_ipv4());
    let Some((device, local)) = link.and_then(|link| link.mac).zip(local) else {
        hops.doubt(place, format!("{} has no address towards {vtep}", config.underlay));
        return Ok(());
    };
    // What comes from another subnet, the other host has routed: it is from the gateway then.
    let gateway = start.network.gateway_mac.filter(|gateway| start.next == Some(*gateway));
    let frame = answer.frame_in_tunnel(gateway.unwrap_or(mac), start.mac);
    let ends: [IpAddr; 2] = [vtep, local];
    let packet = tunnelled(&frame, device, ends, config.vxlan_port, vni);
    let Rehearsal { outcome, .. } = rehearse(config, Entrance::Underlay, packet).await?;
    match outcome {
        Outcome::Dropped(reason) => {
            let what = format!("{} It would come from {vtep}.", reason.describe());
            hops.stop(place, reason.as_str(), what, RESTART.to_owned());
            Ok(())
        }
        Outcome::Forwarded(verdict @ Verdict::ToContainer) => {
            hops.passes_by(place, verdict.as_str(), verdict.describe());
            beyond::here(scene, &start.network.name, start.mac, hops).await
        }
        Outcome::Forwarded(verdict) => {
            hops.doubt(place, verdict.describe());
            Ok(())
        }
    }
}
