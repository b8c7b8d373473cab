//! Several hosts in each other's way: choices that are taken later, or never, of addresses that others took meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use proptest::prelude::*;

use super::{
    super::{AddressWish, Allocator, Claim, Error, Hold, Holder, address_key, addresses_prefix},
    host, network,
};
use crate::store::{MemoryStore, Outcome, Store as _, Txn};

/// The last digits of all that can be had.
const FIELD: std::ops::Range<u8> = 4..8;
const HOSTS: usize = 3;

/// What a host does next.
#[derive(Clone, Debug)]
enum Step {
    /// Chooses an address, or wants one; one that is kept for its engine, where it acts for that.
    Choose { host: usize, wanted: Option<u8>, engine: bool, keeps: bool },
    /// Takes what it has chosen.
    Take { host: usize },
    /// Dies before that.
    Die { host: usize },
    /// Gives back what somebody has.
    GiveBack { last: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wanted = prop::option::weighted(0.4, FIELD);
    let choose = (0..HOSTS, wanted, any::<bool>(), any::<bool>());
    let step = prop_oneof![
        6 => choose.prop_map(|(host, wanted, engine, keeps)| Step::Choose { host, wanted, engine, keeps }),
        5 => (0..HOSTS).prop_map(|host| Step::Take { host }),
        1 => (0..HOSTS).prop_map(|host| Step::Die { host }),
        2 => FIELD.prop_map(|last| Step::GiveBack { last }),
    ];
    prop::collection::vec(step, 1..80)
}

/// What a host has chosen, and not taken yet.
struct Chosen {
    claim: Claim<Vec<IpNet>>,
    last: u8,
    owner: String,
    /// What the address was at the choice.
    before: Option<String>,
}

fn last_digit(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(_) => unreachable!("the network is of IPv4"),
    }
}

async fn play(steps: Vec<Step>, random: bool) {
    let store = MemoryStore::new();
    let mut network = network(&[("10.0.0.0/28", Some("10.0.0.4/30"))]);
    if random {
        network.ipam_options.insert("choice".to_owned(), "random".to_owned());
    }
    let names: Vec<_> = (0..HOSTS).map(|number| host(&format!("h{number}"))).collect();
    let allocators: Vec<_> = names.iter().map(|_| Allocator::default()).collect();
    let mut chosen: Vec<Option<Chosen>> = names.iter().map(|_| None).collect();
    // Who has what, by the last digits.
    let mut taken: BTreeMap<u8, String> = BTreeMap::new();
    let key = |last: u8| address_key(&network.id, IpAddr::from([10, 0, 0, last]));
    for (number, step) in (0_u64..).zip(steps) {
        match step {
            Step::Choose { host, wanted, engine, keeps } => {
                // Before another choice, the last one has ended.
                chosen[host] = None;
                let kept = Hold { holder: Holder::Host(names[host].clone()), since: number };
                let owner = if keeps { kept.to_string() } else { format!("{number:064x}") };
                let addresses: Vec<IpAddr> =
                    wanted.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect();
                let wish = AddressWish {
                    network: &network,
                    host: &names[host],
                    name: None,
                    wanted: &addresses,
                    held: engine,
                    owner: &owner,
                    attempt: 0,
                };
                match allocators[host].addresses(&store, wish).await {
                    Ok(claim) => {
                        let last = last_digit(claim.value[0].addr());
                        assert!(FIELD.contains(&last), "{last}");
                        assert!(wanted.is_none_or(|wanted| wanted == last), "{last}");
                        let before = taken.get(&last).cloned();
                        let own = before.as_ref().is_none_or(|value| {
                            let hold = Hold::read(value.as_bytes());
                            engine && hold.is_some_and(|hold| hold.is_for(&names[host]))
                        });
                        assert!(own, "{last} was given, and is {before:?}");
                        chosen[host] = Some(Chosen { claim, last, owner, before });
                    }
                    Err(Error::Exhausted { .. }) => {
                        assert_eq!(taken.len(), FIELD.len(), "one is free");
                    }
                    Err(Error::AddressTaken { .. }) => {
                        let last = wanted.expect("only what is wanted can be another's");
                        assert!(taken.contains_key(&last), "{last} is free");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Take { host } => {
                let Some(Chosen { claim, last, owner, before }) = chosen[host].take() else {
                    continue;
                };
                let outcome = store.commit(claim.txn.clone()).await.expect("it is there");
                // Nobody was faster, or somebody was: the last of several that chose it does not get it.
                let is_first = taken.get(&last) == before.as_ref();
                assert_eq!(matches!(outcome, Outcome::Committed(_)), is_first, "{last}: {taken:?}");
                if is_first {
                    taken.insert(last, owner);
                }
            }
            Step::Die { host } => chosen[host] = None,
            Step::GiveBack { last } => {
                store.commit(Txn::new().delete(key(last))).await.expect("it is there");
                taken.remove(&last);
            }
        }
        let listing = store.list(&addresses_prefix(&network.id)).await.expect("it is there");
        let there: BTreeMap<String, Vec<u8>> =
            listing.entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
        let own = taken.iter().map(|(last, owner)| (key(*last), owner.clone().into_bytes()));
        assert_eq!(there, own.collect());
    }
    // What was chosen and never taken is not lost: one host can have all that is free.
    chosen.clear();
    let mut had: BTreeSet<u8> = taken.keys().copied().collect();
    for _ in taken.len()..FIELD.len() {
        let wish = AddressWish {
            network: &network,
            host: &names[0],
            name: None,
            wanted: &[],
            held: false,
            owner: "last",
            attempt: 0,
        };
        let claim = allocators[0].addresses(&store, wish).await.expect("one is free");
        assert!(had.insert(last_digit(claim.value[0].addr())), "{:?} twice", claim.value);
        let outcome = store.commit(claim.txn.clone()).await.expect("it is there");
        assert!(matches!(outcome, Outcome::Committed(_)));
    }
    assert_eq!(had, FIELD.collect());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_race_gives_an_address_twice_or_loses_one(steps in steps(), random in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(play(steps, random));
    }
}
