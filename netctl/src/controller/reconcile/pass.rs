//! One pass of the loop.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Followed, Reconciler,
    failures::Failures,
    interest::Interest,
    join::Built,
    look::{Changed, Own, Seen},
};
use crate::{
    controller::{follow::Follower, keys},
    dataplane::{self, Applied, Sweep},
    drivers,
    model::{EndpointId, Network, NetworkId, SandboxId},
};

/// How long what an earlier daemon left is kept though something of it cannot be found to stand.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many endpoints a pass looks at that are known to stand: as long as that takes, one that changes has to wait. Fewer
/// where one does.
const SLICE: (usize, usize) = (4, 1);

/// How deep a pass looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// At what changed, and at some of what is due to be looked at.
    Changes,
    /// Also at what the networks have on this host. Of their endpoints, all are due from then on.
    Host,
    /// At everything.
    Whole,
}

impl Depth {
    /// Whether it looks at what the networks have on this host though it is known to stand.
    pub(super) const fn is_full(self) -> bool {
        !matches!(self, Self::Changes)
    }
}

/// What a pass looks at.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) depth: Depth,
    /// What is otherwise than before, what could not be done then, and `suspects`.
    pub(super) endpoints: BTreeSet<EndpointId>,
    /// Those that are known to stand, and looked at for what others did to them.
    pub(super) suspects: BTreeSet<EndpointId>,
    /// The sandboxes that these are in, or were.
    pub(super) sandboxes: BTreeSet<SandboxId>,
}

impl Reconciler {
    /// [`Self::pass`], by the clock.
    pub(super) async fn timed_pass(&mut self, interest: &Interest, depth: Depth) -> bool {
        let begun = Instant::now();
        let done = self.pass(interest, depth).await;
        self.pulse.passed(depth.is_full(), begun.elapsed(), done);
        done
    }

    /// Does what is to be done now; `false` if something of it could not be done.
    async fn pass(&mut self, interest: &Interest, depth: Depth) -> bool {
        let mut failures = Failures::default();
        self.pulse.does("asking the store for networks");
        let known = self.follow(interest, &mut failures).await;
        if depth.is_full() || interest.moved {
            self.rename(&mut failures).await;
        }
        self.pulse.looks();
        let seen = self.look(interest, known);
        self.make(&seen, depth, &mut failures).await;
        self.own = seen.own;
        failures.none()
    }

    /// What there is to do, of which nothing is left to be done after that.
    fn work(&mut self, own: &BTreeMap<EndpointId, Own>, depth: Depth) -> Work {
        let Changed { mut endpoints, mut sandboxes } = std::mem::take(&mut self.todo);
        let mut suspects = BTreeSet::new();
        match depth {
            Depth::Changes => {
                let count = if endpoints.is_empty() { SLICE.0 } else { SLICE.1 };
                suspects.extend(std::iter::from_fn(|| self.due.pop_first()).take(count));
            }
            Depth::Host => {
                // Where something cannot be done, no pass follows at once that would have come to these.
                suspects.append(&mut self.due);
                self.due.extend(own.keys().cloned());
            }
            Depth::Whole => {
                suspects.extend(own.keys().chain(self.built.keys()).cloned());
                sandboxes.extend(self.routed.keys().cloned());
                self.due.clear();
            }
        }
        endpoints.extend(suspects.iter().cloned());
        let now = endpoints.iter().filter_map(|id| own.get(id)).map(|own| &own.sandbox);
        let before = endpoints.iter().filter_map(|id| self.built.get(id)).map(|of| &of.sandbox);
        sandboxes.extend(now.chain(before).cloned());
        Work { depth, endpoints, suspects, sandboxes }
    }

    /// Makes what is `seen`.
    pub(super) async fn make(&mut self, seen: &Seen, depth: Depth, failures: &mut Failures) {
        let Seen { complete, damaged, own, .. } = seen;
        let work = self.work(own, depth);
        self.pulse.does("entering networks");
        self.enter(depth, failures).await;
        self.pulse.does("joining endpoints");
        self.join(own, &work, failures).await;
        // What an earlier daemon left is kept until all of it was found to stand, or known not to.
        self.settled |= *complete && (failures.none() || self.started.elapsed() > PATIENCE);
        let sweep = if *complete && !damaged && self.settled { Sweep::Remove } else { Sweep::Keep };
        self.pulse.does("filling the maps");
        let applying = self.apply(sweep, &work);
        let Self { names, host, followed, records, .. } = self;
        // The kernel takes its time to attach a program (`synchronize_rcu` in `tcx_link_attach`): time to think.
        let (applied, directory) = tokio::join!(applying, async {
            names.draft(host, followed, records, *complete, (own, &work.sandboxes))
        });
        let applied = self.note_applied(applied, sweep, failures);
        // Whatever became of that: what is gone is not to be reached any more.
        self.pulse.does("opening ways to the outside");
        self.open_ways(own, sweep, depth, failures).await;
        if applied {
            self.pulse.applied();
            self.pulse.does("raising links");
            self.raise(own, &work, failures).await;
            // Before links are removed: a sandbox that leaves the network of its default route has the next at once.
            self.route(own, &work, failures).await;
        }
        if sweep == Sweep::Remove {
            self.pulse.does("sweeping");
            self.forget(own, &work, failures).await;
            self.sweep(own, &work, failures).await;
        }
        self.pulse.does("serving names");
        self.serve_names(*complete, directory, failures).await;
        // A sandbox that is removed next goes at once.
        self.insides.close().await;
        self.report(seen, &work, sweep, failures);
    }

    /// Begins to follow networks that became of interest, and stops with those that are no more; says whether all that
    /// are there are followed.
    async fn follow(&mut self, interest: &Interest, failures: &mut Failures) -> bool {
        let Interest { attached, of_engine, .. } = interest;
        let interest: BTreeSet<&NetworkId> = attached.union(of_engine).collect();
        let old: Vec<NetworkId> =
            self.followed.keys().filter(|id| !interest.contains(id)).cloned().collect();
        for id in old {
            self.leave(&id).await;
        }
        let mut all = true;
        for id in interest {
            if let Some(followed) = self.followed.get_mut(id) {
                followed.of_engine = of_engine.contains(id);
                continue;
            }
            match keys::get::<Network>(&*self.store, &keys::network(id)).await {
                Ok(Some(stored)) => self.begin(stored.value, of_engine.contains(id)).await,
                // A network may be removed while the host of an engine that has it is away.
                Ok(None) if !attached.contains(id) => {}
                // It went between the two looks; so will the attachment.
                Ok(None) => {
                    all = false;
                    failures.other(format!("network {} is gone", id.short()));
                }
                // As for all others.
                Err(error) => {
                    failures.other(error.to_string());
                    return false;
                }
            }
        }
        all
    }

    /// Begins to follow a network.
    async fn begin(&mut self, network: Network, of_engine: bool) {
        // What has its VNI is gone, though its going may not have been heard of yet.
        let same = |(_, other): &(&NetworkId, &Followed)| other.network.vni == network.vni;
        let gone = self.followed.iter().find(same).map(|(id, _)| id.clone());
        if let Some(gone) = gone.filter(|_| network.vni.is_some()) {
            self.leave(&gone).await;
        }
        tracing::info!(network = %network.name, "of interest here");
        let store = Arc::clone(&self.store);
        let endpoints = Follower::start(store, keys::endpoints(&network.id), self.bell.clone());
        self.followed.insert(network.id.clone(), Followed::new(network, endpoints, of_engine));
    }

    /// Follows a network no more.
    async fn leave(&mut self, id: &NetworkId) {
        if let Some(mut followed) = self.followed.remove(id) {
            followed.looked.forget(&mut self.own, &mut self.todo);
            self.forget_part(&mut followed);
            tracing::info!(network = %followed.network.name, "of no interest here any more");
            followed.endpoints.stop().await;
        }
    }

    /// Takes notice of networks that were renamed: all else of a network stays as it was made.
    async fn rename(&mut self, failures: &mut Failures) {
        for (id, followed) in &mut self.followed {
            match keys::get::<Network>(&*self.store, &keys::network(id)).await {
                Ok(Some(stored)) if stored.value.name != followed.network.name => {
                    followed.network = Arc::new(stored.value);
                    self.names.forget(id).await;
                }
                Ok(_) => {}
                // The others would wait for the same store in vain.
                Err(error) => return failures.other(error.to_string()),
            }
        }
    }

    async fn enter(&mut self, depth: Depth, failures: &mut Failures) {
        for followed in self.followed.values_mut() {
            if followed.presence.is_some() && !depth.is_full() {
                continue;
            }
            // What is made now may be unwanted before the next sweep, which is to look for it.
            if let Some(swept) = &mut self.swept {
                swept.segments.extend(followed.network.vni);
            }
            let driver = self.drivers.get(&followed.network.driver);
            match driver.enter(&self.context, &followed.network).await {
                Ok(presence) => followed.presence = Some(presence),
                Err(drivers::Error::Pending) => {
                    failures.pending_network(&followed.network.id);
                }
                Err(error) => failures.network(&followed.network.id, error.to_string()),
            }
        }
    }

    /// Notes what the data plane could not do; `false` if that is everything.
    fn note_applied(
        &mut self,
        applied: Result<Applied, dataplane::Error>,
        sweep: Sweep,
        failures: &mut Failures,
    ) -> bool {
        let applied = match applied {
            Ok(applied) => applied,
            Err(error) => {
                failures.all(format!("the data plane: {error}"));
                return false;
            }
        };
        tracing::debug!(?applied, "data plane applied");
        self.held = sweep == Sweep::Remove && applied.failed.is_empty();
        for (index, reason) in applied.failed {
            let at = |(_, built): &(&EndpointId, &Built)| built.port_index() == Some(index);
            match self.built.iter().find(at).map(|(id, _)| id.clone()) {
                Some(id) => {
                    failures.endpoint(&id, reason);
                    // The next pass looks for its device again.
                    self.unbuild(&id);
                }
                None => failures.other(reason),
            }
        }
        true
    }
}
