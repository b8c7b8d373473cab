//! The routes of this host's sandboxes follow what they are attached to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Reconciler, failures::Failures, look::Own};
use crate::{
    controller::{
        records::Record,
        routes::{self, Wanted},
    },
    drivers,
    kernel::{self, Netlink, Netns, Route},
    model::{EndpointId, SandboxId},
};

impl Reconciler {
    /// Has every sandbox with an endpoint here have the routes that follow from its interfaces. What netctl did not put
    /// there is left alone, and goes before ours.
    pub(super) async fn route(
        &mut self,
        own: &BTreeMap<EndpointId, Own>,
        full: bool,
        failures: &mut Failures,
    ) {
        let built = own.iter().filter(|(id, _)| self.built.contains_key(*id));
        let mut pairs: Vec<(&SandboxId, &EndpointId)> =
            built.map(|(id, own)| (&own.sandbox, id)).collect();
        pairs.sort();
        let has = |id: &SandboxId| pairs.binary_search_by_key(&id, |(of, _)| of).is_ok();
        self.routed.retain(|sandbox, _| has(sandbox));
        for joined in pairs.chunk_by(|one, next| one.0 == next.0) {
            let Some((sandbox, _)) = joined.first().copied() else { continue };
            let joined = joined.iter().map(|(_, id)| *id);
            let routed = self.routed.get(sandbox);
            if !full && routed.is_some_and(|(endpoints, _)| endpoints.iter().eq(joined.clone())) {
                continue;
            }
            let Some(record) = self.records.get(sandbox) else { continue };
            if record.sandbox.foreign {
                // Its engine's, who is not to be asked about in each pass.
                self.routed.insert(sandbox.clone(), (joined.cloned().collect(), Vec::new()));
                continue;
            }
            let interfaces: Vec<_> = record
                .attachments
                .iter()
                .map(|attachment| &attachment.interface)
                .filter(|interface| own.contains_key(&interface.endpoint))
                .filter_map(|interface| {
                    self.built.get(&interface.endpoint).map(|built| (interface, &built.joined))
                })
                .collect();
            let wanted = routes::wanted(&interfaces);
            let endpoints: BTreeSet<EndpointId> = joined.cloned().collect();
            let same = self.routed.remove(sandbox).is_some_and(|(_, before)| before == wanted);
            let settled =
                if same && !full { Ok(()) } else { self.settle_routes(&record, &wanted).await };
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
