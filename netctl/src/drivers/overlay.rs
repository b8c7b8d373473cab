//! VXLAN between hosts, carried by the eBPF programs.
//!
//! On each host the network is a segment of the data plane; what is elsewhere is reached by tunnels.

mod peers;

use std::{net::IpAddr, str::FromStr};

use async_trait::async_trait;
use ipnet::IpNet;
use netctl_common::outer::overhead;

use super::{
    Device, Driver, Error, HostContext, Joined, Place, Plan, Presence, Scope,
    options::Options,
    segment::{self, options::MIN_MTU},
};
use crate::{
    dataplane::{Desired, FdbTarget, Station, Way},
    ipam::derived_mac,
    model::{Endpoint, Network, NetworkSpec, Vni},
};

const VNI: &[&str] = &["vni", "com.docker.network.driver.overlay.vxlanid_list"];
/// Docker's, which has it encrypted (by `IPsec`) where the option is there at all.
const ENCRYPTED: &str = "encrypted";

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Overlay;

#[async_trait]
impl Driver for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
    }

    async fn plan(&self, host: &HostContext, spec: &NetworkSpec) -> Result<Plan, Error> {
        let mut options = Options::of(self.name(), spec);
        options.refuse(
            ENCRYPTED,
            "netctl does not encrypt what is between hosts: leave the option out, and have the underlay encrypted \
             where it must be",
        )?;
        let vni = options.take::<OneVni>(VNI)?.map(|OneVni(vni)| vni);
        let taken = segment::options::take(&mut options, spec)?;
        let peers = peers::take(host, &mut options, spec, vni)?;
        options.finish()?;
        Ok(Plan { scope: Scope::Cluster, vni, peers, ..segment::plan(taken) })
    }

    fn has_stations(&self) -> bool {
        true
    }

    async fn enter(&self, host: &HostContext, network: &Network) -> Result<Presence, Error> {
        segment::enter(host, network, mtu(host, network)).await
    }

    async fn join(
        &self,
        host: &HostContext,
        network: &Network,
        endpoint: &Endpoint,
        place: Place<'_>,
    ) -> Result<Joined, Error> {
        segment::join(host, network, endpoint, place, mtu(host, network)).await
    }

    fn hands_over(&self) -> bool {
        true
    }

    async fn hand_over(
        &self,
        host: &HostContext,
        network: &Network,
        endpoint: &Endpoint,
        fresh: bool,
    ) -> Result<Joined, Error> {
        segment::hand_over(host, network, endpoint, mtu(host, network), fresh).await
    }

    fn forward(&self, host: &HostContext, network: &Network, presence: &Presence) -> Desired {
        let mut desired = segment::forward(network, presence, mtu(host, network));
        if let Ok((vni, _)) = segment::segment(network) {
            for (address, vtep) in peers::stations(host, network) {
                let (mac, target) = (derived_mac(address), FdbTarget::Remote { vtep });
                desired.tunnels.insert(vtep, segment::bytes(fitting(host, vtep)));
                desired.fdb.insert((vni, mac), target);
                desired.flood.entry(vni).or_default().insert(target);
                desired.neigh.insert((vni, address), mac);
            }
        }
        desired
    }

    fn station(
        &self,
        host: &HostContext,
        network: &Network,
        endpoint: &Endpoint,
        port: Option<&Device>,
    ) -> Option<Station> {
        if let Some(port) = port {
            return segment::station(network, endpoint, port);
        }
        let (vni, _) = segment::segment(network).ok()?;
        let (mac, theirs) = (endpoint.mac?, endpoint.vteps()?);
        let Some(vtep) = host.vteps().towards(&theirs) else {
            tracing::debug!(service = %endpoint.name, vteps = %theirs, "no tunnel: no address family in common");
            return None;
        };
        Some(Station {
            vni,
            mac,
            addresses: endpoint.addresses.iter().map(IpNet::addr).collect(),
            target: FdbTarget::Remote { vtep },
            way: Way::Tunnel(segment::bytes(fitting(host, vtep))),
        })
    }
}

/// What fits into the underlay's packets to a tunnel address, in bytes.
fn fitting(host: &HostContext, vtep: IpAddr) -> u32 {
    host.underlay_mtu().saturating_sub(overhead(vtep)).max(MIN_MTU)
}

/// What fits into the underlay's packets, or less where the network asks for it, in bytes.
///
/// Whether a host is reached over IPv6 is not known before its first endpoint is. So this is what fits the family that
/// this host prefers; the tunnels know better, and who sends too much for one is told so.
fn mtu(host: &HostContext, network: &Network) -> u32 {
    let fits = host.vteps().iter().next().map_or(MIN_MTU, |own| fitting(host, own));
    network.policy.mtu.map_or(fits, |wanted| wanted.min(fits))
}

/// Docker's list has one for each subnet. Here a network is one segment, whatever its subnets are.
struct OneVni(Vni);

impl FromStr for OneVni {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(',') {
            return Err("a network has one VNI for all its subnets: give one".to_owned());
        }
        let number = text.trim().parse().ok().and_then(Vni::new);
        number.map(Self).ok_or_else(|| format!("a VNI is a number within 1 and {}", Vni::MAX))
    }
}
