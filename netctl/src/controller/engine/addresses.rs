//! Addresses that engines ask for, before they make what is to have them.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::{EngineScope, pools::subnet_of};
use crate::{
    controller::{
        Controller, Error, Result,
        keys::{self, Stored},
        now,
        retry::Attempts,
    },
    ipam::{self, AddressWish, Hold, Holder},
    model::{EnginePool, Network, Subnet},
    store::{Guard, Outcome, Txn},
};

/// An address that an engine asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineAddress {
    /// The gateway's: this one, or whichever it is.
    Gateway(Option<IpAddr>),
    /// One for an endpoint, or one that is somebody else's.
    Certain(IpAddr),
    /// Any for an endpoint.
    Any,
}

impl Controller {
    /// Gives an engine an address of a pool; one that it asks for again, and that no endpoint has, it is given again.
    pub async fn request_address(
        &self,
        scope: EngineScope,
        pool: &str,
        address: EngineAddress,
    ) -> Result<IpNet> {
        let of = self.engine_of(scope);
        let mut attempts = Attempts::new("give an address of pool", pool);
        loop {
            let pool = self.pool(&of, pool).await?.value;
            let network = match &pool.network {
                Some(id) => keys::get::<Network>(&*self.store, &keys::network(id)).await?,
                None => None,
            };
            let Some(network) = network else { return before_network(&pool, address) };
            let subnet = subnet_of(&network.value, pool.cidr)?;
            let length = pool.cidr.prefix_len();
            let claim = match address {
                EngineAddress::Gateway(wanted) => {
                    return gateway(&network.value, subnet, wanted);
                }
                EngineAddress::Certain(address)
                    if subnet.aux.values().any(|aux| *aux == address) =>
                {
                    return Ok(IpNet::new_assert(address, length));
                }
                EngineAddress::Certain(address) => {
                    check_host(subnet, address)?;
                    let txn = self.keep(&network, scope, address).await?;
                    (IpNet::new_assert(address, length), txn)
                }
                EngineAddress::Any => {
                    self.any(&network, subnet, &pool, scope, attempts.lost()).await?
                }
            };
            let (address, txn) = claim;
            // Removing the network and giving addresses of it exclude each other.
            let txn = txn.when(network.unchanged());
            if let Outcome::Committed(_) = self.store.commit(txn).await? {
                return Ok(address);
            }
            attempts.again().await?;
        }
    }

    /// Takes an address back that an engine was given. One that an endpoint has goes with that.
    pub async fn release_address(
        &self,
        scope: EngineScope,
        pool: &str,
        address: IpAddr,
    ) -> Result<()> {
        let of = self.engine_of(scope);
        let key = keys::engine_pool(&of, pool);
        let Some(pool) = keys::get::<EnginePool>(&*self.store, &key).await? else { return Ok(()) };
        let Some(network) = pool.value.network else { return Ok(()) };
        let key = ipam::address_key(&network, address);
        let marker = keys::swarm_address(&network, address);
        loop {
            let mut txn = Txn::new();
            if scope == EngineScope::Swarm && self.store.get(&marker).await?.is_some() {
                txn = txn.delete(marker.clone());
            }
            if let Some(entry) = self.store.get(&key).await?
                && Hold::read(&entry.value).is_some_and(|hold| hold.holder == self.holder(scope))
            {
                txn = txn.when(Guard::Unchanged(key.clone(), entry.modified)).delete(key.clone());
            }
            if txn.ops.is_empty() || self.store.commit(txn).await? != Outcome::Conflict {
                return Ok(());
            }
        }
    }

    /// The piece of a transaction that keeps a certain address for an engine.
    async fn keep(
        &self,
        network: &Stored<Network>,
        scope: EngineScope,
        address: IpAddr,
    ) -> Result<Txn> {
        let network = &network.value;
        let key = ipam::address_key(&network.id, address);
        let marker = keys::swarm_address(&network.id, address);
        let of_swarm = self.store.get(&marker).await?.is_some();
        let taken = || {
            Error::conflict(format!(
                "address {address} is taken on network {}: choose another",
                network.name
            ))
        };
        let entry = self.store.get(&key).await?;
        let hold = entry.as_ref().map(|entry| Hold::read(&entry.value));
        let free = match &hold {
            None => true,
            Some(Some(hold)) => match scope {
                EngineScope::Host => hold.is_for(&self.config.host),
                EngineScope::Swarm => hold.holder == Holder::Swarm,
            },
            // A Swarm asks for what it has given to an endpoint, as when another manager leads it.
            Some(None) => scope == EngineScope::Swarm && of_swarm,
        };
        if !free {
            return Err(taken());
        }
        let mut txn = Txn::new();
        if scope == EngineScope::Swarm && !of_swarm {
            txn = txn.put(marker, "");
        }
        if hold == Some(None) {
            return Ok(txn);
        }
        let holder = if of_swarm { Holder::Swarm } else { self.holder(scope) };
        let guard = match entry {
            Some(entry) => Guard::Unchanged(key.clone(), entry.modified),
            None => Guard::Absent(key.clone()),
        };
        Ok(txn.when(guard).put(key, Hold { holder, since: now() }.to_string()))
    }

    /// A free address of a pool, and what keeps it for an engine.
    async fn any(
        &self,
        network: &Stored<Network>,
        subnet: &Subnet,
        pool: &EnginePool,
        scope: EngineScope,
        attempt: u32,
    ) -> Result<(IpNet, Txn)> {
        let mut subnet = subnet.clone();
        if pool.range.is_some() {
            subnet.range = pool.range;
            subnet.host_ranges = BTreeMap::new();
        }
        let of_pool = Network { subnets: vec![subnet], ..network.value.clone() };
        let hold = Hold { holder: self.holder(scope), since: now() }.to_string();
        let wish = AddressWish {
            network: &of_pool,
            host: &self.config.host,
            name: None,
            wanted: &[],
            held: false,
            owner: &hold,
            attempt,
        };
        let claim = self.allocator.addresses(&*self.store, wish).await?;
        let address = *claim
            .value
            .first()
            .ok_or_else(|| Error::internal(format!("pool {} gives no address", pool.cidr)))?;
        let mut txn = claim.txn;
        if scope == EngineScope::Swarm {
            let marker = keys::swarm_address(&network.value.id, address.addr());
            txn = txn.when(Guard::Absent(marker.clone())).put(marker, "");
        }
        Ok((address, txn))
    }
}

/// Where the network is still to be made, which will say what it has.
fn before_network(pool: &EnginePool, address: EngineAddress) -> Result<IpNet> {
    let unusable = |error: crate::model::SubnetError| Error::unusable(error.to_string());
    let wanted = match address {
        EngineAddress::Gateway(wanted) => wanted,
        EngineAddress::Certain(_) | EngineAddress::Any => None,
    };
    let subnet = Subnet::new(pool.cidr, pool.range, wanted).map_err(unusable)?;
    let address = match address {
        EngineAddress::Gateway(_) => subnet.gateway,
        EngineAddress::Certain(address) => {
            check_host(&subnet, address)?;
            address
        }
        EngineAddress::Any => {
            return Err(Error::forbidden(format!(
                "pool {} is of no network of netctl's, which alone have endpoints: create the network with `-d netctl`",
                pool.cidr
            )));
        }
    };
    Ok(IpNet::new_assert(address, pool.cidr.prefix_len()))
}

fn gateway(network: &Network, subnet: &Subnet, wanted: Option<IpAddr>) -> Result<IpNet> {
    match wanted {
        Some(wanted) if wanted != subnet.gateway => Err(Error::conflict(format!(
            "network {} has the gateway {}, not {wanted}: leave --gateway out",
            network.name, subnet.gateway
        ))),
        _ => Ok(IpNet::new_assert(subnet.gateway, subnet.cidr.prefix_len())),
    }
}

fn check_host(subnet: &Subnet, address: IpAddr) -> Result<()> {
    subnet.check_host("address", address).map_err(|error| Error::unusable(error.to_string()))
}
