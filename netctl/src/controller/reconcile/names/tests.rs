//! Names follow from the state alone, whatever happened on the way to it.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;
use crate::{
    controller::follow::Follower,
    discovery::tests::{endpoint, network},
    model::{HostId, Owner, SCHEMA, SandboxId, Vteps},
    store::{MemoryStore, Outcome, Revision, Txn},
};

/// What happens to the store, or to who follows it.
#[derive(Clone, Debug)]
enum Event {
    /// An endpoint is put, with one of a few names and addresses, on one of a few hosts or on none.
    Put { endpoint: usize, name: usize, host: Option<usize> },
    /// It goes.
    Remove { endpoint: usize },
    /// A host comes, or comes back.
    Alive { host: usize },
    /// Its lease has ended.
    Dead { host: usize },
    /// What was is forgotten: who is behind has to list again.
    Compact,
    /// The daemon starts anew.
    Restart,
    /// All is seen before the next event.
    Look,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        5 => (0..4_usize, 0..3_usize, prop::option::weighted(0.8, 0..3_usize))
            .prop_map(|(endpoint, name, host)| Event::Put { endpoint, name, host }),
        2 => (0..4_usize).prop_map(|endpoint| Event::Remove { endpoint }),
        2 => (0..3_usize).prop_map(|host| Event::Alive { host }),
        2 => (0..3_usize).prop_map(|host| Event::Dead { host }),
        1 => Just(Event::Compact),
        1 => Just(Event::Restart),
        3 => Just(Event::Look),
    ];
    prop::collection::vec(event, 1..40)
}

fn host_name(number: usize) -> HostName {
    format!("h{number}").parse().expect("a name")
}

fn host(number: usize) -> Host {
    let vteps = Vteps::new(Some([192, 0, 2, 1].into()), None).expect("an address");
    Host {
        schema: SCHEMA,
        id: HostId::random(),
        name: host_name(number),
        vteps,
        vxlan_port: 4789,
        mtu: 1500,
        version: String::new(),
        started: 0,
    }
}

/// A host as it follows one network.
struct Following {
    endpoints: Follower<Endpoint>,
    hosts: Follower<Host>,
    zones: Zones,
}

impl Following {
    fn start(store: &SharedStore, network: &Network) -> Self {
        Self {
            endpoints: Follower::start(
                Arc::clone(store),
                keys::endpoints(&network.id),
                Bell::default(),
            ),
            hosts: Follower::start(Arc::clone(store), keys::HOSTS.to_owned(), Bell::default()),
            zones: Zones::default(),
        }
    }

    /// What it answers from at this moment.
    fn look(&mut self, network: &Network) -> Option<&Zone> {
        let (endpoints, hosts) = (self.endpoints.borrow(), self.hosts.borrow());
        self.zones.update(&host_name(0), network, &endpoints, &hosts);
        self.zones.0.get(&network.id).map(|(_, zone)| &**zone)
    }

    /// Waits until all is seen.
    async fn catch_up(&self, endpoints: Revision, hosts: Revision) {
        let (mut ours, mut theirs) = (self.endpoints.receiver(), self.hosts.receiver());
        let caught_up = async {
            ours.wait_for(|mirror| mirror.complete && mirror.revision >= endpoints)
                .await
                .expect("it follows");
            theirs
                .wait_for(|mirror| mirror.complete && mirror.revision >= hosts)
                .await
                .expect("it follows");
        };
        timeout(Duration::from_secs(10), caught_up).await.expect("it sees all there is");
    }
}

/// What must be answered from: of one look at all that the store has.
async fn expected(store: &SharedStore, network: &Network) -> Zone {
    let endpoints = keys::list_endpoints(&**store, &network.id).await.expect("a list");
    let hosts = keys::list::<Host>(&**store, keys::HOSTS).await.expect("a list");
    let dead = |name: &HostName| {
        *name != host_name(0) && !hosts.iter().any(|stored| stored.value.name == *name)
    };
    let endpoints: Vec<_> = endpoints.into_iter().map(|stored| Arc::new(stored.value)).collect();
    Zone::build(network, &endpoints, dead)
}

async fn play(events: Vec<Event>) {
    let memory = MemoryStore::new();
    let store: SharedStore = Arc::new(memory.clone());
    let network = network("dev", "10.1.0.0/24", false);
    let mut pieces: Vec<Endpoint> = (0..4)
        .map(|number| endpoint(&network, "x", &[], &[&format!("10.1.0.{}/24", number + 2)], None))
        .collect();
    let owned = endpoint(&network, "x", &[], &[], Some(&SandboxId::random()));
    let mut following = Following::start(&store, &network);
    // The last change of each kind.
    let (mut endpoints, mut hosts, mut last) = (Revision(0), Revision(0), Revision(1));
    for event in events.into_iter().chain([Event::Look]) {
        let txn = match event {
            Event::Put { endpoint, name, host } => {
                let piece = &mut pieces[endpoint];
                piece.name = format!("n{name}").parse().expect("a name");
                let owner = owned.owner.clone().expect("it is attached");
                piece.owner = host.map(|host| Owner { host: host_name(host), ..owner });
                Txn::new().put(keys::endpoint(&network.id, &piece.id), keys::write(piece))
            }
            Event::Remove { endpoint } => {
                Txn::new().delete(keys::endpoint(&network.id, &pieces[endpoint].id))
            }
            Event::Alive { host } => {
                Txn::new().put(keys::host(&host_name(host)), keys::write(&self::host(host)))
            }
            Event::Dead { host } => Txn::new().delete(keys::host(&host_name(host))),
            Event::Compact => {
                memory.compact(last);
                continue;
            }
            Event::Restart => {
                following = Following::start(&store, &network);
                continue;
            }
            Event::Look => {
                following.catch_up(endpoints, hosts).await;
                let expected = expected(&store, &network).await;
                assert_eq!(following.look(&network), Some(&expected));
                continue;
            }
        };
        let of_host = matches!(event, Event::Alive { .. } | Event::Dead { .. });
        let prefix = if of_host { keys::HOSTS.to_owned() } else { keys::endpoints(&network.id) };
        let before = store.list(&prefix).await.expect("a list").entries;
        let Outcome::Committed(revision) = store.commit(txn).await.expect("a commit") else {
            unreachable!("it has no guards");
        };
        last = revision;
        // What was not there cannot be seen to go.
        if store.list(&prefix).await.expect("a list").entries != before {
            *if of_host { &mut hosts } else { &mut endpoints } = revision;
        }
        // Whatever is seen by now, it may be any part of what happened.
        following.look(&network);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn names_are_what_the_state_says_after_any_events(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(play(events));
    }
}
