//! The name servers of this host follow the same state.

mod kept;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use ipnet::IpNet;
use tokio::{runtime::Handle, sync::watch};

use self::kept::{Keeper, Kept};
use super::{Followed, Reconciler, failures::Failures, look::Own};
use crate::{
    controller::{
        follow::{Follower, Mirror},
        keys,
        outside::LedFlows,
        pulse::Bell,
        records::{Record, Records},
    },
    discovery::{Asker, Askers, Counters, Directory, Joined, Listener, Servers, Upstreams, Zone},
    kernel::Netns,
    model::{Endpoint, EndpointId, Host, HostName, Network, NetworkId, ResolverOption, SandboxId},
    store::SharedStore,
};

/// The servers, and what they answer from.
#[derive(Debug)]
pub(super) struct Names {
    directory: watch::Sender<Arc<Directory>>,
    servers: Servers,
    /// The hosts that are alive.
    hosts: Follower<Host>,
    zones: Zones,
    askers: Askers,
    /// Of what the askers are told besides what concerns each of them.
    asking: Option<Asking>,
    /// Where what is answered from is kept for the next daemon.
    dir: PathBuf,
    keepers: BTreeMap<NetworkId, Keeper>,
    /// Whether nothing else is kept there.
    tidy: bool,
    /// What an earlier daemon answered from: it serves until all is listed.
    kept: BTreeMap<NetworkId, (Arc<Zone>, Kept)>,
}

/// What is the same for all who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asking {
    /// Whether all that the store says is known.
    complete: bool,
    /// Whether they are led here: one who shares a network with an engine's container is led here too.
    led: bool,
}

/// Networks that were listed whole, each as of what is known of its endpoints and of the hosts.
///
/// A zone is what follows from these alone, whatever came before it: what is answered cannot drift from what the store says.
#[derive(Debug, Default)]
struct Zones(BTreeMap<NetworkId, ([u64; 2], Arc<Zone>)>);

impl Zones {
    /// Makes a network's zone as `host` sees it, unless it is as of that already.
    fn update(
        &mut self,
        host: &HostName,
        network: &Network,
        endpoints: &Mirror<Endpoint>,
        hosts: &Mirror<Host>,
    ) {
        let at = [endpoints.version, hosts.version];
        let made = self.0.get(&network.id);
        if !endpoints.complete || made.is_some_and(|(made, _)| *made == at) {
            return;
        }
        let dead = |other: &HostName| other != host && kept::is_dead(hosts, other);
        let made = made.filter(|(made, _)| made[1] == hosts.version);
        let changed = made.and_then(|(made, zone)| Some((endpoints.changed_since(made[0])?, zone)));
        let zone = if let Some((keys, zone)) = changed {
            let mut zone = Zone::clone(zone);
            for key in keys {
                if let Ok(id) = key.parse() {
                    let now = endpoints.entries.get(key).map(|(endpoint, _)| endpoint);
                    zone.set(&id, now, dead);
                }
            }
            zone
        } else {
            let all = endpoints.entries.values().map(|(endpoint, _)| endpoint);
            Zone::build(network, all, dead)
        };
        self.0.insert(network.id.clone(), (at, Arc::new(zone)));
    }
}

impl Names {
    /// Follows the hosts from now on; `bell` is rung at what becomes of them.
    pub(super) fn new(dir: PathBuf, netns: Netns, store: SharedStore, bell: Bell) -> Self {
        let (directory, receiver) = watch::channel(Arc::default());
        Self {
            directory,
            servers: Servers::new(
                Handle::current(),
                receiver,
                Upstreams::new("/etc/resolv.conf").with_led(Arc::new(LedFlows::new(netns))),
            ),
            hosts: Follower::start(store, keys::HOSTS.to_owned(), bell),
            zones: Zones::default(),
            askers: Askers::default(),
            asking: None,
            dir,
            keepers: BTreeMap::new(),
            tidy: false,
            kept: BTreeMap::new(),
        }
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        self.servers.counters()
    }

    pub(super) fn hosts(&self) -> watch::Receiver<Mirror<Host>> {
        self.hosts.receiver()
    }

    pub(super) async fn shutdown(self) {
        for keeper in self.keepers.into_values() {
            keeper.stop().await;
        }
        self.hosts.stop().await;
        self.servers.shutdown().await;
    }

    /// Has what is known of a network made anew, as when its name changed.
    pub(super) async fn forget(&mut self, network: &NetworkId) {
        self.zones.0.remove(network);
        if let Some(keeper) = self.keepers.remove(network) {
            keeper.stop().await;
        }
    }

    /// What is to be answered from, by what the store says of the networks that `host` follows. `own` are the endpoints of
    /// this host, which are all of them where it is `complete`; `sandboxes` are those where they are others than before.
    pub(super) fn draft(
        &mut self,
        host: &HostName,
        followed: &BTreeMap<NetworkId, Followed>,
        records: &Records,
        complete: bool,
        (own, sandboxes): (&BTreeMap<EndpointId, Own>, &BTreeSet<SandboxId>),
    ) -> Directory {
        self.zones.0.retain(|id, _| followed.contains_key(id));
        let hosts = self.hosts.borrow();
        for followed in followed.values() {
            let endpoints = followed.endpoints.borrow();
            self.zones.update(host, &followed.network, &endpoints, &hosts);
        }
        drop(hosts);
        let is_own = |record: &Record, id: &EndpointId| {
            !complete || own.get(id).is_some_and(|own| own.sandbox == record.sandbox.id)
        };
        self.ask(records, complete, sandboxes, is_own);
        self.directory(complete)
    }

    /// Takes notice of who asks: of all, or where the rest is as it was of `sandboxes` and those whose records changed.
    fn ask(
        &mut self,
        records: &Records,
        complete: bool,
        sandboxes: &BTreeSet<SandboxId>,
        is_own: impl Fn(&Record, &EndpointId) -> bool,
    ) {
        let changed = records.take_changed();
        let led = records.each(|record| record.sandbox.foreign).contains(&true);
        let asking = Asking { complete, led };
        let asker = |record: &Record| Asker { led, ..asker(record, |id| is_own(record, id)) };
        if self.asking == Some(asking) && !self.askers.are_contended() {
            for id in changed.iter().chain(sandboxes) {
                self.askers.set(id, records.look(id, asker));
            }
            return;
        }
        self.asking = Some(asking);
        self.askers = Askers::default();
        for (id, asker) in records.each(|record| (record.sandbox.id.clone(), asker(record))) {
            self.askers.set(&id, Some(asker));
        }
    }

    /// All that is known, and until that is `complete` what was kept.
    fn directory(&self, complete: bool) -> Directory {
        let Zones(zones) = &self.zones;
        let kept = self.kept.iter().filter(|(id, _)| !complete && !zones.contains_key(*id));
        let kept = kept.map(|(id, (zone, _))| (id.clone(), Arc::clone(zone)));
        let zones = zones.iter().map(|(id, (_, zone))| (id.clone(), Arc::clone(zone)));
        Directory::new(zones.chain(kept), self.askers.clone())
    }

    fn publish(&self, directory: Directory) {
        self.directory.send_replace(Arc::new(directory));
    }
}

impl Reconciler {
    /// Has names served as an earlier daemon last did, before the store is asked, or while it is away.
    pub(in crate::controller) async fn serve_kept_names(&mut self) {
        self.names.kept = kept::read(&self.names.dir)
            .into_iter()
            .map(|kept| (kept.network.id.clone(), (Arc::new(kept.zone()), kept)))
            .collect();
        self.names.ask(&self.records, false, &BTreeSet::new(), |_, _| true);
        self.names.publish(self.names.directory(false));
        let listeners = self.names.kept.values().flat_map(|(_, kept)| kept.listeners()).collect();
        for error in self.names.servers.apply(&listeners).await {
            // As after a restart of the machine.
            tracing::debug!(%error, "names of an earlier daemon are not served");
        }
    }

    /// What an earlier daemon last knew of each network, until the store has said all of it.
    pub(super) fn kept(&self) -> Vec<(Network, Vec<Arc<Endpoint>>)> {
        let kept = self.names.kept.values();
        kept.map(|(_, kept)| (kept.network.clone(), kept.endpoints.clone())).collect()
    }

    /// Has every network that is present here served, and the servers answer from `directory`.
    pub(super) async fn serve_names(
        &mut self,
        complete: bool,
        directory: Directory,
        failures: &mut Failures,
    ) {
        if complete {
            self.names.kept.clear();
        }
        self.names.publish(directory);
        let mut listeners = self.listeners();
        listeners.extend(self.names.kept.values().flat_map(|(_, kept)| kept.listeners()));
        for error in self.names.servers.apply(&listeners).await {
            failures.other(error.to_string());
        }
        self.keep_names(complete, failures).await;
    }

    /// Has what is answered from kept on disk, of the networks that are present.
    async fn keep_names(&mut self, complete: bool, failures: &mut Failures) {
        let Names { hosts, zones, dir, keepers, tidy, .. } = &mut self.names;
        let gone = keepers.extract_if(.., |id, _| !self.followed.contains_key(id));
        for (_, keeper) in gone.collect::<Vec<_>>() {
            keeper.stop().await;
            *tidy = false;
        }
        for (id, followed) in &self.followed {
            let gateway = followed.presence.as_ref().and_then(|presence| presence.gateway.as_ref());
            if let (Some(gateway), true, false) =
                (gateway, zones.0.contains_key(id), keepers.contains_key(id))
            {
                let network = Network::clone(&followed.network);
                let keeper = Keeper::start(
                    dir,
                    gateway.name.clone(),
                    network,
                    self.host.clone(),
                    (followed.endpoints.receiver(), hosts.receiver()),
                )
                .await;
                keepers.insert(id.clone(), keeper);
            }
        }
        if complete && !*tidy {
            match kept::remove_others(dir, &keepers.keys().collect()) {
                Ok(()) => *tidy = true,
                Err(error) => {
                    failures.other(format!("cannot remove names from {}: {error}", dir.display()));
                }
            }
        }
    }

    fn listeners(&self) -> BTreeSet<Listener> {
        let mut listeners = BTreeSet::new();
        for followed in self.followed.values() {
            let Some(gateway) =
                followed.presence.as_ref().and_then(|presence| presence.gateway.as_ref())
            else {
                continue;
            };
            listeners.extend(followed.network.subnets.iter().map(|subnet| Listener {
                network: followed.network.id.clone(),
                device: gateway.name.clone(),
                address: subnet.gateway,
            }));
        }
        listeners
    }
}

/// A sandbox as one who asks, with those of its attachments that are its own.
fn asker(record: &Record, is_own: impl Fn(&EndpointId) -> bool) -> Asker {
    let joined =
        record.attachments.iter().filter(|attachment| is_own(&attachment.interface.endpoint)).map(
            |attachment| Joined {
                network: attachment.network.clone(),
                addresses: attachment.interface.addresses.iter().map(IpNet::addr).collect(),
                aliases: attachment.interface.aliases.clone(),
            },
        );
    let ndots = record.sandbox.dns_options.iter().rev().find_map(ResolverOption::ndots);
    Asker {
        joined: joined.collect(),
        servers: record.sandbox.dns.clone(),
        qualifies: ndots.is_some_and(|ndots| ndots > 0),
        led: false,
        elsewhere: record.elsewhere,
    }
}

#[cfg(test)]
mod tests;
