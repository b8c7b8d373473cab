//! The endpoints of one host, bridged by the eBPF programs; there is no Linux bridge device.
//!
//! The network is a segment of the data plane as an overlay's is, with a VNI of its own. That no other host has members
//! of it is what keeps it here: nothing is tunnelled, and what comes by a tunnel with its VNI is dropped.

use async_trait::async_trait;

use super::{
    Device, Driver, Error, HostContext, Joined, Place, Plan, Presence, Scope, options::Options,
    segment,
};
use crate::{
    dataplane::{Desired, Station},
    model::{Endpoint, Network, NetworkSpec},
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Bridge;

#[async_trait]
impl Driver for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    async fn plan(&self, _host: &HostContext, spec: &NetworkSpec) -> Result<Plan, Error> {
        let mut options = Options::of(self.name(), spec);
        let taken = segment::options::take(&mut options, spec)?;
        options.finish()?;
        Ok(Plan { scope: Scope::Host, ..segment::plan(taken) })
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
        segment::forward(network, presence, mtu(host, network))
    }

    fn station(
        &self,
        _host: &HostContext,
        network: &Network,
        endpoint: &Endpoint,
        port: Option<&Device>,
    ) -> Option<Station> {
        segment::station(network, endpoint, port?)
    }
}

/// What the underlay takes, since what leaves the host leaves by it as it is; or what the network asks for, in bytes.
fn mtu(host: &HostContext, network: &Network) -> u32 {
    network.policy.mtu.unwrap_or_else(|| host.underlay_mtu())
}
