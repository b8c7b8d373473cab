//! What this host knows without the store, for those who ask while that is away.

use std::collections::BTreeMap;

use super::Controller;
use crate::model::{KnownView, ServiceView};

impl Controller {
    /// What is known without asking the store.
    pub fn known(&self) -> KnownView {
        let (mut networks, mut services) = (Vec::new(), Vec::new());
        for followed in self.observer.inventory.borrow().networks.values() {
            let mirror = followed.endpoints.borrow();
            // What an earlier daemon left is never complete, and all that there is.
            if !mirror.complete && mirror.entries.is_empty() {
                continue;
            }
            let network_name = &followed.network.name;
            services.extend(mirror.entries.values().map(|(endpoint, _)| ServiceView {
                endpoint: (**endpoint).clone(),
                network_name: network_name.clone(),
                plugin_info: BTreeMap::new(),
            }));
            networks.push((*followed.network).clone());
        }
        let hosts = self.observer.hosts.borrow();
        let alive = || hosts.entries.values().map(|(host, _)| (**host).clone()).collect();
        let away = self.observer.measures.connection().filter(|known| !known.connected);
        KnownView {
            networks,
            services,
            hosts: hosts.complete.then(alive),
            away_since: away.map(|known| known.since.unix()),
        }
    }
}
