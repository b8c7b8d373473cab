//! The lists of those who get what is sent to all of a network.
//!
//! A member keeps its place for as long as it is one, so that a change of the list is one for who comes or goes and for
//! nobody else: a packet that is just being handed from place to place meets every other member once. One that comes
//! takes a place that is empty, never one that is being left. A place is written before `NETWORKS` says that there are
//! so many, and left before it says that there are fewer.

use std::collections::{BTreeMap, BTreeSet};

use super::{Extent, Op, Sweep};
use crate::{
    dataplane::{Error, FdbTarget, desired::Member, layout::FLOOD},
    model::Vni,
};

/// How the lists have to change.
#[derive(Debug, Default)]
pub(super) struct Lists {
    set: Vec<Op>,
    gone: Vec<Op>,
    held: usize,
    added: usize,
    places: BTreeMap<Vni, Places>,
}

/// How many places a network's list has, empty ones among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// While some are being left.
    pub(super) during: u32,
    /// Once they are.
    pub(super) after: u32,
}

impl Lists {
    /// Compares the `held` lists of the networks of `extent` with those that are `wanted`.
    ///
    /// # Errors
    ///
    /// [`Error::Full`].
    pub(super) fn of(
        held: &BTreeMap<(Vni, u32), FdbTarget>,
        wanted: &BTreeMap<Vni, BTreeSet<FdbTarget>>,
        sweep: Sweep,
        extent: Extent<'_>,
    ) -> Result<Self, Error> {
        let mut lists = Self { held: held.len(), ..Self::default() };
        let mut by_network: BTreeMap<Vni, BTreeMap<u32, FdbTarget>> = BTreeMap::new();
        let places = |vni| (vni, 0)..=(vni, u32::MAX);
        for (&(vni, position), &target) in extent.of_networks(held, places).entries {
            by_network.entry(vni).or_default().insert(position, target);
        }
        let (nobody, empty) = (BTreeSet::new(), BTreeMap::new());
        for &vni in by_network.keys().chain(wanted.keys()).collect::<BTreeSet<_>>() {
            let held = by_network.get(&vni).unwrap_or(&empty);
            lists.add(vni, held, wanted.get(&vni).unwrap_or(&nobody), sweep);
        }
        let after = lists.held + lists.added - lists.gone.len();
        if after > FLOOD.room() { Err(FLOOD.full(after)) } else { Ok(lists) }
    }

    /// Compares the list of one network.
    fn add(
        &mut self,
        vni: Vni,
        held: &BTreeMap<u32, FdbTarget>,
        wanted: &BTreeSet<FdbTarget>,
        sweep: Sweep,
    ) {
        let places: BTreeMap<Member, u32> =
            held.iter().map(|(&position, target)| (target.member(), position)).collect();
        let mut free = (0..).filter(|position| !held.contains_key(position));
        let mut taken = BTreeSet::new();
        for &target in wanted {
            let old = places.get(&target.member()).copied();
            let Some(position) = old.or_else(|| free.next()) else { continue };
            taken.insert(position);
            self.added += usize::from(old.is_none());
            if held.get(&position) != Some(&target) {
                self.set.push(Op::SetFlood { vni, position, target });
            }
        }
        let ends = |positions: Option<&u32>| positions.map_or(0, |last| last + 1);
        let during = ends(held.keys().chain(&taken).max());
        let mut after = during;
        if sweep == Sweep::Remove {
            let left = held.keys().filter(|position| !taken.contains(position));
            self.gone.extend(left.map(|&position| Op::RemoveFlood { vni, position }));
            after = ends(taken.last());
        }
        self.places.insert(vni, Places { during, after });
    }

    /// How many places the list of a network has.
    pub(super) fn places(&self, vni: Vni) -> Places {
        self.places.get(&vni).copied().unwrap_or_default()
    }

    /// What is done first, and what is done after all that.
    pub(super) fn order(mut self) -> (Vec<Op>, Vec<Op>) {
        if self.held + self.added > FLOOD.room() {
            self.gone.append(&mut self.set);
            (self.gone, Vec::new())
        } else {
            (self.set, self.gone)
        }
    }
}
