//! Addresses from IPAM drivers that are plugins.
//!
//! A plugin is asked before the store is, since what it gives is what the object gets, and told last when an object
//! goes. In between what it gave is noted on disk: to be given back, unless the store has the object that it is for. So
//! it does not matter where an operation fails, or the daemon dies, but in the moment between a plugin's answer and its
//! note.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use super::{Controller, Error, Kind, Result, keys};
use crate::{
    drivers::{Plan, Scope},
    ipam,
    model::{
        DriverName, Endpoint, EndpointId, Lease, LeasedAddress, LeasedPool, Network, NetworkId,
        NetworkSpec, ServiceSpec,
    },
    plugin::{self, IpamPlugin, Journal, PoolRequest, Purpose, RequestedPool},
    store,
};

/// How often it is looked for what is to be given back.
const PERIOD: Duration = Duration::from_secs(2);
/// How long an operation waits until a plugin has back what it gave; after that it is done behind it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many pools a plugin may offer that the host cannot use.
const OFFERS: usize = 16;

/// What plugins gave and may have to have back.
#[derive(Debug)]
pub(super) struct Leases {
    journal: Journal<Noted>,
    /// Who is at work on what is noted under an identifier holds its lock, from the note to the end.
    locks: Mutex<BTreeMap<String, Lock>>,
}

type Lock = Arc<tokio::sync::Mutex<()>>;
/// That one is at work on it.
pub(super) type Held = OwnedMutexGuard<()>;

/// What was given, and for what.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noted {
    network: NetworkId,
    /// None where it is for the network.
    endpoint: Option<EndpointId>,
    lease: Lease,
}

impl Noted {
    fn id(&self) -> &str {
        self.endpoint.as_ref().map_or(self.network.as_str(), EndpointId::as_str)
    }
}

impl Leases {
    /// # Errors
    /// What was noted cannot be read.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self { journal: Journal::open(dir)?, locks: Mutex::default() })
    }

    fn lock(&self, id: &str) -> Lock {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(id.to_owned()).or_default())
    }

    async fn hold(&self, id: &str) -> Held {
        self.lock(id).lock_owned().await
    }

    fn note(&self, noted: &Noted) -> Result<()> {
        let written = self.journal.put(noted.id(), noted.clone());
        written.map_err(|error| Error::internal(error.to_string()))
    }

    /// Notes what a plugin has to have back once the store has the endpoint no more, where nobody else is at work.
    pub(super) fn note_removal(&self, endpoint: &Endpoint) -> Result<()> {
        let Some(lease) = endpoint.lease.clone() else { return Ok(()) };
        let (network, endpoint) = (endpoint.network.clone(), Some(endpoint.id.clone()));
        self.note(&Noted { network, endpoint, lease })
    }

    /// Forgets what was noted for a removal that another was faster with: it gives back, or has given back already.
    pub(super) fn forget(&self, id: &str) -> Result<()> {
        self.journal.remove(id).map_err(|error| Error::internal(error.to_string()))
    }
}

impl From<plugin::Error> for Error {
    fn from(error: plugin::Error) -> Self {
        let kind = match error {
            plugin::Error::Missing { .. } => Kind::NotFound,
            plugin::Error::Refused { .. } | plugin::Error::NotImplemented { .. } => Kind::Forbidden,
            plugin::Error::File { .. }
            | plugin::Error::Scope { .. }
            | plugin::Error::Unreachable { .. }
            | plugin::Error::Late { .. }
            | plugin::Error::Unknown { .. }
            | plugin::Error::Garbled { .. } => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl Controller {
    /// Has `create` make a network of what its IPAM driver gives; of what the specification says, where that is netctl.
    pub(super) async fn with_pools<T>(
        &self,
        id: &NetworkId,
        spec: NetworkSpec,
        plan: &Plan,
        create: impl AsyncFnOnce(NetworkSpec, Option<Lease>) -> Result<T>,
    ) -> Result<T> {
        let Some(driver) = spec.ipam_driver.clone().filter(|driver| !is_own(driver)) else {
            ipam::check_options(&spec.ipam_options)?;
            return create(spec, None).await;
        };
        if !plan.addresses {
            let network = spec.driver.as_ref().map_or_else(String::new, ToString::to_string);
            return Err(Error::unusable(format!(
                "driver {network} gives no addresses: leave out --ipam-driver"
            )));
        }
        let plugin = self.drivers.plugins().ipam(driver.as_str()).await?;
        let _held = self.leases.hold(id.as_str()).await;
        let spaces = plugin.spaces();
        let space = if plan.scope == Scope::Cluster { &spaces.global } else { &spaces.local };
        let lease = Lease::of(driver, space.clone());
        let mut noted = Noted { network: id.clone(), endpoint: None, lease };
        let made = match self.take_pools(&plugin, &mut noted, spec).await {
            Ok(spec) => create(spec, Some(noted.lease)).await,
            Err(error) => Err(error),
        };
        self.settle_lease(id.as_str()).await;
        made
    }

    /// The specification with the subnets and gateways that the plugin gives for it.
    async fn take_pools(
        &self,
        plugin: &IpamPlugin,
        noted: &mut Noted,
        mut spec: NetworkSpec,
    ) -> Result<NetworkSpec> {
        let space = noted.lease.space.clone();
        let mut wanted: Vec<Option<IpNet>> = spec.subnets.iter().copied().map(Some).collect();
        let has = |v6: bool| spec.subnets.iter().any(|subnet| subnet.addr().is_ipv6() == v6);
        let mut families: Vec<bool> = wanted.iter().flatten().map(|s| s.addr().is_ipv6()).collect();
        for v6 in [false, true] {
            if !has(v6) && (spec.ipv6 || !v6 && spec.subnets.is_empty()) {
                wanted.push(None);
                families.push(v6);
            }
        }
        let hosts: Vec<IpNet> =
            self.used_by_hosts().await?.into_iter().map(|(subnet, _)| subnet).collect();
        let mut gateways = Vec::new();
        let mut subnets = Vec::new();
        for (pool, v6) in wanted.into_iter().zip(families) {
            let inside = |address: &&IpAddr| pool.is_some_and(|pool| pool.contains(*address));
            let range = spec
                .ip_ranges
                .iter()
                .filter(|given| given.host.is_none())
                .find(|given| pool.is_some_and(|pool| pool.contains(&given.range)));
            let range = range.map(|given| given.range);
            let request =
                PoolRequest { space: &space, pool, range, options: &spec.ipam_options, v6 };
            let given = self.take_pool(plugin, noted, &request, &hosts).await?;
            let wish = spec.gateways.iter().find(inside).copied();
            let gateway = match given.gateway.filter(|_| wish.is_none()) {
                Some(gateway) => gateway,
                None => self.take_address(plugin, noted, &given, wish, Purpose::Gateway).await?,
            };
            for address in spec.aux_addresses.values().filter(inside) {
                let purpose = Purpose::Endpoint { mac: None };
                self.take_address(plugin, noted, &given, Some(*address), purpose).await?;
            }
            subnets.push(given.subnet);
            gateways.push(gateway);
        }
        spec.subnets = subnets;
        spec.gateways = gateways;
        spec.ipv6 = false;
        Ok(spec)
    }

    /// A pool, which the hosts themselves have no address of where the plugin chose it.
    async fn take_pool(
        &self,
        plugin: &IpamPlugin,
        noted: &mut Noted,
        request: &PoolRequest<'_>,
        hosts: &[IpNet],
    ) -> Result<RequestedPool> {
        let mut useless: Vec<String> = Vec::new();
        loop {
            let given = plugin.request_pool(request).await;
            let (id, subnet) = match &given {
                Ok(pool) => (Some(pool.id.clone()), Some(pool.subnet)),
                Err((id, _)) => (id.clone(), None),
            };
            if let Some(id) = id {
                // One that is unusable has no subnet, and none is asked for.
                let subnet = subnet.or(request.pool).unwrap_or_default();
                noted.lease.pools.push(LeasedPool { id, subnet });
                self.leases.note(noted)?;
            }
            let given = given.map_err(|(_, error)| error)?;
            let overlaps = |host: &&IpNet| {
                host.contains(&given.subnet.addr()) || given.subnet.contains(&host.addr())
            };
            let Some(host) = hosts.iter().find(overlaps).filter(|_| request.pool.is_none()) else {
                // Not before there is another, or they would be offered again.
                for id in useless {
                    given_back(plugin.release_pool(&id).await)?;
                    noted.lease.pools.retain(|pool| pool.id != id);
                }
                self.leases.note(noted)?;
                return Ok(given);
            };
            useless.push(given.id);
            if useless.len() == OFFERS {
                return Err(Error::forbidden(format!(
                    "IPAM driver {} offers {OFFERS} pools that the hosts have addresses of, the last {} beside {host}: \
                     give one with --subnet",
                    noted.lease.driver, given.subnet
                )));
            }
        }
    }

    async fn take_address(
        &self,
        plugin: &IpamPlugin,
        noted: &mut Noted,
        pool: &RequestedPool,
        wanted: Option<IpAddr>,
        purpose: Purpose,
    ) -> Result<IpAddr> {
        let given = plugin.request_address(pool, wanted, purpose).await;
        let address = match &given {
            Ok(address) => Some(*address),
            Err((address, _)) => *address,
        };
        if let Some(address) = address {
            noted.lease.addresses.push(LeasedAddress { pool: pool.id.clone(), address });
            self.leases.note(noted)?;
        }
        Ok(given.map_err(|(_, error)| error)?)
    }

    /// Has `publish` give an endpoint what the network's IPAM driver gives; what is to be chosen, where that is netctl.
    pub(super) async fn with_addresses<T>(
        &self,
        id: &EndpointId,
        network: &Network,
        spec: &ServiceSpec,
        publish: impl AsyncFnOnce(&ServiceSpec, Option<Lease>) -> Result<T>,
    ) -> Result<T> {
        let Some(of_network) = &network.lease else { return publish(spec, None).await };
        let plugin = self.drivers.plugins().ipam(of_network.driver.as_str()).await?;
        let _held = self.leases.hold(id.as_str()).await;
        let mut noted = Noted {
            network: network.id.clone(),
            endpoint: Some(id.clone()),
            lease: Lease::of(of_network.driver.clone(), of_network.space.clone()),
        };
        let mut spec = spec.clone();
        let published = match self.take_addresses(&plugin, &mut noted, of_network, &mut spec).await
        {
            Ok(()) => publish(&spec, Some(noted.lease)).await,
            Err(error) => Err(error),
        };
        self.settle_lease(id.as_str()).await;
        published
    }

    async fn take_addresses(
        &self,
        plugin: &IpamPlugin,
        noted: &mut Noted,
        of_network: &Lease,
        spec: &mut ServiceSpec,
    ) -> Result<()> {
        if plugin.capabilities().requires_mac && spec.mac.is_none() {
            spec.mac = Some(ipam::random_mac());
        }
        let purpose = Purpose::Endpoint { mac: spec.mac };
        for v6 in [false, true] {
            let wanted =
                if v6 { spec.address6.map(IpAddr::V6) } else { spec.address.map(IpAddr::V4) };
            // What no pool has is refused as what no network has.
            let Some(pool) = of_network.pool_of(wanted, v6) else { continue };
            let pool = RequestedPool { id: pool.id.clone(), subnet: pool.subnet, gateway: None };
            match self.take_address(plugin, noted, &pool, wanted, purpose).await? {
                IpAddr::V4(address) => spec.address = Some(address),
                IpAddr::V6(address) => spec.address6 = Some(address),
            }
        }
        Ok(())
    }

    /// Notes what a plugin has to have back once the store has the endpoint no more.
    pub(super) async fn note_endpoint_lease(&self, endpoint: &Endpoint) -> Result<Option<Held>> {
        let of = Some(endpoint.id.clone());
        self.note_lease(&endpoint.network, of, endpoint.lease.as_ref()).await
    }

    /// The same for a network.
    pub(super) async fn note_network_lease(&self, network: &Network) -> Result<Option<Held>> {
        self.note_lease(&network.id, None, network.lease.as_ref()).await
    }

    async fn note_lease(
        &self,
        network: &NetworkId,
        endpoint: Option<EndpointId>,
        lease: Option<&Lease>,
    ) -> Result<Option<Held>> {
        let Some(lease) = lease.cloned() else { return Ok(None) };
        let noted = Noted { network: network.clone(), endpoint, lease };
        let held = self.leases.hold(noted.id()).await;
        self.leases.note(&noted).map(|()| Some(held))
    }

    /// Gives back what is noted under an identifier, unless the store has what it is for. What cannot be done now is
    /// done later. The caller is at work on it.
    pub(super) async fn settle_lease(&self, id: &str) {
        let Some(noted) = self.leases.journal.get(id) else { return };
        if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, self.give_back(noted)).await {
            tracing::warn!(%error, "a plugin does not have back what it gave; trying again");
        }
    }

    /// Keeps giving back what is noted and not held.
    pub(super) async fn settle_leases(&self) -> ! {
        let mut failed: BTreeMap<String, u32> = BTreeMap::new();
        let mut round = 0_u32;
        loop {
            tokio::time::sleep(PERIOD).await;
            round = round.wrapping_add(1);
            // One that failed often is tried ever more seldom.
            let is_due = |id: &String| {
                let pause = failed.get(id).map_or(0, |times| (*times).min(4));
                round.is_multiple_of(1 << pause)
            };
            let due = self.leases.journal.all().into_iter().map(|(id, _)| id).filter(is_due);
            // All at once, so that no plugin waits for another.
            let tried = join_all(due.map(async |id| {
                let settled = self.settle_one(&id).await;
                (id, settled)
            }));
            for (id, settled) in tried.await {
                if let Err(error) = settled {
                    tracing::warn!(%error, "a plugin does not have back what it gave; trying again");
                    *failed.entry(id).or_default() += 1;
                } else {
                    failed.remove(&id);
                }
            }
        }
    }

    /// Settles what nobody is at work on.
    async fn settle_one(&self, id: &str) -> Result<()> {
        let Ok(_held) = self.leases.lock(id).try_lock_owned() else { return Ok(()) };
        let Some(noted) = self.leases.journal.get(id) else { return Ok(()) };
        self.give_back(noted).await
    }

    /// What was given back is noted no more at once, since the plugin may give it to another then.
    async fn give_back(&self, mut noted: Noted) -> Result<()> {
        if !self.is_held(&noted).await? {
            let plugin = self.drivers.plugins().ipam(noted.lease.driver.as_str()).await?;
            while let Some(LeasedAddress { pool, address }) = noted.lease.addresses.last() {
                given_back(plugin.release_address(pool, *address).await)?;
                noted.lease.addresses.pop();
                self.leases.note(&noted)?;
            }
            while let Some(pool) = noted.lease.pools.last() {
                given_back(plugin.release_pool(&pool.id).await)?;
                noted.lease.pools.pop();
                self.leases.note(&noted)?;
            }
        }
        self.leases.forget(noted.id())
    }

    async fn is_held(&self, noted: &Noted) -> Result<bool, store::Error> {
        let key = match &noted.endpoint {
            Some(endpoint) => keys::endpoint(&noted.network, endpoint),
            None => keys::network(&noted.network),
        };
        Ok(self.store.get(&key).await?.is_some())
    }
}

/// A plugin that was started again may not know any more what it gave: then it has it.
fn given_back(answer: Result<(), plugin::Error>) -> Result<(), plugin::Error> {
    match answer {
        Err(error) if error.is_answer() => {
            tracing::warn!(%error, "a plugin does not take back what it gave");
            Ok(())
        }
        other => other,
    }
}

/// Whether the driver is netctl itself, by the name that Docker has for its own.
fn is_own(driver: &DriverName) -> bool {
    driver.as_str() == "default"
}
