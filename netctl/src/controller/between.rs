//! Who sends to whom: what the programs counted between two looks, with names. They count while somebody asks again and again.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::{
    milliseconds,
    observation::{FollowedNetwork, Inventory},
};
use crate::{
    dataplane::{Dataplane, Error, Loss, Pair, Traffic, Volume},
    kernel::device_name,
    model::{
        Endpoint, GATEWAY, HostName, MacAddr, SceneEnd, SceneLoss, ScenePair, ScenePlace,
        SceneTraffic, SceneWay, Vni,
    },
};

/// How long what was found between two looks is told to all who ask: the programs are not asked by each of them.
const FRESH: Duration = Duration::from_millis(900);
/// After how long a look is too old to count from: the programs have stopped soon after it.
const STALE: Duration = Duration::from_secs(8);
/// How many pairs are told of one by one, the busiest.
const PAIRS: usize = 200;

/// The latest looks.
#[derive(Debug, Default)]
pub(super) struct Between(Mutex<Looks>);

#[derive(Debug, Default)]
struct Looks {
    last: Option<(Instant, Traffic)>,
    found: Arc<Found>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Between the latest two looks; `None` where there is only one.
    over: Option<Duration>,
    /// What was carried meanwhile.
    pairs: BTreeMap<Pair, Volume>,
    /// What was dropped since it is counted.
    losses: BTreeMap<Loss, Volume>,
}

impl Between {
    /// What is going on.
    pub(super) async fn look(&self, dataplane: &Dataplane) -> Result<Arc<Found>, Error> {
        let mut looks = self.0.lock().await;
        let age = looks.last.as_ref().map(|(when, _)| when.elapsed());
        if age.is_none_or(|age| age >= FRESH) {
            let traffic = dataplane.traffic().await?;
            let last = looks.last.replace((Instant::now(), traffic.clone()));
            let before = last.filter(|(when, _)| when.elapsed() < STALE);
            looks.found = Arc::new(Found::since(before, traffic));
        }
        Ok(Arc::clone(&looks.found))
    }
}

impl Found {
    fn since(before: Option<(Instant, Traffic)>, now: Traffic) -> Self {
        let Traffic { pairs, losses } = now;
        let Some((when, before)) = before else {
            return Self { over: None, pairs: BTreeMap::new(), losses };
        };
        let added = |(pair, volume): (Pair, Volume)| {
            let old = before.pairs.get(&pair).copied().unwrap_or_default();
            let volume = volume.since(old);
            (volume.packets > 0).then_some((pair, volume))
        };
        let pairs = pairs.into_iter().filter_map(added).collect();
        Self { over: Some(when.elapsed()), pairs, losses }
    }
}

/// The stations that something is known of, by network and link-layer address.
#[derive(Debug, Default)]
pub(super) struct Ends(BTreeMap<(Vni, MacAddr), Option<SceneEnd>>);

impl Ends {
    /// Those that were seen; who they are is still to be said.
    pub(super) fn seen(found: &Found) -> Self {
        let both = |pair: &Pair| [(pair.vni, pair.source), (pair.vni, pair.destination)];
        Self(found.pairs.keys().flat_map(both).map(|station| (station, None)).collect())
    }

    /// Says who the endpoint is, if it was seen.
    pub(super) fn name(&mut self, vni: Option<Vni>, endpoint: &Endpoint) {
        let (Some(vni), Some(mac)) = (vni, endpoint.mac) else { return };
        if let Some(end) = self.0.get_mut(&(vni, mac)) {
            let place = ScenePlace {
                host: endpoint.owner.as_ref().map(|owner| owner.host.clone()),
                vtep: endpoint.vtep,
            };
            *end = Some(SceneEnd { service: Some(endpoint.name.to_string()), place });
        }
    }

    fn get(&self, vni: Vni, mac: MacAddr) -> SceneEnd {
        self.0.get(&(vni, mac)).cloned().flatten().unwrap_or_default()
    }
}

/// What is going on, in names, if that is known yet; `networks` are those of the scene, in its order.
pub(super) fn traffic(
    found: &Found,
    ends: &Ends,
    networks: &[&FollowedNetwork],
    this: &HostName,
) -> Option<SceneTraffic> {
    let over_ms = milliseconds(found.over?);
    let here = ScenePlace { host: Some(this.clone()), vtep: None };
    let mut pairs: BTreeMap<_, Volume> = BTreeMap::new();
    let mut ways: BTreeMap<_, Volume> = BTreeMap::new();
    for (pair, &volume) in &found.pairs {
        let of = |followed: &&FollowedNetwork| followed.network.vni == Some(pair.vni);
        let Some(network) = networks.iter().position(of) else { continue };
        let gateway = networks[network].network.gateway_mac;
        let end = |mac: MacAddr, is_here: bool| {
            if gateway != Some(mac) {
                return ends.get(pair.vni, mac);
            }
            // Every host has it: what came from one of another's may be from anywhere behind that.
            let place = if is_here { here.clone() } else { ScenePlace::default() };
            SceneEnd { service: Some(GATEWAY.to_owned()), place }
        };
        let (source, destination) =
            (end(pair.source, !pair.tunnelled), end(pair.destination, true));
        let way = (source.place.clone(), destination.place.clone());
        pairs.entry((network, source, destination)).or_default().add(volume);
        if way.0 != way.1 && way.0.is_known() && way.1.is_known() {
            ways.entry(way).or_default().add(volume);
        }
    }
    let mut pairs: Vec<ScenePair> = pairs
        .into_iter()
        .map(|((network, source, destination), Volume { packets, bytes })| ScenePair {
            network,
            source,
            destination,
            packets,
            bytes,
        })
        .collect();
    pairs.sort_by_key(|pair| Reverse(pair.bytes));
    let left_out = pairs.len().saturating_sub(PAIRS);
    pairs.truncate(PAIRS);
    let ways = ways.into_iter().map(|((source, destination), Volume { packets, bytes })| {
        SceneWay { source, destination, packets, bytes }
    });
    Some(SceneTraffic { over_ms, pairs, left_out, ways: ways.collect() })
}

/// Whose packets are dropped, in names.
pub(super) fn losses(found: &Found, inventory: &Inventory) -> Vec<SceneLoss> {
    let loss = |(loss, volume): (&Loss, &Volume)| {
        let served = inventory.endpoints.values().find(|served| served.port == Some(loss.device));
        let network = match served {
            Some(served) => inventory.networks.get(&served.endpoint.network),
            None => inventory
                .networks
                .values()
                .find(|network| [network.port, network.gateway].contains(&Some(loss.device))),
        };
        let service = match served {
            Some(served) => Some(served.endpoint.name.to_string()),
            None => network.map(|_| GATEWAY.to_owned()),
        };
        SceneLoss {
            endpoint: served.map(|served| served.endpoint.id.clone()),
            network: network.map(|network| network.network.name.clone()),
            service,
            device: device_name(loss.device),
            program: loss.direction.as_str().to_owned(),
            counter: loss.reason.as_str().to_owned(),
            description: loss.reason.describe().to_owned(),
            packets: volume.packets,
            bytes: volume.bytes,
        }
    };
    found.losses.iter().map(loss).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(last: u8) -> Pair {
        Pair {
            vni: Vni::new(7).expect("a VNI"),
            source: MacAddr([2, 0, 0, 0, 0, last]),
            destination: MacAddr([2, 0, 0, 0, 0, 99]),
            tunnelled: false,
        }
    }

    #[test]
    fn what_was_carried_is_the_difference_of_two_looks() {
        let look = |pairs: &[(u8, u64, u64)]| Traffic {
            pairs: pairs
                .iter()
                .map(|&(last, packets, bytes)| (pair(last), Volume { packets, bytes }))
                .collect(),
            losses: BTreeMap::new(),
        };
        let before = look(&[(1, 10, 1000), (2, 5, 500), (3, 9, 900)]);
        // One went on, one rests, one was forgotten and has begun anew, one is new.
        let now = look(&[(1, 13, 1300), (2, 5, 500), (3, 2, 120), (4, 1, 60)]);
        let found = Found::since(Some((Instant::now(), before)), now.clone());
        let expected = look(&[(1, 3, 300), (3, 2, 120), (4, 1, 60)]);
        assert_eq!(found.pairs, expected.pairs);
        assert!(found.over.is_some());
        let first = Found::since(None, now);
        assert!(first.over.is_none() && first.pairs.is_empty());
    }
}
