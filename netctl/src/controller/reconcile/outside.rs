//! The way out of this host's networks, and the ports by which it is come in.

use std::{collections::BTreeMap, sync::Arc};

use super::{Followed, Reconciler, failures::Failures, look::Own, pass::Depth};
use crate::{
    controller::outside::{self, Opened, Way},
    dataplane::Sweep,
    drivers::Device,
    model::EndpointId,
};

impl Reconciler {
    /// Has what is here reach the outside, and be reached from it, as its networks say.
    pub(super) async fn open_ways(
        &mut self,
        own: &BTreeMap<EndpointId, Own>,
        sweep: Sweep,
        depth: Depth,
        failures: &mut Failures,
    ) {
        let with_way_out = |followed: &&Followed| !followed.network.internal;
        let device = |followed: &'_ Followed| {
            let presence = followed.presence.as_ref()?;
            // What is no port of the data plane is a plugin's, with ways of its own.
            presence.port.as_ref()?;
            presence.gateway.clone()
        };
        let ways: BTreeMap<_, _> = self
            .followed
            .values()
            .filter(with_way_out)
            .filter_map(|followed| {
                Some((&followed.network.id, (&followed.network, device(followed)?)))
            })
            .collect();
        let opened = own.values().filter_map(|own| {
            let (_, device) = ways.get(&own.endpoint.network)?;
            Some(Opened { endpoint: &own.endpoint, device: &device.name })
        });
        // An engine answers its containers' questions for names, or asks name servers of its own choice.
        let of_engine = self.followed.values().filter(|followed| followed.of_engine);
        let asking: Vec<Device> = of_engine.filter_map(device).collect();
        let asking = asking.iter().map(|device| device.name.as_str());
        let each = ways.values().map(|(network, device)| Way { network, device: &device.name });
        let wanted = outside::of(each, opened, asking);
        let gateways: Vec<Device> = ways.values().map(|(_, device)| device.clone()).collect();
        let netlink = &self.context.netlink;
        if let Err(error) =
            self.outside.settle(netlink, &gateways, wanted, sweep, depth.is_full()).await
        {
            if ways.is_empty() {
                failures.left(error.to_string());
            }
            for network in ways.keys() {
                failures.network(network, format!("no way to the outside: {error}"));
            }
        }
    }

    /// Looks after the table whenever somebody changes nftables.
    pub(super) async fn guard_ways(&self) -> Option<tokio::task::JoinHandle<()>> {
        match self.outside.watch(&self.context.netlink, Arc::clone(&self.wake)).await {
            Ok(watching) => Some(tokio::spawn(watching)),
            Err(error) => {
                tracing::warn!(%error, "what others do to the ways out is noticed late");
                None
            }
        }
    }
}
