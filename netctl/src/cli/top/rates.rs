//! From two looks at what was counted to how fast it goes.

use std::{collections::BTreeMap, time::Instant};

use clap::ValueEnum;
use serde::Serialize;

use crate::model::{CarriedView, CounterView, EndpointId, Name, SandboxId, TrafficView};

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    /// Who carries most bytes
    #[default]
    Bytes,
    /// Who carries most packets
    Packets,
    /// Who loses most packets
    Drops,
    /// By network and name
    Name,
}

/// What was counted until a moment.
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) endpoints: Vec<TrafficView>,
    pub(super) counters: Vec<CounterView>,
}

/// What happened between two looks, each second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Rates {
    /// How long that was.
    pub(super) seconds: f64,
    pub(super) endpoints: Vec<EndpointRate>,
    /// What the programs dropped, the most first; what they did not is left out.
    pub(super) drops: Vec<DropRate>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct EndpointRate {
    pub(super) network: Name,
    pub(super) service: Name,
    pub(super) id: EndpointId,
    pub(super) sandbox: SandboxId,
    pub(super) received: Rate,
    pub(super) sent: Rate,
}

/// One direction, each second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Rate {
    pub(super) packets: f64,
    pub(super) bytes: f64,
    pub(super) dropped: f64,
}

/// One reason for which a program drops.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct DropRate {
    pub(super) program: String,
    pub(super) reason: String,
    pub(super) description: String,
    pub(super) packets: f64,
}

impl Rates {
    pub(super) fn between(before: &Look, now: &Look, sort: Sort) -> Self {
        let seconds = now.at.duration_since(before.at).as_secs_f64().max(f64::EPSILON);
        let rate = |now, before| moved(now, before) / seconds;
        let direction = |now: CarriedView, before: CarriedView| Rate {
            packets: rate(now.packets, before.packets),
            bytes: rate(now.bytes, before.bytes),
            dropped: rate(now.dropped, before.dropped),
        };
        let known: BTreeMap<&EndpointId, &TrafficView> =
            before.endpoints.iter().map(|own| (&own.id, own)).collect();
        let endpoint = |own: &TrafficView| {
            let before = known.get(&own.id);
            let of = |of: fn(&TrafficView) -> CarriedView| {
                // Who was not there before has carried nothing that can be told of this time.
                direction(of(own), before.map_or(of(own), |before| of(before)))
            };
            EndpointRate {
                network: own.network.clone(),
                service: own.service.clone(),
                id: own.id.clone(),
                sandbox: own.sandbox.clone(),
                received: of(|own| own.received),
                sent: of(|own| own.sent),
            }
        };
        let counted: BTreeMap<(&str, &str), u64> = before
            .counters
            .iter()
            .map(|own| ((own.program.as_str(), own.counter.as_str()), own.packets))
            .collect();
        let drop = |own: &CounterView| {
            let before = counted.get(&(own.program.as_str(), own.counter.as_str())).copied();
            let packets = rate(own.packets, before.unwrap_or_default());
            (own.drop && packets > 0.0).then(|| DropRate {
                program: own.program.clone(),
                reason: own.counter.clone(),
                description: own.description.clone(),
                packets,
            })
        };
        let mut rates = Self {
            seconds,
            endpoints: now.endpoints.iter().map(endpoint).collect(),
            drops: now.counters.iter().filter_map(drop).collect(),
        };
        rates.drops.sort_by(|a, b| b.packets.total_cmp(&a.packets));
        rates.sort(sort);
        rates
    }

    pub(super) fn sort(&mut self, sort: Sort) {
        self.endpoints.sort_by(|a, b| (&a.network, &a.service).cmp(&(&b.network, &b.service)));
        let of: fn(&Rate) -> f64 = match sort {
            Sort::Bytes => |rate| rate.bytes,
            Sort::Packets => |rate| rate.packets,
            Sort::Drops => |rate| rate.dropped,
            Sort::Name => return,
        };
        let both = |own: &EndpointRate| of(&own.received) + of(&own.sent);
        // Those that are equal stay in the order of their names.
        self.endpoints.sort_by(|a, b| both(b).total_cmp(&both(a)));
    }
}

/// How much was added; what was counted anew since then began at 0.
#[expect(clippy::cast_precision_loss, reason = "rates are shown to a few digits")]
fn moved(now: u64, before: u64) -> f64 {
    now.checked_sub(before).unwrap_or(now) as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn carried(packets: u64) -> CarriedView {
        CarriedView { packets, bytes: packets * 100, dropped: packets / 10 }
    }

    fn endpoint(name: &str, id: &EndpointId, received: u64, sent: u64) -> TrafficView {
        TrafficView {
            network: "dev".parse().expect("a name"),
            service: name.parse().expect("a name"),
            id: id.clone(),
            sandbox: SandboxId::random(),
            received: carried(received),
            sent: carried(sent),
        }
    }

    fn counter(reason: &str, drop: bool, packets: u64) -> CounterView {
        CounterView {
            program: "from-container".to_owned(),
            counter: reason.to_owned(),
            description: String::new(),
            drop,
            packets,
            bytes: 0,
        }
    }

    fn names(rates: &Rates) -> Vec<&str> {
        rates.endpoints.iter().map(|own| own.service.as_str()).collect()
    }

    #[test]
    fn rates_are_what_was_added_by_second() {
        let (at, ids) = (Instant::now(), [0; 4].map(|_| EndpointId::random()));
        let before = Look {
            at,
            endpoints: vec![
                endpoint("a", &ids[0], 100, 0),
                endpoint("b", &ids[1], 0, 0),
                endpoint("c", &ids[2], 500, 0),
            ],
            counters: vec![counter("source-mac", true, 5), counter("to-host", false, 5)],
        };
        let now = Look {
            at: at + Duration::from_secs(2),
            endpoints: vec![
                endpoint("new", &ids[3], 9000, 9000),
                endpoint("a", &ids[0], 120, 0),
                endpoint("b", &ids[1], 0, 200),
                // Its interface was made anew.
                endpoint("c", &ids[2], 40, 0),
            ],
            counters: vec![counter("source-mac", true, 12), counter("to-host", false, 50)],
        };
        let mut rates = Rates::between(&before, &now, Sort::Bytes);
        assert_eq!(names(&rates), ["b", "c", "a", "new"]);
        assert_eq!(
            rates.endpoints[0].sent,
            Rate { packets: 100.0, bytes: 10_000.0, dropped: 10.0 }
        );
        assert_eq!(rates.endpoints[0].received, Rate::default());
        assert_eq!(rates.endpoints[3].sent, Rate::default());
        let drops: Vec<_> = rates.drops.iter().map(|own| (&*own.reason, own.packets)).collect();
        assert_eq!(drops, [("source-mac", 3.5)]);
        rates.sort(Sort::Name);
        assert_eq!(names(&rates), ["a", "b", "c", "new"]);
        rates.sort(Sort::Drops);
        assert_eq!(names(&rates), ["b", "c", "a", "new"]);
    }
}
