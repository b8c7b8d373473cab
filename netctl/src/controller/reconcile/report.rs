//! What a pass tells those who wait for it, and leaves for those who count what is on this host.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Reconciler, Service,
    failures::Failures,
    join::Built,
    look::Seen,
    pass::{Depth, Work},
};
use crate::{
    controller::observation::{FollowedNetwork, Served},
    dataplane::Sweep,
    model::EndpointId,
};

impl Reconciler {
    /// Tells how far this host has come, and has what could not be done, done by the next pass.
    pub(super) fn report(&mut self, seen: &Seen, work: &Work, sweep: Sweep, failures: &Failures) {
        failures.log();
        // What is not found with an endpoint alone concerns others than those that were looked at.
        let wide = failures.are_wide();
        let all = work.depth == Depth::Whole || wide || self.wide;
        self.wide = wide;
        let concerned: BTreeSet<&EndpointId> = work
            .endpoints
            .iter()
            .chain(failures.endpoints())
            .chain(all.then(|| seen.own.keys()).into_iter().flatten())
            .collect();
        let again = !failures.none() || sweep == Sweep::Keep;
        // What others are told to remove is not gone before they have answered.
        let busy = self.drivers.busy_endpoints().into_iter();
        let leaving: BTreeSet<EndpointId> = busy.filter(|id| !seen.own.contains_key(id)).collect();
        let left = std::mem::replace(&mut self.leaving, leaving.clone());
        self.take_inventory(seen, &concerned);
        let Self { progress, todo, .. } = self;
        if again {
            todo.sandboxes.extend(work.sandboxes.iter().cloned());
        }
        progress.send_modify(|progress| {
            // Where something is left that should be gone, nobody is told that it is gone.
            if sweep == Sweep::Remove && failures.is_followed() {
                (progress.revision, progress.engine) = (seen.revision, seen.engine);
            }
            progress.networks.clone_from(&seen.networks);
            for id in left.iter().filter(|id| !seen.own.contains_key(*id)) {
                progress.endpoints.remove(id);
            }
            for id in concerned {
                let Some(own) = seen.own.get(id) else {
                    progress.endpoints.remove(id);
                    if again {
                        todo.endpoints.insert(id.clone());
                    }
                    continue;
                };
                let service = failures.of(id, &own.endpoint.network);
                // One that was found to stand is done, whatever else is not.
                let is_open = work.endpoints.contains(id) && !work.suspects.contains(id);
                if (again && is_open) || service != Service::Ready {
                    todo.endpoints.insert(id.clone());
                }
                progress.endpoints.insert(id.clone(), (own.revision, service));
            }
            let leaving = leaving.into_iter().map(|id| (id, (seen.revision, Service::Pending)));
            progress.endpoints.extend(leaving);
        });
    }

    /// Tells what is here, where it may be otherwise than before.
    pub(super) fn take_inventory(&self, seen: &Seen, concerned: &BTreeSet<&EndpointId>) {
        self.inventory.send_modify(|inventory| {
            inventory.networks.clear();
            for (id, followed) in &self.followed {
                let presence = followed.presence.as_ref();
                let port = presence.and_then(|presence| presence.port.as_ref());
                let gateway = presence.and_then(|presence| presence.gateway.as_ref());
                let network = FollowedNetwork {
                    network: Arc::clone(&followed.network),
                    endpoints: followed.endpoints.receiver(),
                    gateway: gateway.map(|gateway| gateway.index),
                    port: port.map(|port| port.index),
                };
                inventory.networks.insert(id.clone(), network);
            }
            for &id in concerned {
                let Some(own) = seen.own.get(id) else {
                    inventory.endpoints.remove(id);
                    continue;
                };
                let served = Served {
                    endpoint: Arc::clone(&own.endpoint),
                    sandbox: own.sandbox.clone(),
                    port: self.built.get(id).and_then(Built::port_index),
                };
                inventory.endpoints.insert(id.clone(), served);
            }
        });
    }
}
