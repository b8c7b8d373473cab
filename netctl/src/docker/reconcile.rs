//! What an engine failed to say: its own list tells.
//!
//! An engine swallows failures of the calls that end something, and never makes them again (moby, `libnetwork/endpoint.go`,
//! `network.go`). So what netctl has for it is compared with what it has, while it answers. What is young is left alone,
//! since a call may be under way: what is missing has to be so for a while, by this process's own clock, since the wall's may
//! be set at any time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::engine::{Engine, EngineError, ListedNetwork};
use crate::{
    controller::{self, Controller, EngineHolds, EngineScope},
    model::{EndpointId, EngineNetworkId, NetworkId, UnixTime},
};

/// How often it is looked.
const PERIOD: Duration = Duration::from_secs(10);
/// For how long it must be missing.
const GRACE: Duration = Duration::from_secs(15);

/// What netctl has and the engine has not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    Endpoint(EndpointId),
    Network(EngineNetworkId),
    Pool(String),
    Address(NetworkId, IpAddr, UnixTime),
}

/// What is missing, each with when it was made or last asked for, since when it is.
type Missing = BTreeMap<(Stale, UnixTime), Instant>;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Controller(#[from] controller::Error),
}

/// Compares, from time to time, until `stop` is cancelled.
pub async fn reconcile(engine: Engine, controller: Arc<Controller>, stop: CancellationToken) {
    let mut missing = Missing::new();
    let mut away = false;
    loop {
        let looked = async {
            tokio::time::sleep(PERIOD).await;
            look(&engine, &controller, &missing).await
        };
        match stop.run_until_cancelled(looked).await {
            None => return,
            Some(Ok(now)) => {
                missing = now;
                away = false;
            }
            // Nothing is known of what it has then.
            Some(Err(error)) => {
                missing.clear();
                if !away {
                    tracing::info!(%error, "what Docker has is not known now");
                }
                away = true;
            }
        }
    }
}

/// Ends what is missing now and was `before`, long enough; returns what is missing now.
async fn look(
    engine: &Engine,
    controller: &Controller,
    before: &Missing,
) -> Result<Missing, Error> {
    // Before the engine is asked: what it makes meanwhile is not among it.
    let holds = controller.engine_holds().await?;
    if holds == EngineHolds::default() {
        return Ok(Missing::new());
    }
    let mut listed = engine.networks().await?;
    for network in &mut listed {
        if holds.networks.iter().any(|(id, _)| id.as_str() == network.id)
            && let Some(whole) = engine.network(&network.id).await?
        {
            *network = whole;
        }
    }
    let now = Instant::now();
    let missing = since_when(stale(&holds, &listed), before, now);
    for stale in due(&missing, now) {
        tracing::info!(?stale, "Docker has this no more, and has not said so");
        if let Err(error) = end(controller, stale).await {
            tracing::warn!(?stale, %error, "cannot end now what Docker has no more");
        }
    }
    Ok(missing)
}

/// What is missing, since `now` where it was not `before`. What was asked for again meanwhile is not what was missing.
fn since_when(stale: BTreeSet<(Stale, UnixTime)>, before: &Missing, now: Instant) -> Missing {
    let since = |stale| {
        let since = before.get(&stale).copied().unwrap_or(now);
        (stale, since)
    };
    stale.into_iter().map(since).collect()
}

/// What has been missing for long enough.
fn due(missing: &Missing, now: Instant) -> impl Iterator<Item = &Stale> {
    let old = move |since: Instant| now.saturating_duration_since(since) >= GRACE;
    missing.iter().filter(move |(_, since)| old(**since)).map(|((stale, _), _)| stale)
}

async fn end(controller: &Controller, stale: &Stale) -> controller::Result<()> {
    match stale {
        Stale::Endpoint(id) => controller.remove_engine_endpoint(id).await,
        Stale::Network(id) => controller.drop_network(EngineScope::Host, id).await,
        Stale::Pool(id) => controller.release_pool(EngineScope::Host, id).await,
        Stale::Address(network, address, since) => {
            controller.release_kept(network, *address, *since).await
        }
    }
}

/// What is in `holds`, and not in the engine's list.
fn stale(holds: &EngineHolds, listed: &[ListedNetwork]) -> BTreeSet<(Stale, UnixTime)> {
    let endpoints: BTreeSet<&str> = listed
        .iter()
        .flat_map(|network| network.containers.values())
        .map(|endpoint| &*endpoint.endpoint)
        .collect();
    let networks: BTreeSet<&str> = listed.iter().map(|network| &*network.id).collect();
    let others: BTreeSet<IpAddr> = listed
        .iter()
        .flat_map(|network| &network.ipam.config)
        .flat_map(|pool| pool.auxiliary_addresses.values())
        .filter_map(|address| address.parse().ok())
        .collect();
    let mut stale = BTreeSet::new();
    for (id, since) in &holds.endpoints {
        if !endpoints.contains(id.as_str()) {
            stale.insert((Stale::Endpoint(id.clone()), *since));
        }
    }
    for (id, since) in &holds.networks {
        if !networks.contains(id.as_str()) {
            stale.insert((Stale::Network(id.clone()), *since));
        }
    }
    for (id, cidr, since) in &holds.pools {
        if !listed.iter().any(|network| network.has_from_plugin(cidr)) {
            stale.insert((Stale::Pool(id.clone()), *since));
        }
    }
    for (network, address, since) in &holds.addresses {
        if !others.contains(address) {
            stale.insert((Stale::Address(network.clone(), *address, *since), *since));
        }
    }
    stale
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_engine_has_is_not_stale() {
        let id = |byte: u8| EndpointId::from_bytes([byte; 32]);
        let network = |byte: u8| id(byte).as_str().parse::<EngineNetworkId>().expect("an id");
        let cidr = |text: &str| text.parse::<IpNet>().expect("a subnet");
        let own = NetworkId::from_bytes([9; 32]);
        let address = |last: u8| IpAddr::from([10, 88, 0, last]);
        let holds = EngineHolds {
            networks: vec![(network(1), 100), (network(2), 110)],
            endpoints: vec![(id(4), 100), (id(5), 120)],
            pools: vec![
                ("10.88.0.0/24".to_owned(), cidr("10.88.0.0/24"), 100),
                ("10.89.0.0/24".to_owned(), cidr("10.89.0.0/24"), 130),
            ],
            addresses: vec![(own.clone(), address(8), 100), (own.clone(), address(9), 100)],
        };
        let listed: Vec<ListedNetwork> = serde_json::from_value(json!([{
            "Id": network(1), "Name": "dev",
            "IPAM": {"Driver": "netctl", "Config": [
                {"Subnet": "10.88.0.0/24", "AuxiliaryAddresses": {"r1": "10.88.0.9"}},
            ]},
            "Containers": {"c": {"EndpointID": id(4)}},
        }]))
        .expect("networks");
        let expected = BTreeSet::from([
            (Stale::Network(network(2)), 110),
            (Stale::Endpoint(id(5)), 120),
            (Stale::Pool("10.89.0.0/24".to_owned()), 130),
            (Stale::Address(own, address(8), 100), 100),
        ]);
        assert_eq!(stale(&holds, &listed), expected);
    }

    #[test]
    fn what_is_missing_is_so_for_a_while_whatever_the_wall_clock_says() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let pool = |asked| BTreeSet::from([(Stale::Pool("p".to_owned()), asked)]);
        // Made a century ago, or in a century to come: it was first missed now.
        let century: UnixTime = 100 * 365 * 24 * 3600;
        for made in [0, 60 * century] {
            let missing = since_when(pool(made), &Missing::new(), begun);
            assert_eq!(due(&missing, after(14)).count(), 0);
            assert_eq!(due(&missing, after(15)).count(), 1);
            let still = since_when(pool(made), &missing, after(10));
            assert_eq!(due(&still, after(15)).count(), 1);
            let again = since_when(pool(made + 1), &missing, after(10));
            assert_eq!(due(&again, after(15)).count(), 0);
            let back = since_when(BTreeSet::new(), &missing, after(10));
            assert_eq!(due(&since_when(pool(made), &back, after(11)), after(15)).count(), 0);
        }
    }
}
