//! What the data plane should hold, from what the store says and what stands.
//!
//! It is made network by network, and again only where something of a network changed: a change costs as much as the
//! network that it is in, whatever else this host is in.

use std::{collections::BTreeSet, sync::Arc};

use super::{Followed, Reconciler};
use crate::{
    dataplane::{self, Applied, Desired, Sweep},
    drivers::{Local, Presence},
    model::{Endpoint, Vni},
};

/// What the data plane should hold of one network.
#[derive(Debug)]
pub(super) struct Part {
    of: Origin,
    desired: Desired,
    /// Whether the data plane was told.
    told: bool,
}

/// All that a [`Part`] follows from, besides what never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    /// The version of what is known of its endpoints.
    endpoints: u64,
    /// The same of the interfaces that stand here.
    building: u64,
    presence: Presence,
    underlay_mtu: u32,
}

impl Reconciler {
    /// Has the data plane hold what it should: all of it where it is to be looked at in `full` or was not held yet, and
    /// otherwise what changed.
    pub(super) fn apply(
        &mut self,
        sweep: Sweep,
        full: bool,
    ) -> impl Future<Output = Result<Applied, dataplane::Error>> + 'static {
        self.renew();
        let whole = full || sweep == Sweep::Keep || !self.held;
        let parts = self.followed.values_mut().filter_map(|followed| followed.part.as_mut());
        let (mut desired, mut networks) = (Desired::default(), std::mem::take(&mut self.left));
        for part in parts {
            if whole || !part.told {
                networks.extend(part.desired.networks.keys());
                add(&mut desired, &part.desired);
            } else {
                desired.tunnels.extend(&part.desired.tunnels);
            }
            part.told = true;
        }
        // Until it is known that it does: see `note_applied`.
        self.held = false;
        let dataplane = Arc::clone(&self.dataplane);
        async move {
            match (whole, full) {
                (true, true) => dataplane.apply(desired, sweep).await,
                (true, false) => dataplane.apply_new(desired, sweep).await,
                (false, _) if networks.is_empty() => Ok(Applied::default()),
                (false, _) => dataplane.apply_part(desired, networks).await,
            }
        }
    }

    /// Makes the parts anew that do not follow any more from what is known now.
    fn renew(&mut self) {
        let Self { followed, built, building, context, host, drivers, left, .. } = self;
        let underlay_mtu = *context.underlay_mtu.borrow();
        for followed in followed.values_mut() {
            let Some(presence) = followed.presence.clone() else {
                left.extend(vnis(followed));
                followed.part = None;
                continue;
            };
            let mirror = followed.endpoints.borrow();
            let endpoints = mirror.version;
            let of = Origin { endpoints, building: *building, presence, underlay_mtu };
            if followed.part.as_ref().is_some_and(|part| part.of == of) {
                continue;
            }
            let (mut local, mut remote): (Vec<Local<'_>>, Vec<&Endpoint>) =
                (Vec::new(), Vec::new());
            for (endpoint, _) in mirror.entries.values() {
                if endpoint.vteps().is_none() {
                    continue;
                }
                if endpoint.owner.as_ref().is_none_or(|owner| owner.host != *host) {
                    remote.push(endpoint);
                } else if let Some(port) =
                    built.get(&endpoint.id).and_then(|built| built.joined.port.as_ref())
                {
                    local.push(Local { endpoint, port });
                }
            }
            let driver = drivers.get(&followed.network.driver);
            let mut desired = Desired::default();
            driver.forward(context, &followed.network, &of.presence, &local, &remote, &mut desired);
            drop(mirror);
            left.extend(vnis(followed));
            followed.part = Some(Part { of, desired, told: false });
        }
    }

    /// Notes that a network is not followed any more.
    pub(super) fn forget_part(&mut self, followed: &Followed) {
        self.left.extend(vnis(followed));
    }
}

/// The networks of which the data plane may hold something because of this one.
fn vnis(followed: &Followed) -> BTreeSet<Vni> {
    followed.part.iter().flat_map(|part| part.desired.networks.keys().copied()).collect()
}

fn add(desired: &mut Desired, part: &Desired) {
    let Desired { networks, ports, fdb, flood, neigh, tunnels } = part.clone();
    desired.networks.extend(networks);
    desired.ports.extend(ports);
    desired.fdb.extend(fdb);
    desired.flood.extend(flood);
    desired.neigh.extend(neigh);
    desired.tunnels.extend(tunnels);
}
