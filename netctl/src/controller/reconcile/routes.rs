//! The routes of this host's sandboxes follow what they are attached to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Reconciler, failures::Failures, look::Own, pass::Work};
use crate::{
    controller::{
        records::Record,
        routes::{self, Wanted},
    },
    drivers,
    kernel::{self, Netlink, Netns, Route},
    model::EndpointId,
};

impl Reconciler {
    /// Has sandboxes with an endpoint here have the routes that follow from their interfaces. What netctl did not put
    /// there is left alone, and goes before ours.
    pub(super) async fn route(
        &mut self,
        own: &BTreeMap<EndpointId, Own>,
        work: &Work,
        failures: &mut Failures,
    ) {
        for sandbox in &work.sandboxes {
            let record = self.records.get(sandbox);
            let is_own = |id: &EndpointId| own.get(id).is_some_and(|own| own.sandbox == *sandbox);
            let attached = record.iter().flat_map(|record| &record.attachments);
            let interfaces: Vec<_> = attached
                .map(|attachment| &attachment.interface)
                .filter(|interface| is_own(&interface.endpoint))
                .filter_map(|interface| {
                    self.built.get(&interface.endpoint).map(|built| (interface, &built.joined))
                })
                .collect();
            let endpoints: BTreeSet<EndpointId> =
                interfaces.iter().map(|(interface, _)| interface.endpoint.clone()).collect();
            let Some(record) = record.as_ref().filter(|_| !endpoints.is_empty()) else {
                self.routed.remove(sandbox);
                continue;
            };
            let full = !endpoints.is_disjoint(&work.suspects);
            if !full && self.routed.get(sandbox).is_some_and(|(before, _)| *before == endpoints) {
                continue;
            }
            if record.sandbox.foreign {
                // Its engine's, who is not to be asked about in each pass.
                self.routed.insert(sandbox.clone(), (endpoints, Vec::new()));
                continue;
            }
            let wanted = routes::wanted(&interfaces);
            let same = self.routed.remove(sandbox).is_some_and(|(_, before)| before == wanted);
            let settled =
                if same && !full { Ok(()) } else { self.settle_routes(record, &wanted).await };
            match settled {
                Ok(()) => {
                    let mut led = true;
                    for (interface, _) in interfaces {
                        led &= self.lead(&own[&interface.endpoint], &wanted, failures);
                    }
                    if led {
                        self.routed.insert(sandbox.clone(), (endpoints, wanted));
                    }
                }
                Err(error) => {
                    for (interface, _) in interfaces {
                        failures.endpoint(&interface.endpoint, error.to_string());
                    }
                }
            }
        }
    }

    async fn settle_routes(&self, record: &Record, wanted: &[Wanted]) -> Result<(), kernel::Error> {
        let netlink = self.insides.open(&Netns::open(&record.sandbox.netns)?).await?;
        settle(&netlink, record, wanted).await
    }

    /// Has an endpoint's driver know whether the sandbox's default routes are by it; `false` while it does not.
    fn lead(&self, own: &Own, wanted: &[Wanted], failures: &mut Failures) -> bool {
        let Own { endpoint, .. } = own;
        let Some(followed) = self.followed.get(&endpoint.network) else { return true };
        let leads = wanted
            .iter()
            .any(|route| route.endpoint == endpoint.id && route.destination.prefix_len() == 0);
        let led = self.drivers.get(&followed.network.driver).lead(&endpoint.id, leads);
        match &led {
            Ok(()) => {}
            Err(drivers::Error::Pending) => failures.pending(&endpoint.id),
            Err(error) => failures.endpoint(&endpoint.id, error.to_string()),
        }
        led.is_ok()
    }
}

/// Adds what is missing, and then removes what is too much of ours.
async fn settle(
    netlink: &Netlink,
    record: &Record,
    wanted: &[Wanted],
) -> Result<(), kernel::Error> {
    let links: BTreeMap<String, u32> =
        netlink.links().await?.into_iter().map(|link| (link.name, link.index)).collect();
    let (ours, theirs): (Vec<Route>, Vec<Route>) =
        netlink.routes().await?.into_iter().partition(|route| route.protocol == Route::OURS);
    let mut keep = BTreeSet::new();
    for Wanted { destination, gateway, device, endpoint: _ } in wanted {
        let link = *links
            .get(device)
            .ok_or_else(|| kernel::Error::LinkMissing { name: device.clone() })?;
        let route = Route::ours(*destination, *gateway, link);
        let in_place =
            |other: &&Route| other.destination == route.destination && other.metric == route.metric;
        if theirs.iter().any(|other| in_place(&other)) {
            tracing::debug!(sandbox = %record.sandbox.name, %destination, "a route of others stays in place of ours");
            continue;
        }
        keep.insert(*destination);
        match ours.iter().find(in_place) {
            Some(there) if *there == route => {}
            Some(_) => netlink.replace_route(&route).await?,
            None => netlink.add_route(&route).await?,
        }
    }
    for route in ours.iter().filter(|route| !keep.contains(&route.destination)) {
        netlink.delete_route(route).await?;
    }
    Ok(())
}
