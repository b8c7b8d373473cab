//! From what people write to what it means: a name, an identifier, or the beginning of one.

use super::{
    Controller, Error, Result,
    keys::{self, Stored},
};
use crate::{
    model::{Endpoint, HostName, Name, Network, NetworkId, ServiceRef},
    store::Store,
};

/// The shortest beginning of an identifier that is looked up as such.
const MIN_PREFIX: usize = 3;

/// Whether a text may be the beginning of an identifier, and is long enough to be looked up as such.
pub(super) fn is_prefix(text: &str) -> bool {
    text.len() >= MIN_PREFIX && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// The network that `text` means on the host `here`. A local network of another host is found by its identifier alone,
/// see [`Controller::check_here`].
pub(super) async fn network(
    store: &dyn Store,
    here: &HostName,
    text: &str,
) -> Result<Stored<Network>> {
    if let Ok(name) = text.parse::<Name>() {
        // No two of them are there at once.
        for key in [keys::network_name(&name), keys::local_name(&name, here)] {
            if let Some(entry) = store.get(&key).await?
                && let Ok(id) = String::from_utf8_lossy(&entry.value).parse::<NetworkId>()
                && let Some(found) = keys::get(store, &keys::network(&id)).await?
            {
                return Ok(found);
            }
        }
    }
    if let Ok(id) = text.parse::<NetworkId>() {
        let found = keys::get(store, &keys::network(&id)).await?;
        return found.ok_or_else(|| no_network(text));
    }
    let mut matching = Vec::new();
    if is_prefix(text) {
        matching = keys::list_networks(store).await?;
        matching.retain(|network| network.value.id.as_str().starts_with(text));
    }
    only(matching, text, "network")?.ok_or_else(|| no_network(text))
}

/// The networks of the cluster and of the host `here`.
pub(super) async fn visible_networks(
    store: &dyn Store,
    here: &HostName,
) -> Result<Vec<Stored<Network>>> {
    let mut networks = keys::list_networks(store).await?;
    networks.retain(|network| network.value.is_on(here));
    Ok(networks)
}

impl Controller {
    /// Refuses a local network of another host, which only that host can be asked to `verb`.
    pub(super) fn check_here(&self, network: &Network, verb: &str) -> Result<()> {
        match &network.host {
            Some(host) if *host != self.config.host => Err(elsewhere(network, host, verb)),
            _ => Ok(()),
        }
    }

    /// The same, unless that host is away: what is left of it can be removed from any other.
    pub(super) async fn check_here_or_gone(&self, network: &Network, verb: &str) -> Result<()> {
        match &network.host {
            Some(host)
                if *host != self.config.host
                    && self.store.get(&keys::host(host)).await?.is_some() =>
            {
                Err(elsewhere(network, host, verb))
            }
            _ => Ok(()),
        }
    }
}

fn elsewhere(network: &Network, host: &HostName, verb: &str) -> Error {
    Error::forbidden(format!("network {} is on host {host} alone: {verb} there", network.name))
}

pub(super) fn no_network(text: &str) -> Error {
    Error::not_found(format!("there is no network {text}: see `netctl network ls`"))
}

/// A driver is for a network that may have to be made, which nothing else does.
pub(super) fn without_driver(service: &ServiceRef) -> Result<()> {
    match &service.driver {
        None => Ok(()),
        Some(driver) => Err(Error::unusable(format!(
            "service {service} names driver {driver}, which only `netctl run --publish-service` takes: \
             write SERVICE.NETWORK"
        ))),
    }
}

/// The endpoint that `service` names, with its network. Where it names no network, it must be the only one.
pub(super) async fn service(
    store: &dyn Store,
    here: &HostName,
    service: &ServiceRef,
) -> Result<(Stored<Network>, Stored<Endpoint>)> {
    without_driver(service)?;
    let networks = match &service.network {
        Some(name) => vec![network(store, here, name.as_str()).await?],
        None => visible_networks(store, here).await?,
    };
    let mut found = Vec::new();
    for network in networks {
        if let Some(endpoint) = endpoint(store, &network.value, &service.service).await? {
            found.push((network, endpoint));
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => Err(Error::unusable(format!(
            "service {service} is on several networks: write {}.NETWORK",
            service.service
        ))),
        (None, _) => Err(Error::not_found(match &service.network {
            Some(network) => {
                format!(
                    "there is no service {} on network {network}: see `netctl service ls`",
                    service.service
                )
            }
            None => format!("there is no service {}: see `netctl service ls`", service.service),
        })),
    }
}

async fn endpoint(
    store: &dyn Store,
    network: &Network,
    text: &Name,
) -> Result<Option<Stored<Endpoint>>> {
    if let Some(entry) = store.get(&keys::endpoint_name(&network.id, text)).await?
        && let Ok(id) = String::from_utf8_lossy(&entry.value).parse()
        && let Some(found) = keys::get(store, &keys::endpoint(&network.id, &id)).await?
    {
        return Ok(Some(found));
    }
    if let Ok(id) = text.as_str().parse() {
        return keys::get(store, &keys::endpoint(&network.id, &id)).await;
    }
    let mut matching = Vec::new();
    if is_prefix(text.as_str()) {
        matching = keys::list_endpoints(store, &network.id).await?;
        matching.retain(|endpoint| endpoint.value.id.as_str().starts_with(text.as_str()));
    }
    only(matching, text.as_str(), "service")
}

/// The one object, if there is one, whose identifier begins with `text`.
pub(super) fn only<T>(
    matching: impl IntoIterator<Item = T>,
    text: &str,
    kind: &str,
) -> Result<Option<T>> {
    let mut matching = matching.into_iter();
    match (matching.next(), matching.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => {
            Err(Error::unusable(format!("{kind} {text} is ambiguous: give more of the identifier")))
        }
    }
}
