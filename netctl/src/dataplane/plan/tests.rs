use proptest::{collection::btree_map, prelude::*};

use super::{super::Port, *};

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
        (1..9_u32, any::<bool>()).prop_map(|(ifindex, host)| FdbTarget::Local { ifindex, host }),
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
            any_source: false,
        },
    })
}

prop_compose! {
    fn states()(
        networks in btree_map((1..5_u32).prop_map(vni), 1000..1003_u16, 0..4),
        ports in btree_map(1..9_u32, ports(), 0..6),
        fdb in btree_map(((1..4_u32).prop_map(vni), (0..6_u8).prop_map(mac)), targets(), 0..12),
        neigh in btree_map(((1..4_u32).prop_map(vni), (0..6_u8).prop_map(host)), (0..4_u8).prop_map(mac), 0..8),
        tunnel_mtu in 1400..1402_u16,
    ) -> Desired {
        let networks = networks.into_iter().map(|(vni, mtu)| (vni, NetworkEntry { gateway_mac: None, mtu }));
        Desired { networks: networks.collect(), ports, fdb, neigh, tunnel_mtu }
    }
}

/// Executes a plan on `tables`, and checks after each write that no packet could find a target that is not there.
fn execute(tables: &mut Tables, plan: Plan) {
    for op in plan.first.into_iter().chain(plan.then) {
        tables.record(op.clone());
        for ((vni, mac), target) in &tables.fdb {
            if let FdbTarget::Remote { vtep } = target {
                assert!(
                    tables.vteps.contains_key(vtep),
                    "after {op:?}, {mac} of VNI {vni} is at unknown {vtep}"
                );
            }
        }
        let indices: BTreeSet<u32> = tables.vteps.values().map(|entry| entry.index).collect();
        assert_eq!(indices.len(), tables.vteps.len(), "after {op:?}, two hosts share an index");
    }
}

/// What `desired` asks for, without the indices of hosts.
fn expect(tables: &Tables, desired: &Desired) {
    assert_eq!(tables.networks, desired.networks);
    assert_eq!(tables.fdb, desired.fdb);
    assert_eq!(tables.neigh, desired.neigh);
    let entries: BTreeMap<_, _> =
        desired.ports.iter().map(|(&index, port)| (index, port.entry.clone())).collect();
    assert_eq!(tables.ports, entries);
    let remote = |target: &FdbTarget| match *target {
        FdbTarget::Remote { vtep } => Some(vtep),
        FdbTarget::Local { .. } => None,
    };
    let hosts: BTreeSet<IpAddr> = desired.fdb.values().filter_map(remote).collect();
    assert_eq!(tables.vteps.keys().copied().collect::<BTreeSet<_>>(), hosts);
    assert!(tables.vteps.values().all(|entry| entry.mtu == desired.tunnel_mtu));
}

fn planned(tables: &Tables, desired: &Desired, sweep: Sweep) -> Plan {
    plan(tables, desired, sweep).expect("there is room")
}

proptest! {
    #[test]
    fn a_plan_leads_to_what_is_desired(sequence in proptest::collection::vec(states(), 1..5)) {
        let mut tables = Tables::default();
        for desired in sequence {
            let before = tables.clone();
            let plan = planned(&tables, &desired, Sweep::Remove);
            execute(&mut tables, plan);
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
    fn nothing_is_removed_before_the_list_is_complete(held in states(), desired in states()) {
        let mut tables = Tables::default();
        let plan = planned(&tables, &held, Sweep::Remove);
        execute(&mut tables, plan);
        let before = tables.clone();
        let plan = planned(&tables, &desired, Sweep::Keep);
        prop_assert_eq!(&plan.then, &[]);
        execute(&mut tables, plan);
        prop_assert!(before.fdb.keys().all(|key| tables.fdb.contains_key(key)));
        prop_assert!(before.ports.keys().all(|key| tables.ports.contains_key(key)));
        prop_assert!(desired.fdb.iter().all(|(key, target)| tables.fdb.get(key) == Some(target)));
        let plan = planned(&tables, &desired, Sweep::Remove);
        execute(&mut tables, plan);
        expect(&tables, &desired);
    }
}

/// As many networks as NETWORKS takes, from the VNI `first` on.
fn networks(first: u32, count: u32) -> Desired {
    let entry = NetworkEntry { gateway_mac: None, mtu: 1450 };
    let networks = (first..first + count).map(|number| (vni(number), entry)).collect();
    Desired { networks, ..Desired::default() }
}

#[test]
fn a_map_that_would_overflow_is_named_before_anything_is_done() {
    let error = plan(&Tables::default(), &networks(1, NETWORKS.capacity + 1), Sweep::Remove);
    let expected = "map NETWORKS is full: it has room for 4096 entries, and 4097 are wanted";
    assert_eq!(error.expect_err("too many").to_string(), expected);

    let mut tables = Tables::default();
    let full = networks(1, NETWORKS.capacity);
    let plan_full = planned(&tables, &full, Sweep::Remove);
    execute(&mut tables, plan_full);
    let other = networks(2, NETWORKS.capacity);
    plan(&tables, &other, Sweep::Keep).expect_err("the old ones stay");
}

#[test]
fn where_there_is_no_room_for_both_the_old_goes_first() {
    let mut tables = Tables::default();
    let full = planned(&tables, &networks(1, NETWORKS.capacity), Sweep::Remove);
    execute(&mut tables, full);
    let swap = planned(&tables, &networks(2, NETWORKS.capacity), Sweep::Remove);
    assert_eq!(swap.first[0], Op::RemoveNetwork { vni: vni(1) });
    assert_eq!(swap.first.len(), 2);
    assert_eq!(swap.then, []);
}
