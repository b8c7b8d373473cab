//! What this host has in the store: its endpoints, and its own key.

use std::{collections::BTreeMap, fs};

use super::Cleaned;
use crate::{
    controller::{
        Config, Controller, Kind, Result, addresses, keys, leases::Leases, records::Records,
    },
    model::{Endpoint, EndpointId, EngineNetwork, Host, HostId, Network, NetworkId},
    store::{self, Outcome, SharedStore, Txn},
};

/// Gives back what this host has; whether that is all of it.
pub(super) async fn give_back(
    config: &Config,
    store: Result<Option<SharedStore>, store::Error>,
    records: &Records,
    cleaned: &mut Cleaned,
) -> bool {
    let shares = match store {
        Ok(None) => return true,
        Ok(Some(store)) => Shares { config, store, cleaned },
        Err(error) => {
            away(config, &error.to_string(), cleaned);
            return false;
        }
    };
    match shares.give_back(records).await {
        Ok(()) => true,
        Err(error) if error.kind == Kind::Unavailable => {
            away(config, &error.to_string(), cleaned);
            false
        }
        Err(error) => {
            cleaned.failed.push(error.to_string());
            false
        }
    }
}

fn away(config: &Config, error: &str, cleaned: &mut Cleaned) {
    let why = format!(
        "{error}; once the store is back, clean again, or have another host reap them (--reap-after {})",
        config.reap_after
    );
    cleaned.stays("endpoints in the store", format!("of host {}", config.host), why);
}

struct Shares<'a> {
    config: &'a Config,
    store: SharedStore,
    cleaned: &'a mut Cleaned,
}

impl Shares<'_> {
    async fn give_back(self, records: &Records) -> Result<()> {
        let own = keys::get::<Host>(&*self.store, &keys::host(&self.config.host)).await?;
        // What another host of this name has is not this one's to give back.
        let machine = machine(self.config);
        if let Some(other) = own.as_ref().filter(|own| Some(&own.value.id) != machine.as_ref()) {
            let why = format!("that is the host with address {} by now", other.value.vteps);
            self.cleaned.stays("host in the store", self.config.host.to_string(), why);
            return Ok(());
        }
        for (endpoint, (network, published)) in self.endpoints(records).await? {
            let key = keys::endpoint(&network, &endpoint);
            if let Some(name) = self.give_back_one(&key, published).await? {
                self.cleaned.removed("endpoint in the store", name);
            }
        }
        if let Some(own) = own {
            let gone = Txn::new().when(own.unchanged()).delete(own.key.clone());
            if let Outcome::Committed(_) = self.store.commit(gone).await? {
                self.cleaned.removed("host in the store", own.value.name.to_string());
            }
        }
        self.say_what_stays().await
    }

    /// The endpoints that are attached here, and those that were published for a sandbox here.
    async fn endpoints(
        &self,
        records: &Records,
    ) -> Result<BTreeMap<EndpointId, (NetworkId, bool)>> {
        let mut all = BTreeMap::new();
        let attached = keys::attachments(&self.config.host);
        for stored in keys::list::<NetworkId>(&*self.store, &attached).await? {
            if let Some((_, endpoint)) = keys::attached(&stored.key) {
                all.insert(endpoint, (stored.value, false));
            }
        }
        for record in records.all() {
            for (network, endpoint) in record.published.into_iter().chain(record.connecting) {
                all.insert(endpoint, (network, true));
            }
        }
        Ok(all)
    }

    /// Releases an endpoint, or removes it where it goes with its sandbox; returns its name, unless it is another host's.
    async fn give_back_one(&self, key: &str, published: bool) -> Result<Option<String>> {
        while let Some(stored) = keys::get::<Endpoint>(&*self.store, key).await? {
            let endpoint = &stored.value;
            let owner = endpoint.owner.as_ref();
            if owner.is_some_and(|owner| owner.host != self.config.host) {
                return Ok(None);
            }
            let along =
                owner.is_some_and(|owner| owner.takes_along) || endpoint.container.is_some();
            let goes = published || along;
            if owner.is_none() && !goes {
                return Ok(None);
            }
            let txn = if goes {
                self.note_lease(endpoint)?;
                addresses::removal(&*self.store, &stored).await?
            } else {
                Controller::disowned(&stored)
            };
            if let Outcome::Committed(_) = self.store.commit(txn).await? {
                return Ok(Some(endpoint.name.to_string()));
            }
        }
        Ok(None)
    }

    /// A plugin has back what it gave when a daemon runs here again.
    fn note_lease(&self, endpoint: &Endpoint) -> Result<()> {
        if endpoint.lease.is_none() {
            return Ok(());
        }
        let dir = self.config.state_dir.join("plugins/leases");
        let leases = Leases::open(&dir).map_err(|error| {
            crate::controller::Error::internal(format!("cannot use {}: {error}", dir.display()))
        })?;
        leases.note_removal(endpoint)
    }

    /// What only people can say that nobody needs any more.
    async fn say_what_stays(self) -> Result<()> {
        let host = &self.config.host;
        for stored in keys::list_networks(&*self.store).await? {
            let Network { name, host: of, .. } = stored.value;
            if of.as_ref() == Some(host) {
                let why = "it was made for this host alone, with what is published on it; a daemon here removes it: \
                           netctl network rm";
                self.cleaned.stays("network in the store", name.to_string(), why);
            }
        }
        let engine = keys::engine_networks(&keys::engine_of_host(host));
        for stored in keys::list::<EngineNetwork>(&*self.store, &engine).await? {
            let why = "this host's Docker has it: docker network rm while a daemon runs here, or netctl network rm";
            self.cleaned.stays("network of Docker's", stored.value.network.short(), why);
        }
        Ok(())
    }
}

/// Which machine this is, if a daemon ever ran on these directories.
fn machine(config: &Config) -> Option<HostId> {
    fs::read_to_string(config.state_dir.join("host-id")).ok()?.trim().parse().ok()
}
