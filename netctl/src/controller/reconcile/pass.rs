//! One pass of the loop.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Followed, Progress, Reconciler, Service,
    failures::Failures,
    interest::Interest,
    look::{Own, Seen},
};
use crate::{
    controller::{
        follow::Follower,
        keys, reap,
        records::{Attachment, Record},
    },
    dataplane::{self, Applied, Sweep},
    drivers::{self, Joined, Place, Present},
    kernel::Netns,
    model::{EndpointId, Network, NetworkId, SandboxId},
};

/// How long what an earlier daemon left is kept though something of it cannot be found to stand.
const PATIENCE: Duration = Duration::from_secs(5);

/// An endpoint's interface that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Built {
    pub(super) sandbox: SandboxId,
    pub(super) joined: Joined,
}

impl Reconciler {
    /// [`Self::pass`], by the clock.
    pub(super) async fn timed_pass(&mut self, interest: &Interest, full: bool) -> bool {
        let begun = Instant::now();
        let done = self.pass(interest, full).await;
        self.pulse.passed(full, begun.elapsed(), done);
        done
    }

    /// Does what is to be done now; `false` if something of it could not be done.
    ///
    /// A `full` pass looks also at what is known to stand.
    async fn pass(&mut self, interest: &Interest, full: bool) -> bool {
        let mut failures = Failures::default();
        self.pulse.does("asking the store for networks");
        let known = self.follow(interest, &mut failures).await;
        if full || interest.moved {
            self.rename(&mut failures).await;
        }
        self.pulse.looks();
        let seen = self.look(interest, known);
        self.make(&seen, full, &mut failures).await;
        failures.none()
    }

    /// Makes what is `seen`.
    pub(super) async fn make(&mut self, seen: &Seen, full: bool, failures: &mut Failures) {
        let Seen { complete, damaged, own, .. } = seen;
        self.pulse.does("entering networks");
        self.enter(full, failures).await;
        self.pulse.does("joining endpoints");
        self.join(own, full, failures).await;
        // What an earlier daemon left is kept until all of it was found to stand, or known not to.
        self.settled |= *complete && (failures.none() || self.started.elapsed() > PATIENCE);
        let sweep = if *complete && !damaged && self.settled { Sweep::Remove } else { Sweep::Keep };
        self.pulse.does("filling the maps");
        let applying = self.apply(sweep, full);
        let Self { names, host, followed, records, .. } = self;
        // The kernel takes its time to attach a program (`synchronize_rcu` in `tcx_link_attach`): time to think.
        let (applied, directory) =
            tokio::join!(applying, async { names.draft(host, followed, records, *complete, own) });
        let applied = self.note_applied(applied, sweep, own, failures);
        // Whatever became of that: what is gone is not to be reached any more.
        self.pulse.does("opening ways to the outside");
        self.open_ways(own, sweep, full, failures).await;
        if applied {
            self.pulse.applied();
            self.pulse.does("raising links");
            self.raise(own, full, failures).await;
            // Before links are removed: a sandbox that leaves the network of its default route has the next at once.
            self.route(own, full, failures).await;
        }
        if sweep == Sweep::Remove {
            self.pulse.does("sweeping");
            self.forget(own, failures).await;
            self.sweep(own, full, failures).await;
        }
        self.pulse.does("serving names");
        self.serve_names(*complete, directory, failures).await;
        // A sandbox that is removed next goes at once.
        self.insides.close().await;
        self.report(seen, sweep, failures);
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
        if let Some(followed) = self.followed.remove(id) {
            self.forget_part(&followed);
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

    async fn enter(&mut self, full: bool, failures: &mut Failures) {
        for followed in self.followed.values_mut() {
            if followed.presence.is_some() && !full {
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

    /// Has the sandboxes of this host forget endpoints that others took, or took away.
    async fn forget(&mut self, own: &BTreeMap<EndpointId, Own>, failures: &mut Failures) {
        let held = |id: &SandboxId, attachment: &Attachment| {
            let owner = own.get(&attachment.interface.endpoint).map(|own| &own.sandbox);
            owner == Some(id) || attachment.unsettled
        };
        let holds_all =
            |record: &Record| record.attachments.iter().all(|of| held(&record.sandbox.id, of));
        if self.records.each(holds_all).into_iter().all(|holds| holds) {
            return;
        }
        let taken = match reap::taken(&*self.store, &self.host).await {
            Ok(taken) => taken,
            Err(error) => return failures.other(error.to_string()),
        };
        if !taken.is_empty() {
            self.missing.notify_one();
        }
        let stays = |id: &SandboxId, attachment: &Attachment| {
            held(id, attachment) || taken.contains(&attachment.interface.endpoint)
        };
        let lost = self.records.each(|record| {
            let id = &record.sandbox.id;
            (!record.attachments.iter().all(|of| stays(id, of))).then(|| id.clone())
        });
        for id in lost.iter().flatten() {
            let forgotten =
                self.records.update(id, |record| record.attachments.retain(|of| stays(id, of)));
            if let Err(error) = forgotten {
                failures.other(error.to_string());
            }
        }
    }

    async fn join(&mut self, own: &BTreeMap<EndpointId, Own>, full: bool, failures: &mut Failures) {
        let is_own = |id: &EndpointId, built: &Built| {
            own.get(id).is_some_and(|own| own.sandbox == built.sandbox)
        };
        let before = self.built.len();
        self.built.retain(|id, built| is_own(id, built));
        self.building += u64::from(self.built.len() < before);
        for (id, own) in own {
            if self.built.contains_key(id) && !full {
                continue;
            }
            if let Some(swept) = &mut self.swept {
                swept.endpoints.insert(id.clone());
            }
            match self.join_one(own).await {
                Ok(joined) => {
                    let had = self.built.get(id).is_some_and(|built| built.joined.port.is_some());
                    if had && joined.port.is_none() {
                        tracing::info!(
                            service = %own.endpoint.name, id = id.short(),
                            "its interface went with a container: it waits for the engine to say so"
                        );
                    }
                    let built = Built { sandbox: own.sandbox.clone(), joined };
                    self.building += u64::from(self.built.get(id) != Some(&built));
                    self.built.insert(id.clone(), built);
                }
                Err(Undone::Pending) => failures.pending(id),
                // What stood before is left to stand: the failure may be the host's, and pass.
                Err(Undone::Failed(reason)) => failures.endpoint(id, reason),
            }
        }
    }

    /// Notes what the data plane could not do; `false` if that is everything.
    fn note_applied(
        &mut self,
        applied: Result<Applied, dataplane::Error>,
        sweep: Sweep,
        own: &BTreeMap<EndpointId, Own>,
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
            let port =
                |built: &Built| built.joined.port.as_ref().is_some_and(|port| port.index == index);
            match own.keys().find(|id| self.built.get(id).is_some_and(port)) {
                Some(id) => {
                    failures.endpoint(id, reason);
                    // The next pass looks for its device again.
                    self.built.remove(id);
                    self.building += 1;
                }
                None => failures.other(reason),
            }
        }
        true
    }

    async fn join_one(&self, own: &Own) -> Result<Joined, Undone> {
        let endpoint = &own.endpoint;
        let followed = self.followed.get(&endpoint.network).ok_or("its network is not followed")?;
        let record = self.records.get(&own.sandbox).ok_or("its sandbox is not on this host")?;
        let attachment = record
            .attachments
            .iter()
            .find(|attachment| attachment.interface.endpoint == endpoint.id)
            .ok_or("its sandbox does not know it")?;
        let device = attachment.interface.device.as_deref().unwrap_or_default();
        if followed.presence.is_none() {
            return Err(Undone::Pending);
        }
        let driver = self.drivers.get(&followed.network.driver);
        if record.sandbox.foreign {
            let fresh = attachment.unsettled;
            return Ok(driver.hand_over(&self.context, &followed.network, endpoint, fresh).await?);
        }
        let path = &record.sandbox.netns;
        let netns = Netns::open(path).map_err(|error| error.to_string())?;
        let insides = &self.insides;
        let place = Place { netns: &netns, insides, path, device, named: attachment.named };
        let joined = driver.join(&self.context, &followed.network, endpoint, place).await?;
        let device = joined.device.as_deref().unwrap_or(device);
        if attachment.interface.device.as_deref() != Some(device) && joined.device.is_some() {
            let renamed = self.records.update(&own.sandbox, |record| {
                for attachment in &mut record.attachments {
                    if attachment.interface.endpoint == endpoint.id {
                        attachment.interface.device = Some(device.to_owned());
                    }
                }
            });
            renamed.map_err(|error| error.to_string())?;
        }
        for sysctl in &attachment.sysctls {
            netns
                .set_sysctl(&sysctl.path_of(device), sysctl.value())
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(joined)
    }

    /// Removes the links of endpoints and networks that the store does not have here: those that were made since it was
    /// looked at all links, or in a `full` pass whatever is found.
    async fn sweep(
        &mut self,
        own: &BTreeMap<EndpointId, Own>,
        full: bool,
        failures: &mut Failures,
    ) {
        let present = Present {
            segments: self.followed.values().filter_map(|followed| followed.network.vni).collect(),
            endpoints: own.keys().cloned().collect(),
            gone: self.gone().await,
        };
        let swept = self.swept.take().filter(|_| !full);
        if swept.as_ref() == Some(&present) {
            self.swept = swept;
            return;
        }
        let removed = match &swept {
            // With a network, or the last endpoint, more goes than their links.
            Some(swept) if swept.segments == present.segments && !present.endpoints.is_empty() => {
                let gone = swept.endpoints.difference(&present.endpoints);
                drivers::remove_ports(&self.context, gone).await
            }
            _ => drivers::sweep_links(&self.context, &present).await,
        };
        if let Err(error) = removed {
            failures.left(error.to_string());
        }
        let mut waits = false;
        for driver in self.drivers.all() {
            match driver.sweep(&self.context, &present).await {
                Ok(()) => {}
                Err(drivers::Error::Pending) => waits = true,
                // Nothing here waits for a plugin that is away, or does not want to.
                Err(drivers::Error::Plugin(error)) => {
                    waits = true;
                    failures.other(error.to_string());
                }
                Err(error) => failures.left(format!("driver {}: {error}", driver.name())),
            }
        }
        if !failures.has_left() && !waits {
            self.swept = Some(present);
        }
    }

    /// The networks that others here know of, and the store does not.
    async fn gone(&self) -> BTreeSet<NetworkId> {
        let mut gone = BTreeSet::new();
        for id in self.drivers.noted_networks() {
            let known = self.followed.contains_key(&id)
                || !matches!(self.store.get(&keys::network(&id)).await, Ok(None));
            if !known {
                gone.insert(id);
            }
        }
        gone
    }

    fn report(&self, seen: &Seen, sweep: Sweep, failures: &Failures) {
        failures.log();
        self.take_inventory(&seen.own, &seen.elsewhere);
        let outcome = |id: &EndpointId, own: &Own| {
            (id.clone(), (own.revision, failures.of(id, &own.endpoint.network)))
        };
        // What others are told to remove is not gone before they have answered.
        let leaving =
            self.drivers.busy_endpoints().into_iter().filter(|id| !seen.own.contains_key(id));
        let leaving = leaving.map(|id| (id, (seen.revision, Service::Pending)));
        let endpoints = seen.own.iter().map(|(id, own)| outcome(id, own)).chain(leaving).collect();
        let networks = seen.networks.clone();
        self.progress.send_modify(|progress| {
            // Where something is left that should be gone, nobody is told that it is gone.
            let followed = sweep == Sweep::Remove && failures.is_followed();
            let (revision, engine) = if followed {
                (seen.revision, seen.engine)
            } else {
                (progress.revision, progress.engine)
            };
            *progress = Progress { revision, engine, networks, endpoints };
        });
    }
}

/// Why an endpoint has not joined.
enum Undone {
    Pending,
    Failed(String),
}

impl From<drivers::Error> for Undone {
    fn from(error: drivers::Error) -> Self {
        if matches!(error, drivers::Error::Pending) {
            Self::Pending
        } else {
            Self::Failed(error.to_string())
        }
    }
}

impl From<String> for Undone {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl From<&str> for Undone {
    fn from(reason: &str) -> Self {
        Self::Failed(reason.to_owned())
    }
}
