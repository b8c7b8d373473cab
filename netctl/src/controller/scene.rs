//! What the page of this host shows. It is made of what the host follows anyway: the store is asked nothing, so that it can
//! be looked at while the store is away, and by many.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use super::{
    Controller, Result,
    between::{self, Ends, Found},
    follow::Mirror,
    milliseconds,
    observation::{FollowedNetwork, Inventory},
};
use crate::model::{
    Endpoint, EndpointId, Host, HostName, SceneEndpoint, SceneHost, SceneNetwork, SceneStore,
    SceneView, TrafficView, Vteps,
};

/// How many endpoints are told of one by one; of the others it is told how many there are.
const ENDPOINTS: usize = 2000;

impl Controller {
    /// Hosts, networks and endpoints as this host knows them, and what its own endpoints carried. The programs count who sends
    /// to whom for as long as this is asked again and again.
    ///
    /// # Errors
    /// The data plane or the kernel does not answer.
    pub async fn scene(&self) -> Result<SceneView> {
        let inventory = self.observer.inventory.borrow().clone();
        let traffic = self.activity().await?.endpoints;
        let drops = self.counters().await?.into_iter().filter(|own| own.drop && own.packets > 0);
        let found = self.observer.between.look(&self.dataplane).await?;
        let connection = self.observer.measures.connection();
        let mut scene = SceneView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.config.host.clone(),
            // It says which daemon this is, too: it stays what it is when the clock is set.
            started: self.started,
            elapsed_ms: milliseconds(self.observer.began.elapsed()),
            store: SceneStore {
                place: self.store.place(),
                answers: connection.map(|known| known.connected),
                since: connection.map(|known| known.since.unix()),
            },
            complete: true,
            hosts: Vec::new(),
            networks: Vec::new(),
            endpoints: Vec::new(),
            left_out: 0,
            drops: drops.collect(),
            traffic: None,
            losses: between::losses(&found, &inventory),
        };
        let mut owners = Owners::default();
        fill(&mut scene, &inventory, &mut owners, traffic, &found);
        let hosts = self.observer.hosts.borrow();
        scene.complete &= hosts.complete;
        scene.hosts = owners.hosts(&self.config.host, self.context.vteps(), &hosts);
        drop(hosts);
        Ok(scene)
    }
}

/// Tells of the networks of interest and their endpoints.
fn fill(
    scene: &mut SceneView,
    inventory: &Inventory,
    owners: &mut Owners,
    traffic: Vec<TrafficView>,
    found: &Found,
) {
    let mut networks: Vec<&FollowedNetwork> = inventory.networks.values().collect();
    networks.sort_by(|a, b| a.network.name.cmp(&b.network.name));
    let mut ends = Ends::seen(found);
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for (place, followed) in networks.iter().enumerate() {
        let mirror = followed.endpoints.borrow();
        scene.complete &= mirror.complete;
        for (endpoint, _) in mirror.entries.values() {
            ends.name(followed.network.vni, endpoint);
            let here = owners.count(endpoint) == Some(&scene.host);
            if here {
                own.push((place, Arc::clone(endpoint)));
            } else if others.len() < ENDPOINTS {
                others.push((place, Arc::clone(endpoint)));
            }
        }
        let network = &followed.network;
        scene.networks.push(SceneNetwork {
            name: network.name.clone(),
            driver: network.driver.clone(),
            vni: network.vni,
            subnets: network.subnets.iter().map(|subnet| subnet.cidr).collect(),
            internal: network.internal,
            endpoints: mirror.entries.len(),
        });
    }
    scene.traffic = between::traffic(found, &ends, &networks, &scene.host);
    own.truncate(ENDPOINTS);
    others.truncate(ENDPOINTS - own.len());
    for list in [&mut own, &mut others] {
        list.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
    }
    let mut traffic: BTreeMap<EndpointId, TrafficView> =
        traffic.into_iter().map(|view| (view.id.clone(), view)).collect();
    let listed = own.iter().chain(&others);
    scene.endpoints = listed
        .map(|(network, endpoint)| view(*network, endpoint, traffic.remove(&endpoint.id)))
        .collect();
    let all: usize = scene.networks.iter().map(|network| network.endpoints).sum();
    scene.left_out = all - scene.endpoints.len();
}

fn view(network: usize, endpoint: &Endpoint, traffic: Option<TrafficView>) -> SceneEndpoint {
    let owner = endpoint.owner.as_ref();
    let (received, sent) = traffic.map(|traffic| (traffic.received, traffic.sent)).unzip();
    SceneEndpoint {
        id: endpoint.id.clone(),
        name: endpoint.name.clone(),
        aliases: endpoint.aliases.clone(),
        network,
        host: owner.map(|owner| owner.host.clone()),
        vtep: endpoint.vtep,
        mac: endpoint.mac,
        addresses: endpoint.addresses.iter().map(ipnet::IpNet::addr).collect(),
        ports: owner.map(|owner| owner.ports.clone()).unwrap_or_default(),
        received,
        sent,
    }
}

/// The hosts that endpoints are on, with where that is and how many there are.
#[derive(Default)]
struct Owners(BTreeMap<HostName, (Vteps, usize)>);

impl Owners {
    /// Counts the endpoint; which host it is on.
    fn count<'a>(&mut self, endpoint: &'a Endpoint) -> Option<&'a HostName> {
        let owner = endpoint.owner.as_ref()?;
        match self.0.entry(owner.host.clone()) {
            Entry::Occupied(mut known) => known.get_mut().1 += 1,
            Entry::Vacant(new) => drop(new.insert((owner.vteps, 1))),
        }
        Some(&owner.host)
    }

    /// The hosts that are alive, and these besides, by name. Who looks is alive, whatever the store says of it.
    fn hosts(mut self, this: &HostName, vteps: Vteps, mirror: &Mirror<Host>) -> Vec<SceneHost> {
        let mut hosts = Vec::new();
        for (host, _) in mirror.entries.values() {
            let endpoints = self.0.remove(&host.name).map_or(0, |(_, endpoints)| endpoints);
            hosts.push(SceneHost {
                name: host.name.clone(),
                this: host.name == *this,
                alive: Some(true),
                vteps: host.vteps,
                mtu: Some(host.mtu),
                version: Some(host.version.clone()),
                endpoints,
            });
        }
        if hosts.iter().all(|host| !host.this) {
            self.0.entry(this.clone()).or_insert((vteps, 0));
        }
        for (name, (vteps, endpoints)) in self.0 {
            let is_this = name == *this;
            let known = mirror.complete && !mirror.damaged;
            let alive = if is_this { Some(true) } else { known.then_some(false) };
            let (mtu, version) = (None, None);
            hosts.push(SceneHost { name, this: is_this, alive, vteps, mtu, version, endpoints });
        }
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        hosts
    }
}
