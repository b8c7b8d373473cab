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

/// What is otherwise than before.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Endpoints that are, or were, of this host.
    pub(super) endpoints: BTreeSet<EndpointId>,
    /// Sandboxes that had such an endpoint.
    pub(super) sandboxes: BTreeSet<SandboxId>,
}

/// What was found among the endpoints of a network.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Which version of them that was.
    version: u64,
    /// Those of this host.
    own: BTreeSet<EndpointId>,
}

impl Changed {
    fn note(&mut self, before: Option<Own>, id: EndpointId) {
        self.sandboxes.extend(before.map(|before| before.sandbox));
        self.endpoints.insert(id);
    }
}

impl Looked {
    /// Has `own` be what there is now; those that are otherwise than they were are added to `changed`.
    fn update(
        &mut self,
        endpoints: &Mirror<Endpoint>,
        host: &HostName,
        own: &mut BTreeMap<EndpointId, Own>,
        changed: &mut Changed,
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
                changed.note(own.remove(&id), id);
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
        changed: &mut Changed,
    ) {
        let Some(owner) = endpoint.owner.as_ref().filter(|owner| owner.host == *host) else {
            return;
        };
        let (endpoint, sandbox) = (Arc::clone(endpoint), owner.sandbox.clone());
        let id = endpoint.id.clone();
        let before = own.insert(id.clone(), Own { endpoint, sandbox, revision });
        changed.note(before, id.clone());
        self.own.insert(id);
    }

    /// Has `own` be without them.
    pub(super) fn forget(&mut self, own: &mut BTreeMap<EndpointId, Own>, changed: &mut Changed) {
        for id in std::mem::take(&mut self.own) {
            changed.note(own.remove(&id), id);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::timeout;

    use super::*;
    use crate::{
        controller::{follow::Follower, keys, pulse::Bell},
        discovery::tests::{endpoint, network},
        store::{MemoryStore, Outcome, Store as _, Txn},
    };

    /// Some endpoints are put, on this host or another or on none, or go, in one transaction.
    type Step = BTreeMap<usize, Option<Option<bool>>>;

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let change = prop::option::weighted(0.8, prop::option::weighted(0.8, any::<bool>()));
        prop::collection::vec(prop::collection::btree_map(0..6_usize, change, 1..4), 1..20)
    }

    /// What is seen of them, but for the endpoints themselves.
    fn shown(own: &BTreeMap<EndpointId, Own>) -> BTreeMap<&EndpointId, (&SandboxId, Revision)> {
        own.iter().map(|(id, own)| (id, (&own.sandbox, own.revision))).collect()
    }

    async fn sees(steps: Vec<Step>) {
        let network = network("dev", "10.0.0.0/24", false);
        let sandbox = SandboxId::random();
        let all: Vec<Endpoint> =
            (0..6).map(|_| endpoint(&network, "web", &[], &[], Some(&sandbox))).collect();
        let here: HostName = "h1".parse().expect("a name");
        let store = MemoryStore::default();
        let prefix = keys::endpoints(&network.id);
        let follower =
            Follower::<Endpoint>::start(Arc::new(store.clone()), prefix, Bell::default());
        let mut receiver = follower.receiver();
        let (mut looked, mut own) = (Looked::default(), BTreeMap::new());
        for step in steps {
            let change = |txn: Txn, (at, change): (usize, Option<Option<bool>>)| {
                let mut endpoint = all[at].clone();
                let key = keys::endpoint(&network.id, &endpoint.id);
                match change {
                    None => return txn.delete(key),
                    Some(None) => endpoint.owner = None,
                    Some(Some(true)) => {}
                    Some(Some(false)) => {
                        let owner = endpoint.owner.as_mut().expect("it has one");
                        owner.host = "h2".parse().expect("a name");
                    }
                }
                txn.put(key, keys::write(&endpoint))
            };
            // Something is put in any case, so that there is a revision to wait for.
            let last = keys::endpoint(&network.id, &all[0].id);
            let txn = Txn::new().put(last, keys::write(&all[0]));
            let first = store.commit(txn).await.expect("no store is nearer");
            let txn = step.into_iter().fold(Txn::new(), change);
            let Ok(Outcome::Committed(revision)) = store.commit(txn).await else {
                panic!("{first:?}")
            };
            let known = receiver.wait_for(|mirror| mirror.revision >= revision);
            drop(
                timeout(Duration::from_secs(20), known).await.expect("in time").expect("it lives"),
            );
            let (before, mut changed) = (own.clone(), Changed::default());
            let mirror = follower.borrow();
            looked.update(&mirror, &here, &mut own, &mut changed);
            // As one sees it who has never looked.
            let (mut anew, mut of_all) = (BTreeMap::new(), Changed::default());
            Looked::default().update(&mirror, &here, &mut anew, &mut of_all);
            assert_eq!(shown(&own), shown(&anew));
            let (was, is) = (shown(&before), shown(&own));
            let differing = was.keys().chain(is.keys()).filter(|id| was.get(*id) != is.get(*id));
            for id in differing {
                assert!(changed.endpoints.contains(*id), "{changed:?}");
                let sandbox = before.get(*id).map(|own| &own.sandbox);
                assert!(sandbox.is_none_or(|of| changed.sandboxes.contains(of)), "{changed:?}");
            }
        }
        follower.stop().await;
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn what_changed_is_seen_as_by_one_who_looks_at_all(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(sees(steps));
        }
    }
}
