//! What the program on the port does with the packet.

use netctl_common::{DropReason, MacAddr, Outcome, Verdict, config};

use super::{
    Error, Scene,
    inside::{Start, compare},
    packet::Packet,
    parties::Destination,
    report::Hops,
};
use crate::{
    controller::VXLAN_DEVICE,
    dataplane::{self, Entrance, Rehearsal, programs_on, rehearse},
    doctor::RESTART,
    drivers,
    model::{FdbView, Vteps},
};

/// Where the packet goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Passed {
    /// Into the sandbox of the station with this address, on this host.
    Here(MacAddr),
    /// To the host itself.
    Host,
    /// Into the tunnel, to this station.
    Tunnel(MacAddr),
}

/// Has the packet pass the port; `None` where it does not.
pub(super) async fn pass(
    scene: &Scene,
    start: &Start<'_>,
    destination: &Destination,
    packet: &Packet,
    hops: &mut Hops,
) -> Result<Option<Passed>, Error> {
    let port = drivers::port(&start.interface.endpoint);
    let at = format!("port {port}");
    if !runs(scene, &at, &port, hops).await? {
        return Ok(None);
    }
    let Some(next) = start.next else {
        for_all(scene, start, hops);
        return Ok(None);
    };
    let Some(config) = config(scene) else {
        hops.doubt(at, "the underlay of this host is not known, so the program cannot be tried");
        return Ok(None);
    };
    let Rehearsal { outcome, packet: out } =
        rehearse(config, Entrance::Port(port), packet.frame(start.mac, next)).await?;
    // Where it is routed, the frame is for another station afterwards. What is in a tunnel has other headers in front.
    let routed = out.first_chunk::<6>().map_or(next, |mac| MacAddr(*mac));
    let place = config::FROM_CONTAINER.replace('_', "-");
    match outcome {
        Outcome::Dropped(reason) => {
            let (what, mend) = explain(scene, start, reason);
            hops.stop(place, reason.as_str(), what, mend);
            Ok(None)
        }
        Outcome::Forwarded(verdict) => {
            let passed = match verdict {
                Verdict::ToContainer => Passed::Here(routed),
                Verdict::ToHost => Passed::Host,
                Verdict::ToUnderlay | Verdict::HandedOver => {
                    Passed::Tunnel(station(scene, start, destination, next))
                }
                Verdict::TooBigReported | Verdict::TtlReported => {
                    hops.stop(place, verdict.as_str(), verdict.describe(), None);
                    return Ok(None);
                }
                Verdict::ArpAnswered
                | Verdict::ArpAbsorbed
                | Verdict::Flooded
                | Verdict::NdAnswered
                | Verdict::Passed
                | Verdict::Probe => {
                    hops.doubt(place, verdict.describe());
                    return Ok(None);
                }
            };
            hops.passes_by(&place, verdict.as_str(), verdict.describe());
            Ok(Some(passed))
        }
    }
}

/// What the programs of this host are bound to, where that is known.
pub(super) fn config(scene: &Scene) -> Option<dataplane::Config> {
    let addresses: Vec<_> = scene.note.addresses.iter().map(ipnet::IpNet::addr).collect();
    Some(dataplane::Config {
        bpf_dir: scene.note.bpf_dir.clone(),
        underlay: scene.note.underlay.clone()?,
        vteps: Vteps::try_from(addresses).ok()?,
        vxlan_port: scene.note.vxlan_port,
        vxlan_device: VXLAN_DEVICE.to_owned(),
        filter: false,
    })
}

/// Whether the port is up and runs the program.
async fn runs(scene: &Scene, at: &str, port: &str, hops: &mut Hops) -> Result<bool, Error> {
    let restart = RESTART.to_owned();
    let Some(link) = scene.netlink.find_link(port).await? else {
        hops.stop(at, "interface-gone", "the host's side of the interface is gone", restart);
        return Ok(false);
    };
    if !link.up {
        let mend = format!("ip link set {port} up");
        hops.stop(at, "interface-down", "the host's side of the interface is down", mend);
        return Ok(false);
    }
    if !programs_on(port).await?.iter().any(|name| name == config::FROM_CONTAINER) {
        let what = "it does not run the program from_container, without which nothing is forwarded";
        hops.stop(at, "program-gone", what, restart);
        return Ok(false);
    }
    hops.pass(at, "it is up and runs the program");
    Ok(true)
}

/// What is for all is not tried: its copies would be sent.
fn for_all(scene: &Scene, start: &Start<'_>, hops: &mut Hops) {
    let own = drivers::port(&start.interface.endpoint);
    let member = |row: &&FdbView| {
        Some(row.vni) == start.network.vni
            && row.mac.is_none()
            && row.device.as_deref() != Some(&own)
    };
    let to: Vec<String> = scene
        .fdb
        .iter()
        .filter(member)
        .map(|row| match (&row.service, &row.vtep) {
            (Some(service), _) => service.clone(),
            (None, Some(vtep)) => format!("host {vtep}"),
            (None, None) => row.device.clone().unwrap_or_default(),
        })
        .collect();
    let flooded = Verdict::Flooded;
    if start.network.policy.isolated {
        hops.pass("from-container", "its network keeps services apart: the host alone gets it");
    } else if to.is_empty() {
        hops.pass("from-container", format!("network {} has no other member", start.network.name));
    } else {
        let what = format!("{} These are: {}.", flooded.describe(), to.join(", "));
        hops.passes_by("from-container", flooded.as_str(), &what);
    }
}

/// The station behind the tunnel: that of the destination, where it is in the network, and else the next one.
fn station(scene: &Scene, start: &Start<'_>, destination: &Destination, next: MacAddr) -> MacAddr {
    let gateway = start.network.gateway_mac == Some(next);
    let stale = scene.station(&start.network, next).is_none();
    let of = scene.neighbour(&start.network, destination.address);
    of.filter(|_| gateway || stale).unwrap_or(next)
}

/// Why the program drops it, with what the store says of it and what mends it.
fn explain(scene: &Scene, start: &Start<'_>, reason: DropReason) -> (String, Option<String>) {
    let sentence = reason.describe();
    let network = &start.network.name;
    let is = |reasons: &[DropReason]| reasons.contains(&reason);
    if is(&[DropReason::UnknownDestination, DropReason::UnknownVtep]) {
        let (compared, mend) = compare(scene, &start.network, start.via);
        (format!("{sentence} {compared}"), mend)
    } else if is(&[DropReason::UnknownPort]) {
        let what = format!("{sentence} The maps of this host lack it.");
        (what, Some(RESTART.to_owned()))
    } else if is(&[DropReason::SourceMac, DropReason::SourceAddress]) {
        let what = format!("{sentence} Network {network} checks that (port-security).");
        (what, Some("netctl network create -o port-security=off NAME".to_owned()))
    } else if is(&[DropReason::Isolated]) {
        let what = format!("{sentence} Network {network} has icc=off.");
        (what, Some("netctl network create NAME    # without -o icc=off".to_owned()))
    } else {
        (sentence.to_owned(), None)
    }
}
