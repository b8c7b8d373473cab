//! What the data plane holds and how the host is doing, in people's words.

use std::collections::{BTreeMap, BTreeSet};

use netctl_common::counter::Outcome;

use super::{
    Controller, Result, filter,
    keys::{self, Stored},
};
use crate::{
    dataplane::{FdbRow, FdbTarget, FloodRow},
    model::{CounterView, FdbView, GATEWAY, MacAddr, Name, NeighView, NetworkId, StatusView, Vni},
    moment::Moment,
    store,
};

/// Names for what the maps hold; as far as the store can be reached.
#[derive(Debug, Default)]
struct Labels {
    networks: BTreeMap<Vni, Name>,
    stations: BTreeMap<(Vni, MacAddr), String>,
}

impl Controller {
    /// The forwarding database of this host, as its maps have it: where each station is, and then who gets what is sent
    /// to all of a network.
    pub async fn fdb(&self) -> Result<Vec<FdbView>> {
        let labels = self.labels().await;
        let devices = self.context.netlink.links().await?;
        let name = |index: u32| {
            let found = devices.iter().find(|link| link.index == index);
            found.map_or_else(|| format!("if{index}"), |link| link.name.clone())
        };
        let stations = self.dataplane.fdb().await?;
        let behind: BTreeMap<(Vni, FdbTarget), String> = stations
            .iter()
            .filter(|row| !matches!(row.target, FdbTarget::Remote { .. }))
            .filter_map(|row| Some(((row.vni, row.target), labels.station(row.vni, row.mac)?)))
            .collect();
        let view = |vni, mac, target, service| {
            let (device, vtep) = match target {
                FdbTarget::Container { ifindex }
                | FdbTarget::Bridging { ifindex }
                | FdbTarget::Host { ifindex } => (Some(name(ifindex)), None),
                FdbTarget::Remote { vtep } => (None, Some(vtep)),
            };
            FdbView { vni, network: labels.network(vni), mac, device, vtep, service }
        };
        let station = |FdbRow { vni, mac, target }: FdbRow| {
            view(vni, Some(mac), target, labels.station(vni, mac))
        };
        let member = |FloodRow { vni, target, .. }: FloodRow| {
            view(vni, None, target, behind.get(&(vni, target)).cloned())
        };
        let members = self.dataplane.flood().await?;
        Ok(stations.into_iter().map(station).chain(members.into_iter().map(member)).collect())
    }

    /// The neighbours of this host, as its map has them.
    pub async fn neigh(&self) -> Result<Vec<NeighView>> {
        let labels = self.labels().await;
        let rows = self.dataplane.neigh().await?;
        Ok(rows
            .into_iter()
            .map(|row| NeighView {
                vni: row.vni,
                network: labels.network(row.vni),
                address: row.address,
                mac: row.mac,
            })
            .collect())
    }

    /// The counters of this host, as its map has them.
    pub async fn counters(&self) -> Result<Vec<CounterView>> {
        Ok(self
            .dataplane
            .counters()
            .await?
            .into_iter()
            .map(|row| CounterView {
                program: row.direction.as_str().to_owned(),
                counter: row.outcome.as_str().to_owned(),
                description: row.outcome.describe().to_owned(),
                drop: matches!(row.outcome, Outcome::Dropped(_)),
                packets: row.packets,
                bytes: row.bytes,
            })
            .collect())
    }

    /// How this host is doing.
    pub async fn status(&self) -> StatusView {
        let trouble = self.store_trouble().await;
        let records = self.records.made();
        let networks: BTreeSet<_> = records
            .iter()
            .flat_map(|record| record.attachments.iter().map(|a| &a.network))
            .collect();
        let paths = self.dataplane.paths().await.unwrap_or_default();
        let underlay = self.context.underlay.borrow().clone();
        let xdp =
            filter::chosen(self.config.xdp, &underlay.name, &self.context.netlink, &self.dataplane);
        let xdp = xdp.await;
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.config.host.clone(),
            underlay: underlay.name,
            vteps: underlay.vteps,
            underlay_mtu: underlay.mtu,
            vxlan_port: self.config.vxlan_port,
            big_tcp: self.big_tcp.clone(),
            xdp,
            merged_datagrams: self.dataplane.features().merged_datagrams,
            tunnels: paths.len(),
            next_hops: paths.values().filter(|path| path.next_hop.is_some()).count(),
            store: self.store.place(),
            store_error: trouble.as_ref().map(|(error, _)| error.to_string()),
            store_error_since: trouble.and_then(|(_, since)| since).map(Moment::unix),
            networks: networks.len(),
            endpoints: records.iter().map(|record| record.attachments.len()).sum(),
            sandboxes: records.len(),
            names: self.names.read(),
            audit: self.audited(),
            bpf_dir: self.config.bpf_dir.clone(),
            started: self.began.unix(),
        }
    }

    /// What is wrong with the store, and since when: that it cannot be read, or that it could not be changed the last time,
    /// and cannot still.
    async fn store_trouble(&self) -> Option<(store::Error, Option<Moment>)> {
        let read = self.store.get(&keys::host(&self.config.host)).await;
        let measures = self.observer.measures();
        if let Err(error) = read {
            return Some((error, measures.unread_since()));
        }
        let since = measures.unchanged_since()?;
        let error = self.try_change().await.err()?;
        Some((error, Some(since)))
    }

    async fn labels(&self) -> Labels {
        match self.read_labels().await {
            Ok(labels) => labels,
            Err(error) => {
                tracing::debug!(%error, "showing what the maps hold without names");
                Labels::default()
            }
        }
    }

    async fn read_labels(&self) -> Result<Labels> {
        let mut labels = Labels::default();
        // Of the others, the maps hold nothing.
        let here: BTreeSet<NetworkId> = self.progress.borrow().networks.keys().cloned().collect();
        for Stored { value: network, .. } in keys::list_networks(&*self.store).await? {
            let Some(vni) = network.vni else { continue };
            if let Some(mac) = network.gateway_mac {
                labels.stations.insert((vni, mac), GATEWAY.to_owned());
            }
            labels.networks.insert(vni, network.name);
            if !here.contains(&network.id) {
                continue;
            }
            for endpoint in keys::list_endpoints(&*self.store, &network.id).await? {
                if let Some(mac) = endpoint.value.mac {
                    labels.stations.insert((vni, mac), endpoint.value.name.to_string());
                }
            }
        }
        Ok(labels)
    }
}

impl Labels {
    fn network(&self, vni: Vni) -> Option<Name> {
        self.networks.get(&vni).cloned()
    }

    fn station(&self, vni: Vni, mac: MacAddr) -> Option<String> {
        self.stations.get(&(vni, mac)).cloned()
    }
}
