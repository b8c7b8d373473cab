//! Who is who in the networks of this host, for those who see packets and want names.
//!
//! What is told is what the reconcile loop last left and its followers of the store have; the store itself is not asked.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use tokio::sync::watch;

use super::{
    Controller,
    observation::{FollowedNetwork, Inventory, Served},
    records::Records,
};
use crate::{
    dataplane::{EventKinds, Listening},
    model::{EndpointId, GATEWAY, MacAddr, Name, NetworkId, SandboxId, Vni},
};

/// For how long names of a network are used that has changed since: to gather them anew takes time where it is large.
const STALE: Duration = Duration::from_millis(250);

/// Who is behind a device of the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The network.
    pub network: Name,
    /// Its segment.
    pub vni: Option<Vni>,
    /// The service, or `gateway`.
    pub service: String,
    /// The name of the sandbox; none of the gateway.
    pub sandbox: Option<Name>,
}

/// Names for what packets say.
#[derive(Debug)]
pub struct Stations {
    inventory: watch::Receiver<Inventory>,
    records: Arc<Records>,
    devices: BTreeMap<u32, Behind>,
    networks: BTreeMap<Vni, Segment>,
}

/// A network.
#[derive(Debug)]
struct Segment {
    followed: FollowedNetwork,
    /// Of which version of its endpoints the names are, and when they were gathered.
    gathered: Option<(u64, Instant)>,
    by_address: BTreeMap<IpAddr, String>,
    by_mac: BTreeMap<MacAddr, String>,
}

impl Controller {
    /// Listens to what the programs tell of single packets from now on, with names for what they say.
    pub async fn listen(&self, kinds: EventKinds) -> (Listening, Stations) {
        let inventory = self.observer.inventory.clone();
        let stations = Stations::new(inventory, Arc::clone(&self.records));
        (self.dataplane.listen(kinds).await, stations)
    }
}

impl Stations {
    fn new(mut inventory: watch::Receiver<Inventory>, records: Arc<Records>) -> Self {
        inventory.mark_changed();
        Self { inventory, records, devices: BTreeMap::new(), networks: BTreeMap::new() }
    }

    /// Takes note of what has changed. Names are as of the last time that this was called.
    pub fn refresh(&mut self) {
        // The loop that leaves it may have ended, and what it left is true still.
        if !self.inventory.has_changed().unwrap_or(false) {
            return;
        }
        let Inventory { networks, endpoints } = self.inventory.borrow_and_update().clone();
        let sandboxes: BTreeMap<SandboxId, Name> = self
            .records
            .each(|record| (record.sandbox.id.clone(), record.sandbox.name.clone()))
            .into_iter()
            .collect();
        self.devices = devices(&networks, &endpoints, &sandboxes);
        let mut before = std::mem::take(&mut self.networks);
        for followed in networks.into_values() {
            let Some(vni) = followed.network.vni else { continue };
            let segment = match before.remove(&vni) {
                Some(segment) if segment.followed.endpoints.same_channel(&followed.endpoints) => {
                    Segment { followed, ..segment }
                }
                _ => Segment::new(followed),
            };
            self.networks.insert(vni, segment);
        }
    }

    /// Who is behind the device of this index.
    pub fn behind(&self, device: u32) -> Option<&Behind> {
        self.devices.get(&device)
    }

    /// The name of the network.
    pub fn network(&self, vni: Vni) -> Option<&Name> {
        self.networks.get(&vni).map(|segment| &segment.followed.network.name)
    }

    /// Who has the address in the network, or else the link-layer address.
    pub fn name(
        &mut self,
        vni: Vni,
        address: Option<IpAddr>,
        mac: Option<MacAddr>,
    ) -> Option<&str> {
        let segment = self.networks.get_mut(&vni)?;
        segment.gather();
        let name = match address {
            Some(address) => segment.by_address.get(&address),
            None => segment.by_mac.get(&mac?),
        };
        name.map(String::as_str)
    }
}

impl Segment {
    fn new(followed: FollowedNetwork) -> Self {
        let (by_address, by_mac) = (BTreeMap::new(), BTreeMap::new());
        Self { followed, gathered: None, by_address, by_mac }
    }

    /// Sees to it that the names are those of now, or nearly.
    fn gather(&mut self) {
        let all = self.followed.endpoints.borrow();
        let fresh =
            |(version, when): (u64, Instant)| version == all.version || when.elapsed() < STALE;
        if self.gathered.is_some_and(fresh) {
            return;
        }
        self.gathered = Some((all.version, Instant::now()));
        self.by_address.clear();
        self.by_mac.clear();
        for (endpoint, _) in all.entries.values() {
            let name = endpoint.name.to_string();
            let addresses = endpoint.addresses.iter().map(IpNet::addr);
            self.by_address.extend(addresses.map(|address| (address, name.clone())));
            self.by_mac.extend(endpoint.mac.map(|mac| (mac, name)));
        }
        let network = &self.followed.network;
        let gateways = network.subnets.iter().map(|subnet| subnet.gateway);
        self.by_address.extend(gateways.map(|address| (address, GATEWAY.to_owned())));
        self.by_mac.extend(network.gateway_mac.map(|mac| (mac, GATEWAY.to_owned())));
    }
}

/// Who is behind each device.
fn devices(
    networks: &BTreeMap<NetworkId, FollowedNetwork>,
    endpoints: &BTreeMap<EndpointId, Served>,
    sandboxes: &BTreeMap<SandboxId, Name>,
) -> BTreeMap<u32, Behind> {
    let mut devices = BTreeMap::new();
    for FollowedNetwork { network, gateway, port, .. } in networks.values() {
        for device in [gateway, port].into_iter().flatten() {
            let behind = Behind {
                network: network.name.clone(),
                vni: network.vni,
                service: GATEWAY.to_owned(),
                sandbox: None,
            };
            devices.insert(*device, behind);
        }
    }
    for Served { endpoint, sandbox, port } in endpoints.values() {
        if let (Some(device), Some(network)) = (*port, networks.get(&endpoint.network)) {
            let network = &network.network;
            let behind = Behind {
                network: network.name.clone(),
                vni: network.vni,
                service: endpoint.name.to_string(),
                sandbox: sandboxes.get(sandbox).cloned(),
            };
            devices.insert(device, behind);
        }
    }
    devices
}
