//! What the data plane should hold, from what the store says and what stands.
//!
//! It is kept network by network and station by station, and the data plane is told of what changed: a change costs
//! what it changes, whatever else this host is in.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Followed, Reconciler,
    pass::{Depth, Work},
    tally::Tally,
};
use crate::{
    dataplane::{self, Applied, Desired, Sweep},
    drivers::{Footing, Presence},
    model::EndpointId,
};

/// What the data plane should hold of one network.
#[derive(Debug)]
pub(super) struct Part {
    of: Origin,
    /// The version of what is known of its endpoints.
    endpoints: u64,
    tally: Tally,
}

/// All that a [`Part`] follows from besides its endpoints, and what never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    presence: Presence,
    underlay: Footing,
}

impl Reconciler {
    /// Has the data plane hold what it should: all of it where it is to be looked at or was not held yet, and otherwise
    /// what changed.
    pub(super) fn apply(
        &mut self,
        sweep: Sweep,
        work: &Work,
    ) -> impl Future<Output = Result<Applied, dataplane::Error>> + 'static {
        self.renew();
        let mut touched = std::mem::take(&mut self.touched);
        // That their ports run the program is looked at.
        let suspects = work.suspects.iter().filter_map(|id| self.built.get(id)?.port_index());
        touched.ports.extend(suspects);
        let depth = work.depth;
        let whole = depth.is_full() || sweep == Sweep::Keep || !self.held;
        let mut desired = Desired::default();
        if whole || !touched.is_empty() {
            for part in self.followed.values().filter_map(|followed| followed.part.as_ref()) {
                let part = part.tally.desired();
                if whole { desired.extend(part) } else { desired.extend_with(part, &touched) }
            }
        }
        // Until it is known that it does: see `note_applied`.
        self.held = false;
        let dataplane = Arc::clone(&self.dataplane);
        async move {
            match (whole, depth) {
                (true, Depth::Whole) => dataplane.apply(desired, sweep).await,
                (true, _) => dataplane.apply_new(desired, sweep).await,
                (false, _) if touched.is_empty() => Ok(Applied::default()),
                (false, _) => dataplane.apply_part(desired, touched).await,
            }
        }
    }

    /// Brings the parts up to what is known now.
    fn renew(&mut self) {
        let rebuilt = std::mem::take(&mut self.rebuilt);
        let underlay = self.context.underlay.borrow().clone();
        let mut all = std::mem::take(&mut self.followed);
        for followed in all.values_mut() {
            let Some(presence) = followed.presence.clone() else {
                self.forget_part(followed);
                continue;
            };
            self.renew_part(followed, Origin { presence, underlay: underlay.clone() }, &rebuilt);
        }
        self.followed = all;
    }

    /// Brings one up to that, where `rebuilt` are the endpoints whose interfaces are others than before.
    fn renew_part(&mut self, followed: &mut Followed, of: Origin, rebuilt: &BTreeSet<EndpointId>) {
        let Followed { network, endpoints, part: kept, .. } = followed;
        let Self { built, context, host, drivers, touched, .. } = self;
        let mirror = endpoints.borrow();
        let driver = drivers.get(&network.driver);
        let station = |key: &str| {
            let (endpoint, _) = mirror.entries.get(key)?;
            let here = endpoint.owner.as_ref().is_some_and(|owner| owner.host == *host);
            let port = built.get(&endpoint.id).and_then(|built| built.joined.port.as_ref());
            // What is here has its interface first.
            let known = if here { port.is_some() } else { endpoint.vteps().is_some() };
            known.then(|| driver.station(context, network, endpoint, port.filter(|_| here)))?
        };
        if let Some(part) = kept
            && part.of == of
            && let Some(changed) = mirror.changed_since(part.endpoints)
        {
            let keys = changed.into_iter().chain(rebuilt.iter().map(EndpointId::as_str));
            let changes = keys.filter_map(|key| Some((key.parse().ok()?, station(key))));
            if part.tally.change(changes, touched) {
                part.endpoints = mirror.version;
                return;
            }
        }
        if let Some(part) = kept.take() {
            touched.add(part.tally.desired());
        }
        let mut tally = Tally::new(driver.forward(context, network, &of.presence));
        let all = mirror.entries.iter();
        tally.change(all.map(|(key, (endpoint, _))| (endpoint.id.clone(), station(key))), touched);
        touched.add(tally.desired());
        *kept = Some(Part { of, endpoints: mirror.version, tally });
    }

    /// Notes that the data plane is to hold nothing of a network any more.
    pub(super) fn forget_part(&mut self, followed: &mut Followed) {
        if let Some(part) = followed.part.take() {
            self.touched.add(part.tally.desired());
        }
    }
}
