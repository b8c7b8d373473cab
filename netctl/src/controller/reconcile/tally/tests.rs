//! However a tally came to have its stations, it has what one has that is made of them anew, and what it said was
//! touched is all that is otherwise.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    dataplane::{NetworkEntry, Port, PortEntry},
    model::{MacAddr, Vni},
};

fn vni() -> Vni {
    Vni::new(7).expect("a VNI")
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn id(last: u8) -> EndpointId {
    EndpointId::from_bytes([last; 32])
}

/// A station of this host or of one of three others; what it claims may be another's too.
fn stations() -> impl Strategy<Value = Option<Station>> {
    let claims = (1..8_u8, prop::collection::btree_set(1..10_u8, 0..3), 0..7_u8);
    let station = claims.prop_map(|(last, addresses, place)| {
        let mac = mac(last);
        let addresses: Vec<IpAddr> = addresses.into_iter().map(address).collect();
        let (target, way) = if place < 4 {
            let entry = PortEntry {
                vni: vni(),
                endpoint: Some(id(last)),
                mac,
                addresses: addresses.iter().copied().collect(),
                gateways: BTreeSet::new(),
                any_source: false,
                isolated: false,
            };
            let ifindex = u32::from(last);
            let port = Port { ifname: format!("port{last}"), entry };
            (FdbTarget::Container { ifindex }, Way::Port(port))
        } else {
            (FdbTarget::Remote { vtep: address(100 + place) }, Way::Tunnel(1400))
        };
        Station { vni: vni(), mac, addresses, target, way }
    });
    prop::option::weighted(0.7, station)
}

/// A network of which one station outside is known from the start.
fn base() -> Desired {
    let outside = FdbTarget::Remote { vtep: address(104) };
    Desired {
        networks: [(vni(), NetworkEntry { gateway_mac: None, mtu: 1400, open: false })].into(),
        fdb: [((vni(), mac(200)), outside)].into(),
        flood: [(vni(), [outside].into())].into(),
        neigh: [((vni(), address(200)), mac(200))].into(),
        tunnels: [(address(104), 1400)].into(),
        ..Desired::default()
    }
}

/// The keys of two maps that have not the same there.
fn differing<K: Ord + Copy, V: PartialEq>(
    one: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
) -> BTreeSet<K> {
    let keys = one.keys().chain(other.keys()).copied();
    keys.filter(|key| one.get(key) != other.get(key)).collect()
}

proptest! {
    #[test]
    fn changes_lead_to_what_is_made_anew(
        batches in prop::collection::vec(
            prop::collection::vec((0..6_u8, stations()), 1..5),
            1..30,
        ),
    ) {
        let mut tally = Tally::new(base());
        for changes in batches {
            let before = tally.desired().clone();
            let mut touched = Touched::default();
            let changes = changes.into_iter().map(|(last, station)| (id(last), station));
            let is_sound = tally.change(changes, &mut touched);
            let mut anew = Tally::new(base());
            let all = tally.stations.clone();
            let is_anew_sound =
                anew.change(all.into_iter().map(|(id, of)| (id, Some(of))), &mut Touched::default());
            // Else it says so, and is not changed any more but made anew.
            if is_sound {
                prop_assert!(is_anew_sound);
                prop_assert_eq!(tally.desired(), anew.desired());
            }
            tally = anew;
            let now = tally.desired();
            prop_assert!(differing(&before.ports, &now.ports).is_subset(&touched.ports));
            prop_assert!(differing(&before.fdb, &now.fdb).is_subset(&touched.fdb));
            prop_assert!(differing(&before.neigh, &now.neigh).is_subset(&touched.neigh));
            prop_assert!(differing(&before.flood, &now.flood).is_subset(&touched.networks));
            prop_assert_eq!(&before.networks, &now.networks);
        }
    }
}

fn station(target: FdbTarget) -> Station {
    let (vni, mac, addresses) = (vni(), mac(1), vec![address(1)]);
    Station { vni, mac, addresses, target, way: Way::Tunnel(1400) }
}

#[test]
fn what_two_claim_is_said_to_be_contended() {
    let there = Some(station(FdbTarget::Remote { vtep: address(104) }));
    let mut tally = Tally::new(base());
    for last in [1, 2] {
        let is_sound = tally.change([(id(last), there.clone())], &mut Touched::default());
        assert_eq!(is_sound, last == 1);
    }
}

/// Whichever of the two is looked at first.
#[test]
fn what_one_has_from_another_by_the_same_look_is_said_to_be_contended_or_is_held() {
    let there = Some(station(FdbTarget::Remote { vtep: address(104) }));
    for (old, new) in [(1, 2), (2, 1)] {
        let mut tally = Tally::new(base());
        assert!(tally.change([(id(old), there.clone())], &mut Touched::default()));
        let desired = tally.desired().clone();
        let mut changes = [(id(old), None), (id(new), there.clone())];
        changes.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut touched = Touched::default();
        if tally.change(changes, &mut touched) {
            assert_eq!(tally.desired(), &desired);
        } else {
            assert!(new < old, "what goes first claims nothing any more");
        }
        assert!(touched.neigh.contains(&(vni(), address(1))));
    }
}

#[test]
fn what_does_not_change_touches_nothing() {
    let there = Some(station(FdbTarget::Remote { vtep: address(105) }));
    let mut tally = Tally::new(base());
    let mut touched = Touched::default();
    assert!(tally.change([(id(1), there.clone())], &mut touched) && !touched.is_empty());
    let mut again = Touched::default();
    assert!(tally.change([(id(1), there), (id(2), None)], &mut again));
    assert!(again.is_empty(), "{again:?}");
}
