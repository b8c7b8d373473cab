//! What a pass leaves behind for those who count what is on this host.

use std::{collections::BTreeMap, sync::Arc};

use super::{Followed, Reconciler, look::Own};
use crate::{
    controller::observation::{FollowedNetwork, Inventory, Served},
    model::{EndpointId, NetworkId},
};

impl Reconciler {
    /// Tells what is here: `own` are the endpoints of this host, and `elsewhere` is how many each network has on others.
    pub(super) fn take_inventory(
        &self,
        own: &BTreeMap<EndpointId, Own>,
        elsewhere: &BTreeMap<NetworkId, usize>,
    ) {
        let network = |(id, followed): (&NetworkId, &Followed)| {
            let presence = followed.presence.as_ref();
            let port = presence.and_then(|presence| presence.port.as_ref());
            let gateway = presence.and_then(|presence| presence.gateway.as_ref());
            let network = FollowedNetwork {
                network: Arc::clone(&followed.network),
                endpoints: followed.endpoints.receiver(),
                gateway: gateway.map(|gateway| gateway.index),
                port: port.map(|port| port.index),
                remote: elsewhere.get(id).copied().unwrap_or_default(),
            };
            (id.clone(), network)
        };
        let served = |(id, own): (&EndpointId, &Own)| {
            let port = self.built.get(id).and_then(|built| built.joined.port.as_ref());
            Served {
                endpoint: Arc::clone(&own.endpoint),
                sandbox: own.sandbox.clone(),
                port: port.map(|port| port.index),
            }
        };
        self.inventory.send_replace(Inventory {
            networks: self.followed.iter().map(network).collect(),
            endpoints: own.iter().map(served).collect(),
        });
    }
}
