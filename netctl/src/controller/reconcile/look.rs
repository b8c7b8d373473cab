//! What the store says of this host, at one moment.

use std::{collections::BTreeMap, sync::Arc};

use super::{Reconciler, interest::Interest};
use crate::{
    controller::follow::Mirror,
    model::{Endpoint, EndpointId, HostName, NetworkId, SandboxId},
    store::Revision,
};

/// What the store says of an endpoint of this host.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) sandbox: SandboxId,
    pub(super) revision: Revision,
}

/// What the store says of this host.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Every change of this host's attachments up to this revision is seen.
    pub(super) revision: Revision,
    /// The same of the networks that its engine has.
    pub(super) engine: Revision,
    /// The networks of interest that were listed whole, each with every change of its endpoints up to a revision.
    pub(super) networks: BTreeMap<NetworkId, Revision>,
    /// Whether that is all of them.
    pub(super) complete: bool,
    /// Whether something of them could not be read.
    pub(super) damaged: bool,
    /// The endpoints that are attached on this host.
    pub(super) own: BTreeMap<EndpointId, Own>,
    /// How many endpoints of each network are attached on other hosts.
    pub(super) elsewhere: BTreeMap<NetworkId, usize>,
}

/// What was found among the endpoints of a network.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Which version of them that was.
    version: u64,
    own: Vec<Own>,
    /// How many are attached on other hosts.
    elsewhere: usize,
}

impl Looked {
    /// Looks again, unless they are as they were.
    fn update(&mut self, endpoints: &Mirror<Endpoint>, host: &HostName) {
        if self.version == endpoints.version {
            return;
        }
        *self = Self { version: endpoints.version, ..Self::default() };
        for (endpoint, revision) in endpoints.entries.values() {
            let Some(owner) = &endpoint.owner else { continue };
            if owner.host == *host {
                let (endpoint, sandbox) = (Arc::clone(endpoint), owner.sandbox.clone());
                self.own.push(Own { endpoint, sandbox, revision: *revision });
            } else {
                self.elsewhere += 1;
            }
        }
    }
}

impl Reconciler {
    /// What the store says now; all that a pass does follows from one look.
    ///
    /// `known` is whether every network of interest is followed.
    pub(super) fn look(&mut self, interest: &Interest, known: bool) -> Seen {
        let Interest { revision, engine, .. } = *interest;
        let mut seen = Seen { revision, engine, complete: known, ..Seen::default() };
        for (id, followed) in &mut self.followed {
            let mirror = followed.endpoints.borrow();
            if mirror.complete {
                seen.networks.insert(id.clone(), mirror.revision);
            }
            seen.complete &= mirror.complete;
            seen.damaged |= mirror.damaged;
            followed.looked.update(&mirror, &self.host);
            let own = followed.looked.own.iter();
            seen.own.extend(own.map(|own| (own.endpoint.id.clone(), own.clone())));
            seen.elsewhere.insert(id.clone(), followed.looked.elsewhere);
        }
        seen
    }
}
