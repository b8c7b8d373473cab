//! Taking away what nothing needs any more.

use std::collections::{BTreeMap, BTreeSet};

use super::{Reconciler, failures::Failures, look::Own, pass::Work};
use crate::{
    controller::{
        Result, keys, reap,
        records::{Attachment, Record},
    },
    drivers::{self, Present},
    model::{Endpoint, EndpointId, NetworkId, SandboxId},
};

impl Reconciler {
    /// Has the sandboxes of this host forget endpoints that others took, or took away.
    pub(super) async fn forget(
        &mut self,
        own: &BTreeMap<EndpointId, Own>,
        work: &Work,
        failures: &mut Failures,
    ) {
        let is_own = |id: &SandboxId, of: &Attachment| {
            own.get(&of.interface.endpoint).is_some_and(|own| own.sandbox == *id)
        };
        let held = |id: &SandboxId, of: &Attachment| is_own(id, of) || of.unsettled;
        let holds_all =
            |record: &Record| record.attachments.iter().all(|of| held(&record.sandbox.id, of));
        let holds = |id: &SandboxId| self.records.look(id, holds_all) != Some(false);
        // What is being attached, and was taken again already, is looked at when it is known what becomes of it.
        let is_unsure = |record: &Record| {
            let id = &record.sandbox.id;
            record.attachments.iter().any(|of| of.unsettled && !is_own(id, of))
        };
        let unsure = |id: &&SandboxId| self.records.look(id, is_unsure) == Some(true);
        self.todo.sandboxes.extend(work.sandboxes.iter().filter(unsure).cloned());
        if !work.depth.is_full() && work.sandboxes.iter().all(holds) {
            return;
        }
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
        // What one sandbox takes from another is both's until it has it.
        let moving = self.records.each(|record| {
            let unsettled = record.attachments.iter().filter(|of| of.unsettled);
            unsettled.map(|of| of.interface.endpoint.clone()).collect::<Vec<_>>()
        });
        let moving: BTreeSet<EndpointId> = moving.into_iter().flatten().collect();
        let stays = |id: &SandboxId, attachment: &Attachment| {
            let endpoint = &attachment.interface.endpoint;
            held(id, attachment) || taken.contains(endpoint) || moving.contains(endpoint)
        };
        let lost = self.records.each(|record| {
            let id = &record.sandbox.id;
            let lost = record.attachments.iter().filter(|of| !stays(id, of));
            let lost = lost.map(|of| (of.network.clone(), of.interface.endpoint.clone()));
            (id.clone(), lost.collect::<Vec<_>>())
        });
        for (id, mut lost) in lost {
            if let Err(error) = self.keep_own(&id, &mut lost).await {
                return failures.other(error.to_string());
            }
            let goes = |of: &Attachment| {
                !of.unsettled && lost.iter().any(|(_, endpoint)| *endpoint == of.interface.endpoint)
            };
            let forgotten =
                self.records.update(&id, |record| record.attachments.retain(|of| !goes(of)));
            if let Err(error) = forgotten {
                failures.other(error.to_string());
            }
        }
    }

    /// Leaves only those of the endpoints that are not a sandbox's by what the store says now: one that it was to lose may be
    /// its own again since it was looked.
    async fn keep_own(
        &self,
        sandbox: &SandboxId,
        lost: &mut Vec<(NetworkId, EndpointId)>,
    ) -> Result<()> {
        for (network, endpoint) in std::mem::take(lost) {
            let key = keys::endpoint(&network, &endpoint);
            let stored = keys::get::<Endpoint>(&*self.store, &key).await?;
            let owner = stored.and_then(|stored| stored.value.owner);
            if owner.is_none_or(|owner| owner.sandbox != *sandbox) {
                lost.push((network, endpoint));
            }
        }
        Ok(())
    }

    /// Removes the links of endpoints and networks that the store does not have here: those that were made since it was
    /// looked at all links, or in a full pass whatever is found.
    pub(super) async fn sweep(
        &mut self,
        own: &BTreeMap<EndpointId, Own>,
        work: &Work,
        failures: &mut Failures,
    ) {
        let segments: BTreeSet<_> =
            self.followed.values().filter_map(|followed| followed.network.vni).collect();
        let gone = self.gone().await;
        let swept = self.swept.take().filter(|_| !work.depth.is_full());
        let mut lost = Vec::new();
        if let Some(swept) = &swept {
            let went = |id: &&EndpointId| !own.contains_key(*id) && swept.endpoints.contains(*id);
            lost.extend(work.endpoints.iter().filter(went));
        }
        let same = |swept: &Present| swept.segments == segments;
        if swept.as_ref().is_some_and(|swept| lost.is_empty() && same(swept) && swept.gone == gone)
        {
            self.swept = swept;
            return;
        }
        let present = Present { segments, endpoints: own.keys().cloned().collect(), gone };
        let removed = match &swept {
            // With a network, or the last endpoint, more goes than their links.
            Some(swept) if swept.segments == present.segments && !present.endpoints.is_empty() => {
                drivers::remove_ports(&self.context, lost).await
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
}
