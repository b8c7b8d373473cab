//! What the store says is taken, beside what its objects hold.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    controller::{
        holdings::{self, Holding, Named},
        keys,
    },
    ipam::{self, Hold},
    model::NetworkId,
    store::{Entry, Guard, Revision},
};

/// A key that no object holds.
#[derive(Debug)]
pub(super) struct Orphan {
    pub(super) entry: Entry,
    /// What its object was seen to be, where it names one.
    pub(super) object: Option<Guard>,
}

/// A key that an object holds and that does not say so.
#[derive(Debug)]
pub(super) struct Untaken {
    pub(super) holding: Holding,
    /// The object's key.
    pub(super) object: String,
    /// The network, where the object is one.
    pub(super) network: Option<NetworkId>,
    /// What was seen.
    pub(super) guards: [Guard; 2],
}

#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) orphans: Vec<Orphan>,
    pub(super) untaken: Vec<Untaken>,
    /// What is left as it is, each in a sentence.
    pub(super) unclear: BTreeSet<String>,
}

impl Comparison {
    /// Adds what another part showed, up to `limit` of each kind: the rest is for the next time.
    pub(super) fn add(&mut self, part: Self, limit: usize) {
        self.orphans.extend(part.orphans);
        self.orphans.truncate(limit);
        self.untaken.extend(part.untaken);
        self.untaken.truncate(limit);
        self.unclear.extend(part.unclear);
    }
}

/// Compares `held`, the keys that say that something is taken, with the objects that there were after that. What became
/// of objects behind revision `since` is not yet seen in all of the keys. Who looks at a part of the keys is given what
/// objects hold besides: `is_elsewhere` is `true` of it.
pub(super) fn compare(
    held: &[Entry],
    objects: &[Entry],
    since: Revision,
    mut is_elsewhere: impl FnMut(&Holding) -> bool,
) -> Comparison {
    let mut comparison = Comparison::default();
    let mut claims: BTreeMap<String, Vec<(Holding, &Entry)>> = BTreeMap::new();
    let mut unread = BTreeSet::new();
    for object in objects {
        match holdings::of(object) {
            Ok(held) => {
                for holding in held.into_iter().filter(|holding| !is_elsewhere(holding)) {
                    claims.entry(holding.key.clone()).or_default().push((holding, object));
                }
            }
            Err(error) => {
                unread.insert(&*object.key);
                comparison.unclear.insert(error.to_string());
            }
        }
    }
    let seen: BTreeMap<&str, Revision> =
        objects.iter().map(|object| (&*object.key, object.modified)).collect();
    let unread_network = unread.iter().any(|key| key.starts_with(keys::NETWORKS));
    for entry in held {
        let claim = claims.remove(&entry.key).unwrap_or_default();
        let Some(named) = holdings::named(entry) else {
            let Entry { key, value, .. } = entry;
            let value = String::from_utf8_lossy(value);
            comparison.unclear.insert(format!("{key} is {value:?}, which cannot be read"));
            continue;
        };
        let in_doubt = match &named {
            Named::Object(object) => unread.contains(&**object),
            Named::SomeNetwork => unread_network,
        };
        match claim.as_slice() {
            [one, other, ..] => drop(comparison.unclear.insert(twice(one, other))),
            [(holding, _)] if holding.value == entry.value => {}
            _ if in_doubt => {}
            [(holding, object)] => {
                let guard = Guard::Unchanged(entry.key.clone(), entry.modified);
                comparison.untaken.push(untaken(holding.clone(), object, guard));
            }
            [] => {
                let object = match named {
                    Named::Object(key) => Some(match seen.get(&*key) {
                        // Hints, and addresses that are kept for an engine, are a network's as long as it is there.
                        Some(_)
                            if entry.key.starts_with(ipam::HINTS)
                                || Hold::read(&entry.value).is_some() =>
                        {
                            continue;
                        }
                        Some(modified) => Guard::Unchanged(key, *modified),
                        None => Guard::Absent(key),
                    }),
                    Named::SomeNetwork => None,
                };
                comparison.orphans.push(Orphan { entry: entry.clone(), object });
            }
        }
    }
    for (key, claim) in claims {
        match claim.as_slice() {
            [one, other, ..] => drop(comparison.unclear.insert(twice(one, other))),
            [(holding, object)] if holding.required && object.modified <= since => {
                comparison.untaken.push(untaken(holding.clone(), object, Guard::Absent(key)));
            }
            _ => {}
        }
    }
    comparison
}

fn untaken(holding: Holding, object: &Entry, key: Guard) -> Untaken {
    let network = object.key.strip_prefix(keys::NETWORKS).and_then(|id| id.parse().ok());
    let guards = [key, Guard::Unchanged(object.key.clone(), object.modified)];
    Untaken { holding, object: object.key.clone(), network, guards }
}

fn twice((holding, one): &(Holding, &Entry), (_, other): &(Holding, &Entry)) -> String {
    format!("{} is held by both {} and {}", holding.key, one.key, other.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, EndpointId};

    /// Of all keys.
    fn compare(held: &[Entry], objects: &[Entry], since: Revision) -> Comparison {
        super::compare(held, objects, since, |_| false)
    }

    fn endpoint(byte: u8, name: &str, address: &str) -> Endpoint {
        let (id, network) = (EndpointId::from_bytes([byte; 32]), NetworkId::from_bytes([7; 32]));
        Endpoint {
            addresses: vec![address.parse().expect("an address")],
            ..Endpoint::new(id, network, name.parse().expect("a name"), 0)
        }
    }

    fn entry(key: impl Into<String>, value: impl Into<Vec<u8>>, modified: u64) -> Entry {
        Entry { key: key.into(), value: value.into(), modified: Revision(modified) }
    }

    fn object(endpoint: &Endpoint, modified: u64) -> Entry {
        entry(keys::endpoint(&endpoint.network, &endpoint.id), keys::write(endpoint), modified)
    }

    /// The keys that it holds, as they should be.
    fn held(endpoint: &Endpoint) -> Vec<Entry> {
        let held = holdings::of_endpoint(endpoint).into_iter();
        held.map(|holding| entry(holding.key, holding.value, 5)).collect()
    }

    #[test]
    fn what_is_held_is_left_alone() {
        let web = endpoint(1, "web", "10.0.0.2/24");
        let found = compare(&held(&web), &[object(&web, 5)], Revision(9));
        assert!(found.orphans.is_empty() && found.untaken.is_empty() && found.unclear.is_empty());
    }

    #[test]
    fn a_key_without_its_object_is_an_orphan_guarded_by_its_absence() {
        let web = endpoint(1, "web", "10.0.0.2/24");
        let found = compare(&held(&web), &[], Revision(9));
        let absent = Guard::Absent(keys::endpoint(&web.network, &web.id));
        assert_eq!(found.orphans.len(), 2);
        assert!(found.orphans.iter().all(|orphan| orphan.object.as_ref() == Some(&absent)));
    }

    #[test]
    fn what_came_while_it_was_looked_is_left_for_the_next_time() {
        let web = endpoint(1, "web", "10.0.0.2/24");
        let found = compare(&[], &[object(&web, 10)], Revision(9));
        assert!(found.untaken.is_empty());
        let found = compare(&[], &[object(&web, 9)], Revision(9));
        let keys: Vec<&str> = found.untaken.iter().map(|untaken| &*untaken.holding.key).collect();
        assert_eq!(keys.len(), 2);
        for untaken in &found.untaken {
            let key = Guard::Absent(untaken.holding.key.clone());
            assert_eq!(
                untaken.guards,
                [key, Guard::Unchanged(untaken.object.clone(), Revision(9))]
            );
        }
    }

    #[test]
    fn what_two_hold_is_told_and_left() {
        let (web, other) = (endpoint(1, "web", "10.0.0.2/24"), endpoint(2, "db", "10.0.0.2/24"));
        let mut keys = held(&web);
        keys.extend(
            held(&other).into_iter().filter(|entry| entry.key.starts_with(keys::ENDPOINT_NAMES)),
        );
        let found = compare(&keys, &[object(&web, 5), object(&other, 5)], Revision(9));
        assert!(found.orphans.is_empty() && found.untaken.is_empty());
        let sentences: Vec<_> = found.unclear.iter().collect();
        let [sentence] = sentences.as_slice() else { panic!("{sentences:?}") };
        assert!(sentence.starts_with("ipam/addresses/07"), "{sentence}");
        assert!(sentence.contains("/10.0.0.2 is held by both endpoints/0"), "{sentence}");
    }

    #[test]
    fn nothing_of_an_object_that_cannot_be_read_is_freed() {
        let web = endpoint(1, "web", "10.0.0.2/24");
        let mut damaged = object(&web, 5);
        damaged.value = b"{\"schema\":9}".to_vec();
        let network = NetworkId::from_bytes([9; 32]);
        let mut keys = held(&web);
        // Its network's value says nothing of what it has.
        keys.push(entry("vnis/4096", "dev", 5));
        keys.push(entry(format!("ipam/pools/10.0.0.0/24/{network}"), "dev", 5));
        let objects = [damaged, entry(keys::network(&network), "?", 5)];
        let found = compare(&keys, &objects, Revision(9));
        assert!(found.orphans.is_empty() && found.untaken.is_empty());
        assert_eq!(found.unclear.len(), 2, "{:?}", found.unclear);
    }

    #[test]
    fn what_is_held_elsewhere_is_not_missed_and_is_told() {
        let web = endpoint(1, "web", "10.0.0.2/24");
        let (names, others): (Vec<_>, Vec<_>) =
            held(&web).into_iter().partition(|entry| entry.key.starts_with(keys::ENDPOINT_NAMES));
        let mut elsewhere = Vec::new();
        let found = super::compare(&names, &[object(&web, 5)], Revision(9), |holding| {
            let is_elsewhere = !holding.key.starts_with(keys::ENDPOINT_NAMES);
            elsewhere.extend(is_elsewhere.then(|| holding.key.clone()));
            is_elsewhere
        });
        assert!(found.orphans.is_empty() && found.untaken.is_empty() && found.unclear.is_empty());
        let others: Vec<_> = others.into_iter().map(|entry| entry.key).collect();
        assert_eq!(elsewhere, others);
    }

    #[test]
    fn the_rest_is_for_the_next_time() {
        let (web, db) = (endpoint(1, "web", "10.0.0.2/24"), endpoint(2, "db", "10.0.0.3/24"));
        let mut all = Comparison::default();
        for endpoint in [&web, &db] {
            all.add(compare(&held(endpoint), &[], Revision(9)), 3);
        }
        assert_eq!(all.orphans.len(), 3);
    }
}
