//! From what people write to what it means: a name, an identifier, or the beginning of one.

use super::{
    Error, Result,
    keys::{self, Stored},
};
use crate::{
    model::{Endpoint, Name, Network, NetworkId, ServiceRef},
    store::Store,
};

/// The shortest beginning of an identifier that is looked up as such.
const MIN_PREFIX: usize = 3;

/// Whether a text may be the beginning of an identifier, and is long enough to be looked up as such.
pub(super) fn is_prefix(text: &str) -> bool {
    text.len() >= MIN_PREFIX && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) async fn network(store: &dyn Store, text: &str) -> Result<Stored<Network>> {
    if let Ok(name) = text.parse::<Name>()
        && let Some(entry) = store.get(&keys::network_name(&name)).await?
        && let Ok(id) = String::from_utf8_lossy(&entry.value).parse::<NetworkId>()
        && let Some(found) = keys::get(store, &keys::network(&id)).await?
    {
        return Ok(found);
    }
    let mut matching = Vec::new();
    if is_prefix(text) {
        matching = keys::list_networks(store).await?;
        matching.retain(|network| network.value.id.as_str().starts_with(text));
    }
    only(matching, text, "network")?.ok_or_else(|| no_network(text))
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
    service: &ServiceRef,
) -> Result<(Stored<Network>, Stored<Endpoint>)> {
    without_driver(service)?;
    let networks = match &service.network {
        Some(name) => vec![network(store, name.as_str()).await?],
        None => keys::list_networks(store).await?,
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
