//! Looking through the store part by part: it may be larger than what a host is to remember.
//!
//! What one network and its endpoints hold is below the network's identifier, but for attachments, which are below the
//! host's name. So of each endpoint it is noted, in few bytes, on which host it is; and each host's attachments are
//! compared with that.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    LIMIT,
    compare::{Comparison, compare},
};
use crate::{
    controller::{
        Controller, Result,
        holdings::{self, Holding, Named},
        keys,
    },
    model::{EndpointId, HostName, NetworkId},
    store::{self, Entry},
};

/// The endpoints of each host, by the owners that they name: identifiers, with their networks by number.
#[derive(Debug, Default)]
struct Attached {
    networks: Vec<Option<NetworkId>>,
    hosts: BTreeMap<HostName, BTreeSet<([u8; 32], usize)>>,
}

impl Controller {
    /// Compares all parts.
    pub(super) async fn compare(&self) -> Result<Comparison> {
        let mut all = self.compare_shared().await?;
        let mut attached = Attached::default();
        for network in self.networks_with_keys().await? {
            all.add(self.compare_network(&network, &mut attached).await?, LIMIT);
        }
        let with_keys = store::children(&*self.store, keys::ATTACHMENTS).await?;
        let owners = attached.hosts.keys().map(|host| host.as_str().to_owned());
        for host in owners.chain(with_keys).collect::<BTreeSet<_>>() {
            all.add(self.compare_host(&host, &attached).await?, LIMIT);
        }
        Ok(all)
    }

    /// Compares what networks hold beside each other.
    async fn compare_shared(&self) -> Result<Comparison> {
        let (mut held, mut since) = (Vec::new(), None);
        // Before the objects: a key that was there then and whose object is not there now has none.
        for prefix in holdings::SHARED {
            let listing = self.store.list(prefix).await?;
            since.get_or_insert(listing.revision);
            held.extend(listing.entries);
        }
        let objects = self.store.list(keys::NETWORKS).await?.entries;
        let is_elsewhere =
            |held: &Holding| !holdings::SHARED.iter().any(|prefix| held.key.starts_with(prefix));
        Ok(compare(&held, &objects, since.unwrap_or_default(), is_elsewhere))
    }

    /// The identifiers that stand where those of networks do.
    async fn networks_with_keys(&self) -> Result<BTreeSet<String>> {
        let networks = self.store.list(keys::NETWORKS).await?.entries;
        let id = |entry: &Entry| entry.key.strip_prefix(keys::NETWORKS).map(str::to_owned);
        let mut all: BTreeSet<String> = networks.iter().filter_map(id).collect();
        for prefix in holdings::OF_NETWORKS.into_iter().chain([keys::ENDPOINTS]) {
            all.extend(store::children(&*self.store, prefix).await?);
        }
        Ok(all)
    }

    /// Compares what one network and its endpoints hold, and notes where these are attached.
    async fn compare_network(&self, network: &str, attached: &mut Attached) -> Result<Comparison> {
        let prefixes = holdings::OF_NETWORKS.map(|prefix| format!("{prefix}{network}/"));
        let (mut held, mut since) = (Vec::new(), None);
        for prefix in &prefixes {
            let listing = self.store.list(prefix).await?;
            since.get_or_insert(listing.revision);
            held.extend(listing.entries);
        }
        let mut objects = self.store.list(&format!("{}{network}/", keys::ENDPOINTS)).await?.entries;
        objects.extend(self.store.get(&format!("{}{network}", keys::NETWORKS)).await?);
        let number = attached.networks.len();
        attached.networks.push(network.parse().ok());
        let is_elsewhere = |held: &Holding| {
            if let Some((host, id)) = keys::attached(&held.key) {
                attached.hosts.entry(host).or_default().insert((id.to_bytes(), number));
            }
            !prefixes.iter().any(|prefix| held.key.starts_with(prefix))
        };
        Ok(compare(&held, &objects, since.unwrap_or_default(), is_elsewhere))
    }

    /// Compares the attachments of one host with those of its endpoints. What does not agree at first sight is looked at
    /// again, with the endpoints themselves.
    async fn compare_host(&self, host: &str, attached: &Attached) -> Result<Comparison> {
        let prefix = format!("{}{host}/", keys::ATTACHMENTS);
        let listing = self.store.list(&prefix).await?;
        let mut owned: BTreeMap<EndpointId, BTreeSet<&NetworkId>> = BTreeMap::new();
        let named = host.parse::<HostName>().ok().and_then(|host| attached.hosts.get(&host));
        for (id, network) in named.into_iter().flatten() {
            let network = attached.networks.get(*network).and_then(Option::as_ref);
            owned.entry(EndpointId::from_bytes(*id)).or_default().extend(network);
        }
        let (mut held, mut objects) = (Vec::new(), BTreeSet::new());
        for entry in listing.entries {
            let network = serde_json::from_slice::<NetworkId>(&entry.value).ok();
            let agrees = keys::attached(&entry.key).is_some_and(|(_, id)| {
                let agrees =
                    owned.get(&id).is_some_and(|networks| networks.iter().copied().eq(&network));
                agrees && owned.remove(&id).is_some()
            });
            if !agrees && held.len() < LIMIT {
                if let Some(Named::Object(object)) = holdings::named(&entry) {
                    objects.insert(object);
                }
                held.push(entry);
            }
        }
        for (id, networks) in owned.into_iter().take(LIMIT) {
            objects.extend(networks.into_iter().map(|network| keys::endpoint(network, &id)));
        }
        let mut found = Vec::new();
        for object in objects {
            found.extend(self.store.get(&object).await?);
        }
        let is_elsewhere = |held: &Holding| !held.key.starts_with(&prefix);
        Ok(compare(&held, &found, listing.revision, is_elsewhere))
    }
}
