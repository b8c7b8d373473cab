//! VXLAN between hosts, carried by the eBPF programs.
//!
//! On each host the network is a segment of the data plane; what is elsewhere is reached by tunnels.

use std::net::IpAddr;

use async_trait::async_trait;
use netctl_common::outer::{OVERHEAD4, OVERHEAD6};

use super::{
    Driver, Error, HostContext, Joined, Local, Place, Plan, Presence, Scope,
    options::Options,
    segment::{
        self, Rules,
        options::{MIN_MTU, MIN_MTU6},
    },
};
use crate::{
    dataplane::{Desired, FdbTarget},
    model::{Endpoint, Macs, Network, NetworkSpec, Vni},
};

const VNI: &[&str] = &["vni", "com.docker.network.driver.overlay.vxlanid_list"];

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Overlay;

#[async_trait]
impl Driver for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
    }

    async fn plan(&self, _host: &HostContext, spec: &NetworkSpec) -> Result<Plan, Error> {
        let mut options = Options::of(self.name(), spec);
        let vni = options.take::<u32>(VNI)?.map(check_vni).transpose()?;
        let allow_overlap = segment::options::take(&mut options, spec)?;
        options.finish()?;
        Ok(Plan {
            scope: Scope::Cluster,
            addresses: true,
            segment: true,
            vni,
            allow_overlap,
            macs: Macs::Random,
        })
    }

    fn has_stations(&self) -> bool {
        true
    }

    async fn enter(&self, host: &HostContext, network: &Network) -> Result<Presence, Error> {
        check_room(host, network)?;
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

    fn forward(
        &self,
        host: &HostContext,
        network: &Network,
        presence: &Presence,
        local: &[Local<'_>],
        remote: &[&Endpoint],
        desired: &mut Desired,
    ) {
        let rules = Rules { mtu: mtu(host, network), open: segment::options::is_open(network) };
        segment::forward(network, presence, local, rules, desired);
        let Ok((vni, _)) = segment::segment(network) else { return };
        for endpoint in remote {
            let (Some(mac), Some(theirs)) = (endpoint.mac, endpoint.vteps()) else { continue };
            let Some(vtep) = host.vteps.towards(&theirs) else {
                tracing::debug!(service = %endpoint.name, vteps = %theirs, "no tunnel: no address family in common");
                continue;
            };
            let target = FdbTarget::Remote { vtep };
            desired.tunnels.insert(vtep, segment::bytes(fitting(host, vtep)));
            desired.fdb.insert((vni, mac), target);
            desired.flood.entry(vni).or_default().insert(target);
            segment::add_neighbours(desired, vni, endpoint, mac);
        }
    }
}

/// What fits into the underlay's packets to a tunnel address, in bytes.
fn fitting(host: &HostContext, vtep: IpAddr) -> u32 {
    let overhead = if vtep.is_ipv4() { OVERHEAD4 } else { OVERHEAD6 };
    host.underlay_mtu.borrow().saturating_sub(overhead).max(MIN_MTU)
}

/// What fits into the underlay's packets, or less where the network asks for it, in bytes.
///
/// Whether a host is reached over IPv6 is not known before its first endpoint is. So this is what fits the family that
/// this host prefers; the tunnels know better, and who sends too much for one is told so.
fn mtu(host: &HostContext, network: &Network) -> u32 {
    let fits = host.vteps.iter().next().map_or(MIN_MTU, |own| fitting(host, own));
    segment::options::mtu(network).map_or(fits, |wanted| wanted.min(fits))
}

fn check_vni(number: u32) -> Result<Vni, Error> {
    Vni::new(number).ok_or_else(|| Error::Value {
        option: VNI[0].to_owned(),
        value: number.to_string(),
        reason: format!("a VNI is within 1 and {}", Vni::MAX),
    })
}

/// The kernel has no IPv6 on a device whose MTU is too small for it (`addrconf_notify`).
fn check_room(host: &HostContext, network: &Network) -> Result<(), Error> {
    let mtu = mtu(host, network);
    if !segment::has_ipv6(network) || mtu >= MIN_MTU6 {
        return Ok(());
    }
    let underlay = *host.underlay_mtu.borrow();
    let reason = format!(
        "IPv6 needs an MTU of {MIN_MTU6} bytes, and the underlay's {underlay} leave {mtu} for endpoints"
    );
    Err(Error::Network { network: network.name.clone(), reason })
}
