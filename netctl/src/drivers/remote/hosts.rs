//! The hosts of the cluster, as plugins whose networks reach beyond one hear of them.
//!
//! Each plugin has a task of its own, so that none waits for another, and nothing else for any. Only what a plugin was
//! told since it was found is known: one that was started again hears of all hosts again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{Error, Remotes};
use crate::plugin::{Incarnation, NodeData, PluginScope};

/// How often it is looked whether a plugin was started again, and how long to wait before one is asked again that failed;
/// that doubles.
const PERIOD: Duration = Duration::from_secs(1);
/// The longest that is waited after a failure.
const LONGEST: Duration = Duration::from_secs(30);

/// What a plugin has heard.
#[derive(Debug, Default)]
struct Heard {
    from: Option<Incarnation>,
    nodes: BTreeSet<NodeData>,
}

impl Remotes {
    /// Tells all plugins that are used here of these hosts, as they come and go, until it is dropped.
    pub(in crate::drivers) async fn tell_hosts(
        self: Arc<Self>,
        hosts: watch::Receiver<BTreeSet<NodeData>>,
    ) {
        let mut used = self.used.subscribe();
        let mut begun = BTreeSet::new();
        let mut tasks = JoinSet::new();
        loop {
            let now = used.borrow_and_update().clone();
            for plugin in now {
                if begun.insert(plugin.clone()) {
                    tasks.spawn(Arc::clone(&self).tell_one(plugin, hosts.clone()));
                }
            }
            if used.changed().await.is_err() {
                return;
            }
        }
    }

    async fn tell_one(
        self: Arc<Self>,
        plugin: String,
        mut hosts: watch::Receiver<BTreeSet<NodeData>>,
    ) {
        let mut heard = Heard::default();
        let mut pause = PERIOD;
        loop {
            let wanted = hosts.borrow_and_update().clone();
            let told = self.tell(&plugin, &mut heard, wanted).await;
            if let Err(error) = told {
                tracing::warn!(%error, "a plugin has not heard of all hosts; telling it again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST);
                continue;
            }
            pause = PERIOD;
            if let Ok(Err(_ended)) = tokio::time::timeout(PERIOD, hosts.changed()).await {
                return;
            }
        }
    }

    /// Tells one plugin what it has not heard, where it is there.
    async fn tell(
        &self,
        plugin: &str,
        heard: &mut Heard,
        wanted: BTreeSet<NodeData>,
    ) -> Result<(), Error> {
        let Some(now) = self.plugins.incarnation(plugin) else {
            *heard = Heard::default();
            return Ok(());
        };
        if heard.from.as_ref() != Some(&now) {
            *heard = Heard { from: Some(now.clone()), nodes: BTreeSet::new() };
        }
        if heard.nodes == wanted || !now.listens().await {
            return Ok(());
        }
        let driver = self.plugins.network(plugin).await?;
        if driver.capabilities().connectivity == PluginScope::Local {
            heard.nodes = wanted;
            return Ok(());
        }
        let gone: Vec<NodeData> = heard.nodes.difference(&wanted).copied().collect();
        for node in gone {
            driver.discover_delete(node).await?;
            heard.nodes.remove(&node);
        }
        let mut new: Vec<NodeData> = wanted.difference(&heard.nodes).copied().collect();
        // Its own host first, as with Docker.
        new.sort_by_key(|node| !node.own);
        for node in new {
            driver.discover_new(node).await?;
            heard.nodes.insert(node);
        }
        Ok(())
    }
}
