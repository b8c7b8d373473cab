//! Which networks this host is to be in, by the store's account.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    controller::{follow::Follower, keys, pulse::Bell},
    model::{EngineNetwork, HostName, NetworkId},
    store::{Revision, SharedStore},
};

/// The networks of interest.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// Every change of this host's attachments up to this revision is in it.
    pub(super) revision: Revision,
    /// The same of the networks that its engine has.
    pub(super) engine: Revision,
    /// Those that have an endpoint here.
    pub(super) attached: BTreeSet<NetworkId>,
    /// Those that this host's engine has: they are there before its first container is, and after the last, so that
    /// containers that come and go one by one need not make and remove what its own bridge would keep.
    pub(super) of_engine: BTreeSet<NetworkId>,
    /// Whether the engine's changed since they were last asked for, or got other names.
    pub(super) moved: bool,
}

/// What tells of them.
#[derive(Debug)]
pub(super) struct Interests {
    attachments: Follower<NetworkId>,
    engine: Follower<EngineNetwork>,
    /// Up to where changes of the engine's were asked for.
    asked: Revision,
}

impl Interests {
    /// Begins to follow them; `bell` is rung at each change.
    pub(super) fn follow(store: &SharedStore, host: &HostName, bell: &Bell) -> Self {
        let engine = keys::engine_networks(&keys::engine_of_host(host));
        Self {
            attachments: Follower::start(Arc::clone(store), keys::attachments(host), bell.clone()),
            engine: Follower::start(Arc::clone(store), engine, bell.clone()),
            asked: Revision(0),
        }
    }

    /// As they are now; nothing before all of them are known.
    pub(super) fn now(&mut self) -> Option<Interest> {
        let (attachments, engine) = (self.attachments.borrow(), self.engine.borrow());
        if !(attachments.complete && engine.complete) {
            return None;
        }
        let moved = engine.revision != self.asked;
        self.asked = engine.revision;
        Some(Interest {
            revision: attachments.revision,
            engine: engine.revision,
            attached: attachments.entries.values().map(|(id, _)| NetworkId::clone(id)).collect(),
            of_engine: engine.entries.values().map(|(of, _)| of.network.clone()).collect(),
            moved,
        })
    }

    pub(super) async fn stop(self) {
        self.attachments.stop().await;
        self.engine.stop().await;
    }
}
