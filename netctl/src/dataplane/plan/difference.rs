//! What is compared of a map, and how the map has to change.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use super::Op;
use crate::{
    dataplane::{Error, Sweep, Touched, layout::Layout},
    model::Vni,
};

/// The entries that a plan is for.
#[derive(Clone, Copy, Debug)]
pub(in crate::dataplane) enum Extent<'a> {
    /// All.
    All,
    /// These, with all others as they are.
    Of(&'a Touched),
}

/// Those entries of a map, in the order of their keys.
pub(super) struct Held<'h, K, V> {
    pub(super) entries: Box<dyn Iterator<Item = (&'h K, &'h V)> + 'h>,
    /// How many the map has, others among them.
    pub(super) all: usize,
}

impl<'h, K, V> Held<'h, K, V> {
    /// All of a map.
    pub(super) fn whole(held: &'h BTreeMap<K, V>) -> Self {
        Self { entries: Box::new(held.iter()), all: held.len() }
    }

    /// Some of a map.
    fn some(held: &'h BTreeMap<K, V>, entries: impl Iterator<Item = (&'h K, &'h V)> + 'h) -> Self {
        Self { entries: Box::new(entries), all: held.len() }
    }
}

impl<'a> Extent<'a> {
    /// Those of what is held that it is for; `keys` are the ones of that map.
    pub(super) fn held<'h, K: Ord, V>(
        self,
        held: &'h BTreeMap<K, V>,
        keys: fn(&'a Touched) -> &'a BTreeSet<K>,
    ) -> Held<'h, K, V>
    where
        'a: 'h,
    {
        match self {
            Self::All => Held::whole(held),
            Self::Of(touched) => {
                Held::some(held, keys(touched).iter().filter_map(|key| held.get_key_value(key)))
            }
        }
    }

    /// As [`Self::held`], of a map with several entries for each network, whose keys are within `bounds`.
    pub(super) fn of_networks<'h, K: Ord + Copy + 'h, V>(
        self,
        held: &'h BTreeMap<K, V>,
        bounds: fn(Vni) -> RangeInclusive<K>,
    ) -> Held<'h, K, V>
    where
        'a: 'h,
    {
        match self {
            Self::All => Held::whole(held),
            Self::Of(touched) => {
                let range = move |&vni: &Vni| held.range(bounds(vni));
                Held::some(held, touched.networks.iter().flat_map(range))
            }
        }
    }
}

/// How one map has to change.
pub(super) struct Difference<K, V> {
    set: Vec<(K, V)>,
    gone: Vec<K>,
    /// The map cannot hold both what comes and what goes.
    crowded: bool,
}

impl<K: Ord + Copy, V: PartialEq + Clone> Difference<K, V> {
    /// Compares what is held with what is desired, both in the order of their keys.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] where the map has no room for what it should hold in the end.
    pub(super) fn between<'a>(
        map: &Layout,
        Held { entries, all }: Held<'a, K, V>,
        desired: impl IntoIterator<Item = (&'a K, &'a V)>,
        sweep: Sweep,
    ) -> Result<Self, Error>
    where
        K: 'a,
        V: 'a,
    {
        let mut held = entries.peekable();
        let (mut set, mut gone) = (Vec::new(), Vec::new());
        let mut added = 0;
        for (key, value) in desired {
            while let Some((&other, _)) = held.next_if(|(other, _)| *other < key) {
                gone.push(other);
            }
            let old = held.next_if(|(other, _)| *other == key);
            added += usize::from(old.is_none());
            if old.is_none_or(|(_, old)| old != value) {
                set.push((*key, value.clone()));
            }
        }
        gone.extend(held.map(|(&other, _)| other));
        if sweep == Sweep::Keep {
            gone.clear();
        }
        let together = all + added;
        let after = together - gone.len();
        if after > map.room() {
            return Err(map.full(after));
        }
        Ok(Self { set, gone, crowded: together > map.room() })
    }

    /// Makes of it what is done first, and what is done after all that.
    pub(super) fn order(
        self,
        set: impl Fn(K, V) -> Op,
        remove: impl Fn(K) -> Op,
    ) -> (Vec<Op>, Vec<Op>) {
        let set = self.set.into_iter().map(|(key, value)| set(key, value));
        let gone = self.gone.into_iter().map(remove);
        if self.crowded {
            (gone.chain(set).collect(), Vec::new())
        } else {
            (set.collect(), gone.collect())
        }
    }
}
