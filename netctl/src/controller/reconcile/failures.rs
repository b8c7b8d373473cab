//! What a pass could not do, and whom that concerns.

use std::collections::{BTreeMap, BTreeSet};

use super::Service;
use crate::model::{EndpointId, NetworkId};

/// What a pass could not do.
#[derive(Debug, Default)]
pub(super) struct Failures {
    all: Option<String>,
    networks: BTreeMap<NetworkId, String>,
    endpoints: BTreeMap<EndpointId, String>,
    others: Vec<String>,
    /// What waits for a plugin, which is no failure.
    pending_networks: BTreeSet<NetworkId>,
    pending: BTreeSet<EndpointId>,
    /// Whether something is left that should be gone.
    left: bool,
}

impl Failures {
    pub(super) fn all(&mut self, reason: String) {
        self.all = Some(reason);
    }

    pub(super) fn network(&mut self, id: &NetworkId, reason: String) {
        self.networks.insert(id.clone(), reason);
    }

    pub(super) fn endpoint(&mut self, id: &EndpointId, reason: String) {
        self.endpoints.insert(id.clone(), reason);
    }

    pub(super) fn pending_network(&mut self, id: &NetworkId) {
        self.pending_networks.insert(id.clone());
    }

    pub(super) fn pending(&mut self, id: &EndpointId) {
        self.pending.insert(id.clone());
    }

    pub(super) fn other(&mut self, reason: String) {
        self.others.push(reason);
    }

    pub(super) fn left(&mut self, reason: String) {
        self.left = true;
        self.others.push(reason);
    }

    /// Whether something is left that should be gone.
    pub(super) fn has_left(&self) -> bool {
        self.left
    }

    /// Whether the data plane was told all, and nothing is left.
    pub(super) fn is_followed(&self) -> bool {
        self.all.is_none() && !self.left
    }

    pub(super) fn none(&self) -> bool {
        let Self { all, networks, endpoints, others, .. } = self;
        all.is_none() && networks.is_empty() && endpoints.is_empty() && others.is_empty()
    }

    /// Whether they concern whole networks, or all.
    pub(super) fn are_wide(&self) -> bool {
        let Self { all, networks, pending_networks, .. } = self;
        all.is_some() || !networks.is_empty() || !pending_networks.is_empty()
    }

    /// Those of which something is said, whether they were looked at or not.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &EndpointId> {
        self.endpoints.keys().chain(&self.pending)
    }

    /// How it stands with an endpoint of that network.
    pub(super) fn of(&self, endpoint: &EndpointId, network: &NetworkId) -> Service {
        let reason =
            self.all.as_ref().or(self.networks.get(network)).or(self.endpoints.get(endpoint));
        let waits = self.pending_networks.contains(network) || self.pending.contains(endpoint);
        match reason {
            Some(reason) => Service::Failed(reason.clone()),
            None if waits => Service::Pending,
            None => Service::Ready,
        }
    }

    pub(super) fn log(&self) {
        let Self { all, networks, endpoints, others, .. } = self;
        for reason in all.iter().chain(others) {
            tracing::warn!(reason, "not done");
        }
        for (network, reason) in networks {
            tracing::warn!(network = network.short(), reason, "not present");
        }
        for (endpoint, reason) in endpoints {
            tracing::warn!(endpoint = endpoint.short(), reason, "not joined");
        }
    }
}
