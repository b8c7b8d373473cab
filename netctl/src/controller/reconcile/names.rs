//! The name servers of this host follow the same state.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::watch;

use super::{Reconciler, pass::Failures};
use crate::discovery::{Directory, Listener, Servers, Upstreams};

/// The servers, and what they answer from.
#[derive(Debug)]
pub(super) struct Names {
    directory: watch::Sender<Arc<Directory>>,
    servers: Servers,
}

impl Names {
    pub(super) fn new() -> Self {
        let (directory, receiver) = watch::channel(Arc::default());
        Self { directory, servers: Servers::new(receiver, Upstreams::new("/etc/resolv.conf")) }
    }

    pub(super) async fn shutdown(self) {
        self.servers.shutdown().await;
    }
}

impl Reconciler {
    /// Has every network that is present here served, and the servers know what the store says.
    pub(super) async fn serve_names(&mut self, failures: &mut Failures) {
        let directory = Arc::new(self.directory());
        self.names.directory.send_if_modified(|current| {
            let changed = *current != directory;
            *current = directory;
            changed
        });
        let listeners = self.listeners();
        for error in self.names.servers.apply(&listeners).await {
            failures.other(error.to_string());
        }
    }

    fn directory(&self) -> Directory {
        let mirrors: Vec<_> =
            self.followed.values().map(|followed| followed.endpoints.borrow()).collect();
        let endpoints =
            mirrors.iter().flat_map(|mirror| mirror.entries.values().map(|(endpoint, _)| endpoint));
        let joined = self
            .records
            .all()
            .into_iter()
            .map(|record| {
                (record.sandbox.id, record.attachments.into_iter().map(|a| a.network).collect())
            })
            .collect();
        Directory::build(
            self.followed.values().map(|followed| &followed.network),
            endpoints,
            &joined,
        )
    }

    fn listeners(&self) -> BTreeSet<Listener> {
        let mut listeners = BTreeSet::new();
        for followed in self.followed.values() {
            let Some(gateway) =
                followed.presence.as_ref().and_then(|presence| presence.gateway.as_ref())
            else {
                continue;
            };
            listeners.extend(followed.network.subnets.iter().map(|subnet| Listener {
                network: followed.network.id.clone(),
                device: gateway.name.clone(),
                address: subnet.gateway,
            }));
        }
        listeners
    }
}
