//! Allocation through a store, and what its tests share.

mod races;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use ipnet::IpNet;
use proptest::prelude::*;

use super::{AddressWish, Allocator, Error, address_key, check_options, mac, remember};
use crate::{
    model::{HostName, Name, Network, NetworkId, Subnet},
    store::{self, Entry, LeaseId, Listing, MemoryStore, Outcome, Revision, Store, Txn, Watch},
};

pub(super) fn host(name: &str) -> HostName {
    name.parse().expect("a name")
}

/// A network of these subnets, each with its range.
pub(super) fn network(subnets: &[(&str, Option<&str>)]) -> Network {
    let subnet = |(cidr, range): &(&str, Option<&str>)| {
        let parse = |text: &str| text.parse().expect("a test's own text");
        Subnet::new(parse(cidr), range.map(parse), None).expect("usable")
    };
    let [name, driver] = ["dev", "overlay"].map(|name| name.parse().expect("a name"));
    Network {
        subnets: subnets.iter().map(subnet).collect(),
        ..Network::new(NetworkId::from_bytes([7; 32]), name, driver, 0)
    }
}

/// A store that counts how often it is asked.
#[derive(Debug, Default)]
struct Counting {
    store: MemoryStore,
    gets: AtomicUsize,
    lists: AtomicUsize,
}

#[async_trait]
impl Store for Counting {
    async fn get(&self, key: &str) -> Result<Option<Entry>, store::Error> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.store.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, store::Error> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.store.list(prefix).await
    }

    async fn first_key(&self, from: &str, prefix: &str) -> Result<Option<String>, store::Error> {
        self.store.first_key(from, prefix).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, store::Error> {
        self.store.commit(txn).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Box<dyn Watch>, store::Error> {
        self.store.watch(prefix, from).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, store::Error> {
        self.store.grant(ttl).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), store::Error> {
        self.store.keep_alive(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), store::Error> {
        self.store.revoke(lease).await
    }

    fn place(&self) -> String {
        self.store.place()
    }
}

/// One host's part in giving addresses.
struct Giver<'a> {
    store: &'a dyn Store,
    allocator: Allocator,
    host: HostName,
}

impl<'a> Giver<'a> {
    fn on(store: &'a dyn Store, name: &str) -> Self {
        Self { store, allocator: Allocator::default(), host: host(name) }
    }

    /// Gives a service addresses, however often others are faster.
    async fn give(&self, network: &Network, name: &str, wanted: &[&str]) -> Result<String, Error> {
        let wanted: Vec<IpAddr> =
            wanted.iter().map(|text| text.parse().expect("an address")).collect();
        let name: Name = name.parse().expect("a name");
        for attempt in 0.. {
            let wish = AddressWish {
                held: false,
                network,
                host: &self.host,
                name: Some(&name),
                wanted: &wanted,
                owner: name.as_str(),
                attempt,
            };
            let claim = self.allocator.addresses(self.store, wish).await?;
            // So that those that do the same at once are between the choice and the taking.
            tokio::task::yield_now().await;
            if matches!(self.store.commit(claim.txn.clone()).await?, Outcome::Committed(_)) {
                let all = claim.value.iter().map(|address| address.addr().to_string());
                return Ok(all.collect::<Vec<_>>().join(" "));
            }
        }
        unreachable!("the attempts do not end")
    }

    async fn take_back(&self, network: &Network, name: &str, addresses: &str) {
        let all = addresses.split(' ').map(|text| text.parse().expect("an address"));
        let all: Vec<IpAddr> = all.collect();
        let nets: Vec<IpNet> = all.iter().map(|address| (*address).into()).collect();
        let name = name.parse().expect("a name");
        loop {
            let mut txn =
                remember(self.store, &network.id, &name, &nets).await.expect("it is there");
            for address in &all {
                txn = txn.delete(address_key(&network.id, *address));
            }
            let outcome = self.store.commit(txn).await.expect("it is there");
            if matches!(outcome, Outcome::Committed(_)) {
                return;
            }
        }
    }
}

async fn message(giver: &Giver<'_>, network: &Network, name: &str, wanted: &[&str]) -> String {
    giver.give(network, name, wanted).await.expect_err("it is refused").to_string()
}

#[tokio::test]
async fn an_address_comes_again_as_late_as_possible() {
    let store = MemoryStore::new();
    let network = network(&[("10.0.0.0/29", None)]);
    let (one, two) = (Giver::on(&store, "h1"), Giver::on(&store, "h2"));
    let give = async |giver: &Giver<'_>, name: &str| {
        giver.give(&network, name, &[]).await.expect("one is free")
    };
    assert_eq!(give(&one, "a").await, "10.0.0.2");
    assert_eq!(give(&two, "b").await, "10.0.0.3");
    one.take_back(&network, "a", "10.0.0.2").await;
    for (name, address) in
        [("c", "10.0.0.4"), ("d", "10.0.0.5"), ("e", "10.0.0.6"), ("f", "10.0.0.2")]
    {
        assert_eq!(give(&two, name).await, address);
    }
    let full = "network dev has no free address left in 10.0.0.0/29: unpublish services, or add a larger network";
    assert_eq!(message(&one, &network, "g", &[]).await, full);
    two.take_back(&network, "d", "10.0.0.5").await;
    assert_eq!(give(&one, "g").await, "10.0.0.5", "the only one that is free");
}

#[tokio::test]
async fn a_name_gets_its_addresses_again_while_they_are_free() {
    let store = MemoryStore::new();
    let network = network(&[("10.0.0.0/24", None), ("fd00::/64", None)]);
    let (one, two) = (Giver::on(&store, "h1"), Giver::on(&store, "h2"));
    for name in ["a", "Web", "b"] {
        one.give(&network, name, &[]).await.expect("there is room");
    }
    one.take_back(&network, "Web", "10.0.0.3 fd00::3").await;
    let again = two.give(&network, "web", &[]).await.expect("there is room");
    assert_eq!(again, "10.0.0.3 fd00::3", "on another host, and in any case");
    two.take_back(&network, "web", &again).await;
    // One is taken meanwhile: the other is had again.
    two.give(&network, "c", &["10.0.0.3"]).await.expect("it is free");
    assert_eq!(one.give(&network, "web", &[]).await.expect("there is room"), "10.0.0.5 fd00::3");
    // What is wanted comes first.
    one.take_back(&network, "web", "10.0.0.5 fd00::3").await;
    let wanted = one.give(&network, "web", &["10.0.0.99"]).await.expect("it is free");
    assert_eq!(wanted, "10.0.0.99 fd00::3");
    // Names are remembered though many go, but not all for ever.
    for number in 0..5000 {
        one.take_back(&network, &format!("n{number}"), "10.0.0.200").await;
    }
    let hints = store.list("ipam/hints/").await.expect("it is there").entries;
    let bytes: usize = hints.iter().map(|entry| entry.value.len()).sum();
    assert!(hints.len() <= 18 && bytes < 64 * 1024, "{} keys, {bytes} bytes", hints.len());
}

#[tokio::test]
async fn what_cannot_be_had_is_said() {
    let store = MemoryStore::new();
    let mut network = network(&[("10.0.0.0/24", None), ("10.1.0.0/24", None)]);
    let aux = "10.0.0.9".parse().expect("an address");
    network.subnets[0].add_aux("nas".parse().expect("a name"), aux).expect("it is inside");
    let giver = Giver::on(&store, "h1");
    giver.give(&network, "a", &["10.1.0.7"]).await.expect("it is free");
    for (wanted, said) in [
        (
            "10.1.0.7",
            "address 10.1.0.7 is taken on network dev: choose another, or let netctl choose",
        ),
        (
            "10.0.0.9",
            "address 10.0.0.9 of network dev is kept for nas: choose another, or let netctl choose",
        ),
        (
            "10.2.0.1",
            "address 10.2.0.1 is in no subnet of network dev, which has 10.0.0.0/24, 10.1.0.0/24",
        ),
        (
            "fd00::1",
            "address fd00::1 is in no subnet of network dev, which has 10.0.0.0/24, 10.1.0.0/24",
        ),
        ("10.1.0.255", "address 10.1.0.255 is not a usable address of subnet 10.1.0.0/24"),
    ] {
        assert_eq!(message(&giver, &network, "b", &[wanted]).await, said);
    }
    for (option, value, reason) in [
        ("choice", "lowest", "the choice is serial or random"),
        ("color", "red", "there is choice=serial and choice=random"),
        ("com.docker.network.ipam.serial", "false", "for another order write choice=random"),
    ] {
        let options = BTreeMap::from([(option.to_owned(), value.to_owned())]);
        let said = check_options(&options).expect_err("it is refused").to_string();
        assert_eq!(said, format!("ipam option {option}={value}: {reason}"));
    }
    network.peers = vec!["10.0.0.128/25@192.0.2.2".parse().expect("a peer")];
    let address = "10.1.0.7".parse().expect("an address");
    let wanted = "02:00:00:00:00:01".parse().expect("a MAC address");
    let said = mac(&store, &network, address, Some(wanted), "a").await.expect_err("it is refused");
    let expected = "MAC address 02:00:00:00:00:01 is not that of 10.1.0.7, which is 02:42:0a:01:00:07 on network dev: leave it out";
    assert_eq!(said.to_string(), expected);
}

/// However many are taken, few are asked for; only where nearly all are taken, all are listed.
#[tokio::test]
async fn an_address_costs_the_same_however_many_are_taken() {
    for choice in ["serial", "random"] {
        let store = Counting::default();
        let mut network = network(&[("10.0.0.0/21", None)]);
        network.ipam_options.insert("choice".to_owned(), choice.to_owned());
        let giver = Giver::on(&store, "h1");
        for number in 0..1000 {
            giver.give(&network, &format!("n{number}"), &[]).await.expect("there is room");
        }
        let (gets, lists) =
            (store.gets.load(Ordering::Relaxed), store.lists.load(Ordering::Relaxed));
        assert!(gets < 4000, "{gets} keys were read for 1000 addresses");
        assert!(lists < 5, "all addresses were listed {lists} times");
        for number in 1000..2045 {
            giver.give(&network, &format!("n{number}"), &[]).await.expect("there is room");
        }
        assert!(message(&giver, &network, "more", &[]).await.contains("no free address left"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_get_each_address_once() {
    for choice in ["serial", "random"] {
        let store = Arc::new(MemoryStore::new());
        let mut network = network(&[("10.0.0.0/25", None), ("10.1.0.0/25", Some("10.1.0.64/26"))]);
        network.ipam_options.insert("choice".to_owned(), choice.to_owned());
        let (network, room) = (Arc::new(network), 125 + 63);
        let hosts: Vec<Allocator> = (0..3).map(|_| Allocator::default()).collect();
        let clients = (0..24).map(|client| {
            let (store, network) = (Arc::clone(&store), Arc::clone(&network));
            let allocator = hosts[client % 3].clone();
            tokio::spawn(async move {
                let giver = Giver { store: &*store, allocator, host: host("h") };
                let mut given = Vec::new();
                for number in 0..8 {
                    let name = format!("n{client}-{number}");
                    given.push(giver.give(&network, &name, &[]).await);
                }
                given
            })
        });
        let clients: Vec<_> = clients.collect();
        let (mut given, mut refused) = (BTreeSet::new(), 0);
        for client in clients {
            for outcome in client.await.expect("it ended by itself") {
                match outcome {
                    Ok(address) => assert!(given.insert(address.clone()), "{address} twice"),
                    Err(Error::Exhausted { .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert_eq!((given.len(), refused), (room, 24 * 8 - room), "{choice}");
    }
}

/// What a host does next in the test below.
#[derive(Clone, Debug)]
enum Step {
    Give { host: u8, name: u8 },
    Want { host: u8, name: u8, address: u8 },
    TakeBack { host: u8, name: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (host, name) = (0..3_u8, 0..20_u8);
    let step = prop_oneof![
        3 => (host.clone(), name.clone()).prop_map(|(host, name)| Step::Give { host, name }),
        1 => (host.clone(), name.clone(), any::<u8>())
            .prop_map(|(host, name, address)| Step::Want { host, name, address }),
        2 => (host, name).prop_map(|(host, name)| Step::TakeBack { host, name }),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a plain model: no address twice, none outside, none refused while one is free, and each name has again
    /// what it had if nobody else got it.
    #[test]
    fn addresses_are_as_a_plain_model_has_them(steps in steps(), random in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let store = MemoryStore::new();
        let mut network = network(&[("10.0.0.0/28", Some("10.0.0.4/30")), ("10.0.0.16/29", None)]);
        let range = "10.0.0.8/30".parse().expect("a range");
        network.subnets[0].set_host_range(host("h2"), range).expect("it is inside");
        if random {
            network.ipam_options.insert("choice".to_owned(), "random".to_owned());
        }
        let givers = ["h0", "h1", "h2"].map(|name| Giver::on(&store, name));
        let field = |host: u8| {
            let own = if host == 2 { 8..12 } else { 4..8 };
            own.chain(18..23).map(|last: u8| format!("10.0.0.{last}")).collect::<BTreeSet<_>>()
        };
        let mut given: BTreeMap<u8, String> = BTreeMap::new();
        let mut before: BTreeMap<u8, String> = BTreeMap::new();
        for step in steps {
            let taken: BTreeSet<String> = given.values().cloned().collect();
            match step {
                Step::Give { host, name } if !given.contains_key(&name) => {
                    let giver = &givers[usize::from(host)];
                    let free: BTreeSet<_> = field(host).difference(&taken).cloned().collect();
                    let again = before.get(&name).filter(|address| !taken.contains(*address));
                    match (runtime.block_on(giver.give(&network, &format!("n{name}"), &[])), again) {
                        (Ok(address), Some(again)) => {
                            prop_assert_eq!(&address, again);
                            given.insert(name, address);
                        }
                        (Ok(address), None) => {
                            prop_assert!(free.contains(&address), "{} of {:?}", address, free);
                            given.insert(name, address);
                        }
                        (Err(error), _) => prop_assert!(free.is_empty(), "{}: {:?}", error, free),
                    }
                }
                Step::Want { host, name, address } if !given.contains_key(&name) => {
                    let wanted = format!("10.0.0.{}", address % 32);
                    let usable = (1..15).contains(&(address % 32)) || (17..23).contains(&(address % 32));
                    let giver = &givers[usize::from(host)];
                    let outcome = runtime.block_on(giver.give(&network, &format!("n{name}"), &[&wanted]));
                    prop_assert_eq!(outcome.is_ok(), usable && !taken.contains(&wanted), "{}", wanted);
                    if outcome.is_ok() {
                        given.insert(name, wanted);
                    }
                }
                Step::TakeBack { host, name } => {
                    if let Some(address) = given.remove(&name) {
                        let giver = &givers[usize::from(host)];
                        runtime.block_on(giver.take_back(&network, &format!("n{name}"), &address));
                        before.insert(name, address);
                    }
                }
                Step::Give { .. } | Step::Want { .. } => {}
            }
        }
    }
}
