use proptest::{collection::btree_map, prelude::*};

use super::{
    super::{Port, Touched, desired::Member, layout::FLOOD},
    *,
};

const ALL: Extent<'static> = Extent::All;

fn vni(number: u32) -> Vni {
    Vni::new(number).expect("a VNI")
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

fn host(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn targets() -> impl Strategy<Value = FdbTarget> {
    prop_oneof![
        (1..9_u32).prop_map(|ifindex| FdbTarget::Container { ifindex }),
        (1..9_u32).prop_map(|ifindex| FdbTarget::Bridging { ifindex }),
        (1..9_u32).prop_map(|ifindex| FdbTarget::Host { ifindex }),
        (1..7_u8).prop_map(|last| FdbTarget::Remote { vtep: host(last) }),
    ]
}

fn ports() -> impl Strategy<Value = Port> {
    (1..4_u32, 0..4_u8).prop_map(|(number, last)| Port {
        ifname: format!("port{last}"),
        entry: PortEntry {
            vni: vni(number),
            endpoint: None,
            mac: mac(last),
            addresses: BTreeSet::new(),
            gateways: BTreeSet::new(),
            any_source: false,
            isolated: false,
        },
    })
}

/// Targets of which none is the same member as another.
fn members() -> impl Strategy<Value = BTreeSet<FdbTarget>> {
    let all = proptest::collection::vec(targets(), 0..8);
    all.prop_map(|all| {
        let by_member: BTreeMap<Member, FdbTarget> =
            all.into_iter().map(|target| (target.member(), target)).collect();
        by_member.into_values().collect()
    })
}

fn hosts_of(all: impl IntoIterator<Item = FdbTarget>) -> BTreeSet<IpAddr> {
    let remote = |target| match target {
        FdbTarget::Remote { vtep } => Some(vtep),
        FdbTarget::Container { .. } | FdbTarget::Bridging { .. } | FdbTarget::Host { .. } => None,
    };
    all.into_iter().filter_map(remote).collect()
}

prop_compose! {
    fn states()(
        networks in btree_map((1..5_u32).prop_map(vni), 1000..1003_u16, 0..4),
        ports in btree_map(1..9_u32, ports(), 0..6),
        fdb in btree_map(((1..4_u32).prop_map(vni), (0..6_u8).prop_map(mac)), targets(), 0..12),
        flood in btree_map((1..4_u32).prop_map(vni), members(), 0..4),
        neigh in btree_map(((1..4_u32).prop_map(vni), (0..6_u8).prop_map(station)), (0..4_u8).prop_map(mac), 0..8),
        mtu in 1400..1402_u16,
    ) -> Desired {
        let entry = |mtu| NetworkEntry { gateway_mac: None, mtu, open: false };
        let networks: BTreeMap<_, _> =
            networks.into_iter().map(|(vni, mtu)| (vni, entry(mtu))).collect();
        let flood: BTreeMap<_, _> =
            flood.into_iter().filter(|(vni, _)| networks.contains_key(vni)).collect();
        let hosts = hosts_of(fdb.values().chain(flood.values().flatten()).copied());
        let tunnels = hosts.into_iter().map(|host| (host, mtu)).collect();
        Desired { networks, ports, fdb, flood, neigh, tunnels }
    }
}

/// Of either family.
fn station(last: u8) -> IpAddr {
    if last.is_multiple_of(2) { host(last) } else { [0xfd00, 0, 0, 0, 0, 0, 0, last.into()].into() }
}

/// Where each member of each list is.
fn places(tables: &Tables) -> BTreeMap<(Vni, Member), u32> {
    let place =
        |(&(vni, position), target): (&(Vni, u32), &FdbTarget)| ((vni, target.member()), position);
    let places: BTreeMap<_, _> = tables.flood.iter().map(place).collect();
    assert_eq!(places.len(), tables.flood.len(), "a member has two places: {:?}", tables.flood);
    places
}

/// Executes a plan on `tables`, and checks after each write that no packet could find a target that is not there, and
/// that what is sent to all reaches those who were and stay members, each once.
fn execute(tables: &mut Tables, plan: Plan, desired: &Desired) {
    let lists = &desired.flood;
    let stays = |(vni, member): &(Vni, Member)| {
        lists.get(vni).is_some_and(|list| list.iter().any(|target| target.member() == *member))
    };
    let mut staying = places(tables);
    staying.retain(|key, _| stays(key));
    for op in plan.first.into_iter().chain(plan.then) {
        tables.record(op.clone());
        let known = |vtep: &IpAddr| tables.vteps.contains_key(vtep);
        let named = hosts_of(tables.fdb.values().chain(tables.flood.values()).copied());
        assert!(named.iter().all(known), "after {op:?}, one of {named:?} is unknown");
        for ((vni, vtep), index) in &tables.members {
            let entry = tables.vteps.get(vtep).map(|entry| entry.index);
            assert_eq!(entry, Some(*index), "after {op:?}, {vtep} is a member of VNI {vni}");
        }
        let now = places(tables);
        for ((vni, member), position) in &staying {
            assert_eq!(now.get(&(*vni, *member)), Some(position), "after {op:?}, {member:?} moved");
            let counted = tables.networks.get(vni).map(|network| network.places);
            assert!(counted > Some(*position), "after {op:?}, {member:?} of VNI {vni} is left out");
        }
        let indices: BTreeSet<u32> = tables.vteps.values().map(|entry| entry.index).collect();
        assert_eq!(indices.len(), tables.vteps.len(), "after {op:?}, two hosts share an index");
    }
}

/// What `desired` asks for, without the indices of hosts.
fn expect(tables: &Tables, desired: &Desired) {
    let networks: BTreeMap<_, _> =
        tables.networks.iter().map(|(&vni, network)| (vni, network.entry)).collect();
    assert_eq!(networks, desired.networks);
    let mut lists: BTreeMap<Vni, BTreeSet<FdbTarget>> = BTreeMap::new();
    for (&(vni, position), &target) in &tables.flood {
        lists.entry(vni).or_default().insert(target);
        assert!(position < tables.networks[&vni].places);
    }
    let mut wanted = desired.flood.clone();
    wanted.retain(|_, list| !list.is_empty());
    assert_eq!(lists, wanted);
    for (vni, network) in &tables.networks {
        let last = tables.flood.keys().filter(|(of, _)| of == vni).map(|(_, at)| at + 1).max();
        assert_eq!(network.places, last.unwrap_or(0), "VNI {vni}");
    }
    let members: BTreeSet<(Vni, IpAddr)> = desired
        .flood
        .iter()
        .flat_map(|(&vni, list)| {
            hosts_of(list.iter().copied()).into_iter().map(move |of| (vni, of))
        })
        .collect();
    assert_eq!(tables.members.keys().copied().collect::<BTreeSet<_>>(), members);
    assert_eq!(tables.fdb, desired.fdb);
    assert_eq!(tables.neigh, desired.neigh);
    let entries: BTreeMap<_, _> =
        desired.ports.iter().map(|(&index, port)| (index, port.entry.clone())).collect();
    assert_eq!(tables.ports, entries);
    let tunnels: BTreeMap<_, _> =
        tables.vteps.iter().map(|(&vtep, entry)| (vtep, entry.mtu)).collect();
    assert_eq!(tunnels, desired.tunnels);
}

fn planned(tables: &Tables, desired: &Desired, sweep: Sweep) -> Plan {
    plan(tables, desired, sweep, ALL).expect("there is room")
}

/// What a set of keys has of `desired`, where those that `among` says are exchanged for those of `other`.
fn mixed<K: Ord + Copy, V: Clone + PartialEq>(
    desired: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
    among: impl Fn(usize) -> bool,
    touched: &mut BTreeSet<K>,
) -> BTreeMap<K, V> {
    let keys: BTreeSet<K> = desired.keys().chain(other.keys()).copied().collect();
    let mut mixed = BTreeMap::new();
    for (at, key) in keys.into_iter().enumerate() {
        let from = if among(at) { touched.insert(key).then_some(other) } else { Some(desired) };
        mixed.extend(from.and_then(|from| from.get(&key)).map(|value| (key, value.clone())));
    }
    mixed
}

proptest! {
    #[test]
    fn a_plan_leads_to_what_is_desired(sequence in proptest::collection::vec(states(), 1..5)) {
        let mut tables = Tables::default();
        for desired in sequence {
            let before = tables.clone();
            let plan = planned(&tables, &desired, Sweep::Remove);
            execute(&mut tables, plan, &desired);
            expect(&tables, &desired);
            for (address, entry) in &tables.vteps {
                match before.vteps.get(address) {
                    Some(old) => prop_assert_eq!(old.index, entry.index, "the index of {} moved", address),
                    None => prop_assert!(
                        before.vteps.values().all(|old| old.index != entry.index),
                        "the index of {} was in use until now", address
                    ),
                }
            }
            prop_assert_eq!(planned(&tables, &desired, Sweep::Remove), Plan::default());
        }
    }

    #[test]
    fn a_plan_for_what_changed_does_what_one_for_all_does(
        held in states(), other in states(), among in any::<u32>(),
    ) {
        let mut tables = Tables::default();
        let plan_held = planned(&tables, &held, Sweep::Remove);
        execute(&mut tables, plan_held, &held);
        let among = |at: usize| among >> (at % 32) & 1 == 1;
        let mut touched = Touched::default();
        // A network goes, comes and changes together with its list.
        let networks = mixed(&held.networks, &other.networks, among, &mut touched.networks);
        let list = |vni: &Vni| {
            let from = if touched.networks.contains(vni) { &other } else { &held };
            from.flood.get(vni).map(|list| (*vni, list.clone()))
        };
        let desired = Desired {
            flood: networks.keys().filter_map(list).collect(),
            networks,
            ports: mixed(&held.ports, &other.ports, among, &mut touched.ports),
            fdb: mixed(&held.fdb, &other.fdb, among, &mut touched.fdb),
            neigh: mixed(&held.neigh, &other.neigh, among, &mut touched.neigh),
            // All that any of it needs.
            tunnels: held.tunnels.clone().into_iter().chain(other.tunnels.clone()).collect(),
        };
        let mut part = Desired::default();
        part.extend_with(&desired, &touched);
        let some = plan(&tables, &part, Sweep::Remove, Extent::Of(&touched));
        prop_assert_eq!(some.expect("there is room"), planned(&tables, &desired, Sweep::Remove));
    }

    #[test]
    fn nothing_is_removed_before_the_list_is_complete(held in states(), desired in states()) {
        let mut tables = Tables::default();
        let plan = planned(&tables, &held, Sweep::Remove);
        execute(&mut tables, plan, &held);
        let before = tables.clone();
        let plan = planned(&tables, &desired, Sweep::Keep);
        prop_assert_eq!(&plan.then, &[]);
        execute(&mut tables, plan, &desired);
        prop_assert!(before.fdb.keys().all(|key| tables.fdb.contains_key(key)));
        prop_assert!(before.ports.keys().all(|key| tables.ports.contains_key(key)));
        prop_assert!(desired.fdb.iter().all(|(key, target)| tables.fdb.get(key) == Some(target)));
        prop_assert!(before.flood.keys().all(|key| tables.flood.contains_key(key)));
        let plan = planned(&tables, &desired, Sweep::Remove);
        execute(&mut tables, plan, &desired);
        expect(&tables, &desired);
    }
}

/// As many networks as NETWORKS takes, from the VNI `first` on.
fn networks(first: u32, count: u32) -> Desired {
    let entry = NetworkEntry { gateway_mac: None, mtu: 1450, open: false };
    let networks = (first..first + count).map(|number| (vni(number), entry)).collect();
    Desired { networks, ..Desired::default() }
}

#[test]
fn a_map_that_would_overflow_is_named_before_anything_is_done() {
    let error = plan(&Tables::default(), &networks(1, NETWORKS.capacity + 1), Sweep::Remove, ALL);
    let expected = "map NETWORKS is full: it has room for 4096 entries, and 4097 are wanted";
    assert_eq!(error.expect_err("too many").to_string(), expected);

    let mut tables = Tables::default();
    let full = networks(1, NETWORKS.capacity);
    let plan_full = planned(&tables, &full, Sweep::Remove);
    execute(&mut tables, plan_full, &full);
    let other = networks(2, NETWORKS.capacity);
    plan(&tables, &other, Sweep::Keep, ALL).expect_err("the old ones stay");
}

#[test]
fn where_there_is_no_room_for_both_the_old_goes_first() {
    let mut tables = Tables::default();
    let full = networks(1, NETWORKS.capacity);
    let plan_full = planned(&tables, &full, Sweep::Remove);
    execute(&mut tables, plan_full, &full);
    let swap = planned(&tables, &networks(2, NETWORKS.capacity), Sweep::Remove);
    assert_eq!(swap.first[0], Op::RemoveNetwork { vni: vni(1) });
    assert_eq!(swap.first.len(), 2);
    assert_eq!(swap.then, []);
}

/// A list of `count` devices.
fn list(first: u32, count: u32) -> Desired {
    let members = (first..first + count).map(|ifindex| FdbTarget::Container { ifindex }).collect();
    Desired { flood: [(vni(1), members)].into(), ..networks(1, 1) }
}

#[test]
fn an_empty_place_is_taken_by_the_next_to_come() {
    let mut tables = Tables::default();
    for (desired, expected) in [
        (list(1, 3), vec![(0, 1), (1, 2), (2, 3)]),
        (list(2, 2), vec![(1, 2), (2, 3)]),
        // One comes while another goes: not to the place that is just being left.
        (list(3, 2), vec![(0, 4), (2, 3)]),
        (list(4, 1), vec![(0, 4)]),
    ] {
        let plan = planned(&tables, &desired, Sweep::Remove);
        execute(&mut tables, plan, &desired);
        expect(&tables, &desired);
        let places: Vec<_> = tables
            .flood
            .iter()
            .map(|(&(_, position), &target)| match target.member() {
                Member::Device(ifindex) => (position, ifindex),
                Member::Tunnel(_) => unreachable!("there is none"),
            })
            .collect();
        assert_eq!(places, expected);
    }
}

#[test]
fn lists_that_would_overflow_are_refused() {
    let error = plan(&Tables::default(), &list(1, FLOOD.capacity + 1), Sweep::Remove, ALL);
    let expected = "map FLOOD is full: it has room for 131072 entries, and 131073 are wanted";
    assert_eq!(error.expect_err("too many").to_string(), expected);
}
