//! Addresses of endpoints and gateways.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;

use super::{Claim, Error, Hold, field::Field, memory};
use crate::{
    model::{HostName, Name, Network, NetworkId},
    store::{Guard, Store, Txn},
};

/// How many addresses are tried one by one, behind the last and again at random, before all that are taken are listed:
/// so the cost of an address does not grow with how many are taken, unless nearly all are.
const PROBES: usize = 8;

const CHOICE: &str = "choice";
/// Docker's name for it; `true` is what it always is here.
const SERIAL: &str = "com.docker.network.ipam.serial";

/// What the keys of all addresses begin with; the network follows.
pub const ADDRESSES: &str = "ipam/addresses/";

/// What the keys of a network's addresses begin with.
pub fn addresses_prefix(network: &NetworkId) -> String {
    format!("{ADDRESSES}{network}/")
}

/// The key that says whose an address of a network is.
pub fn address_key(network: &NetworkId, address: IpAddr) -> String {
    format!("{}{address}", addresses_prefix(network))
}

/// Who an address is for, and what is wanted.
#[derive(Clone, Copy, Debug)]
pub struct AddressWish<'a> {
    /// The network.
    pub network: &'a Network,
    /// The host that it is asked of, which may have a range of its own.
    pub host: &'a HostName,
    /// The service, which gets the addresses again that it had, where they are free.
    pub name: Option<&'a Name>,
    /// Certain addresses, at most one of each family.
    pub wanted: &'a [IpAddr],
    /// Whether those may be addresses that are kept for the container engine of `host`.
    pub held: bool,
    /// What is written down as the addresses' owner.
    pub owner: &'a str,
    /// How many tries of this operation were lost to others: each makes the choice among more addresses, so that many
    /// hosts that publish at once do not fight for one address for ever.
    pub attempt: u32,
}

/// Which of the free addresses is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Choice {
    /// The next one behind the last that was given.
    #[default]
    Serial,
    /// Any.
    Random,
}

impl FromStr for Choice {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "serial" => Ok(Self::Serial),
            "random" => Ok(Self::Random),
            _ => Err(()),
        }
    }
}

/// Checks what a network says of how its addresses are chosen.
pub fn check_options(options: &BTreeMap<String, String>) -> Result<(), Error> {
    choice(options).map(drop)
}

fn choice(options: &BTreeMap<String, String>) -> Result<Choice, Error> {
    let mut choice = Choice::Serial;
    for (option, value) in options {
        let unusable =
            |reason| Error::Option { option: option.clone(), value: value.clone(), reason };
        match &**option {
            CHOICE => {
                choice = value.parse().map_err(|()| unusable("the choice is serial or random"))?;
            }
            SERIAL if value == "true" => {}
            SERIAL => return Err(unusable("for another order write choice=random")),
            _ => return Err(unusable("there is choice=serial and choice=random")),
        }
    }
    Ok(choice)
}

/// Chooses addresses for one host. What it has chosen and nobody has taken yet it does not choose again, so that many at
/// once on one host never meet. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Allocator(Arc<Chosen>);

type Chosen = Mutex<BTreeSet<(NetworkId, IpAddr)>>;

/// An address that is being taken; dropping it says that this has ended, well or not.
#[derive(Debug)]
pub(super) struct Held {
    chosen: Arc<Chosen>,
    what: (NetworkId, IpAddr),
}

impl Drop for Held {
    fn drop(&mut self) {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.what);
    }
}

impl Allocator {
    /// Claims an address of each family that the network has, IPv4 first: that which is wanted, or that which a service
    /// of this name had before, or another that is free.
    pub async fn addresses(
        &self,
        store: &dyn Store,
        wish: AddressWish<'_>,
    ) -> Result<Claim<Vec<IpNet>>, Error> {
        let AddressWish { network, host, name, wanted, held, owner, .. } = wish;
        let mut claim = Claim::new(Vec::new(), Txn::new());
        let mut kept = None;
        for v6 in [false, true] {
            let wanted = wanted.iter().find(|address| address.is_ipv6() == v6);
            let field = Field::of(network, host, v6);
            let address = match (wanted, field) {
                (Some(&address), _) => {
                    let holder = held.then_some(host);
                    let (address, guard) = given(store, network, address, holder).await?;
                    claim.txn =
                        claim.txn.when(guard).put(address_key(&network.id, address.addr()), owner);
                    claim.value.push(address);
                    continue;
                }
                (None, None) => continue,
                (None, Some(field)) => {
                    if let (Some(name), None) = (name, &kept) {
                        kept = Some(memory::kept(store, &network.id, name).await?);
                    }
                    let again =
                        kept.iter().flatten().copied().find(|address| address.is_ipv6() == v6);
                    match self.again(store, network, again).await? {
                        Some((address, held)) => {
                            claim.held.push(held);
                            address
                        }
                        None => self.another(store, wish, &field, &mut claim).await?,
                    }
                }
            };
            let key = address_key(&network.id, address.addr());
            claim.txn = claim.txn.when(Guard::Absent(key.clone())).put(key, owner);
            claim.value.push(address);
        }
        Ok(claim)
    }

    /// An address that a service had before, if it is free and still one of the network's.
    async fn again(
        &self,
        store: &dyn Store,
        network: &Network,
        before: Option<IpAddr>,
    ) -> Result<Option<(IpNet, Held)>, Error> {
        let Some(address) = before else { return Ok(None) };
        match given(store, network, address, None).await {
            Ok((free, _)) => Ok(self.hold(&network.id, address).map(|held| (free, held))),
            Err(Error::Store(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// A free address of `field`.
    async fn another(
        &self,
        store: &dyn Store,
        wish: AddressWish<'_>,
        field: &Field<'_>,
        claim: &mut Claim<Vec<IpNet>>,
    ) -> Result<IpNet, Error> {
        let network = wish.network;
        let serial = choice(&network.ipam_options)? == Choice::Serial;
        let last =
            if serial { memory::last(store, &network.id, field.name()).await? } else { None };
        let skip = spread(wish.attempt);
        let behind = field.after(last).skip(skip).take(if serial { PROBES } else { 0 });
        let anywhere = (0..PROBES).filter_map(|_| field.at(random()));
        let mut found = None;
        for address in behind.chain(anywhere) {
            let Some(held) = self.hold(&network.id, address.addr()) else { continue };
            if store.get(&address_key(&network.id, address.addr())).await?.is_none() {
                claim.held.push(held);
                found = Some(address);
                break;
            }
        }
        let address = match found {
            Some(address) => address,
            None => self.of_all(store, wish, field, last).await?,
        };
        if serial {
            let key = memory::last_key(&network.id, field.name());
            claim.txn = std::mem::take(&mut claim.txn).put(key, address.addr().to_string());
        }
        Ok(address)
    }

    /// A free address of `field`, whatever it takes to find it.
    async fn of_all(
        &self,
        store: &dyn Store,
        wish: AddressWish<'_>,
        field: &Field<'_>,
        last: Option<IpAddr>,
    ) -> Result<IpNet, Error> {
        let network = wish.network;
        let prefix = addresses_prefix(&network.id);
        let listing = store.list(&prefix).await?;
        let taken: BTreeSet<IpAddr> = listing
            .entries
            .iter()
            .filter_map(|entry| entry.key.strip_prefix(&prefix)?.parse().ok())
            .collect();
        let free = field.after(last).filter(|address| !taken.contains(&address.addr()));
        // Another operation of this host may have chosen it: the store will tell who was first.
        free.take(spread(wish.attempt) + 1)
            .last()
            .ok_or_else(|| Error::Exhausted { network: network.name.clone(), pool: field.text() })
    }

    /// Chooses an address, unless it is chosen already.
    fn hold(&self, network: &NetworkId, address: IpAddr) -> Option<Held> {
        let what = (network.clone(), address);
        let mut chosen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = chosen.insert(what.clone());
        free.then(|| Held { chosen: Arc::clone(&self.0), what })
    }
}

/// An address that is wanted, with what must hold for it to be taken: that it is free, or kept for the engine of `holder`.
async fn given(
    store: &dyn Store,
    network: &Network,
    address: IpAddr,
    holder: Option<&HostName>,
) -> Result<(IpNet, Guard), Error> {
    let Some(subnet) = network.subnets.iter().find(|subnet| subnet.cidr.contains(&address)) else {
        let subnets = network
            .subnets
            .iter()
            .map(|subnet| subnet.cidr.to_string())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Error::AddressOutside { address, network: network.name.clone(), subnets });
    };
    subnet.check_host("address", address)?;
    if let Some((name, _)) = subnet.aux.iter().find(|(_, aux)| **aux == address) {
        let (name, network) = (name.clone(), network.name.clone());
        return Err(Error::AddressKept { address, name, network });
    }
    let key = address_key(&network.id, address);
    let guard = match store.get(&key).await? {
        None => Guard::Absent(key),
        Some(entry)
            if holder.is_some_and(|host| {
                Hold::read(&entry.value).is_some_and(|hold| hold.is_for(host))
            }) =>
        {
            Guard::Unchanged(key, entry.modified)
        }
        Some(_) => return Err(Error::AddressTaken { address, network: network.name.clone() }),
    };
    Ok((IpNet::new_assert(address, subnet.cidr.prefix_len()), guard))
}

/// How many addresses to pass over: none at first, then up to 1, 3, 7, … 255, at random.
fn spread(attempt: u32) -> usize {
    let mask = (1_u128 << attempt.min(8)) - 1;
    usize::try_from(random() & mask).unwrap_or(0)
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the kernel gives random numbers");
    u128::from_ne_bytes(bytes)
}
