//! What the store says of this host, at one moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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
}

/// What was found among the endpoints of a network.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Which version of them that was.
    version: u64,
    /// Those of this host.
    own: BTreeSet<EndpointId>,
}

impl Looked {
    /// Has `own` be what there is now; those that are otherwise than they were are added to `changed`.
    fn update(
        &mut self,
        endpoints: &Mirror<Endpoint>,
        host: &HostName,
        own: &mut BTreeMap<EndpointId, Own>,
        changed: &mut BTreeSet<EndpointId>,
    ) {
        let Some(keys) = endpoints.changed_since(self.version) else {
            self.forget(own, changed);
            for (endpoint, revision) in endpoints.entries.values() {
                self.add(endpoint, *revision, host, own, changed);
            }
            self.version = endpoints.version;
            return;
        };
        for key in keys {
            if let Some(id) = key.parse().ok().and_then(|id: EndpointId| self.own.take(&id)) {
                own.remove(&id);
                changed.insert(id);
            }
            if let Some((endpoint, revision)) = endpoints.entries.get(key) {
                self.add(endpoint, *revision, host, own, changed);
            }
        }
        self.version = endpoints.version;
    }

    fn add(
        &mut self,
        endpoint: &Arc<Endpoint>,
        revision: Revision,
        host: &HostName,
        own: &mut BTreeMap<EndpointId, Own>,
        changed: &mut BTreeSet<EndpointId>,
    ) {
        let Some(owner) = endpoint.owner.as_ref().filter(|owner| owner.host == *host) else {
            return;
        };
        let (endpoint, sandbox) = (Arc::clone(endpoint), owner.sandbox.clone());
        let id = endpoint.id.clone();
        own.insert(id.clone(), Own { endpoint, sandbox, revision });
        changed.insert(id.clone());
        self.own.insert(id);
    }

    /// Has `own` be without them.
    pub(super) fn forget(
        &mut self,
        own: &mut BTreeMap<EndpointId, Own>,
        changed: &mut BTreeSet<EndpointId>,
    ) {
        for id in std::mem::take(&mut self.own) {
            own.remove(&id);
            changed.insert(id);
        }
    }
}

impl Reconciler {
    /// What the store says now; all that a pass does follows from one look. The endpoints that are otherwise than when it was
    /// last looked are to be done.
    ///
    /// `known` is whether every network of interest is followed.
    pub(super) fn look(&mut self, interest: &Interest, known: bool) -> Seen {
        let Interest { revision, engine, .. } = *interest;
        let own = std::mem::take(&mut self.own);
        let mut seen = Seen { revision, engine, complete: known, own, ..Seen::default() };
        for (id, followed) in &mut self.followed {
            let mirror = followed.endpoints.borrow();
            if mirror.complete {
                seen.networks.insert(id.clone(), mirror.revision);
            }
            seen.complete &= mirror.complete;
            seen.damaged |= mirror.damaged;
            followed.looked.update(&mirror, &self.host, &mut seen.own, &mut self.todo);
        }
        seen
    }
}
