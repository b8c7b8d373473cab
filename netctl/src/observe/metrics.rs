//! The numbers of a host in the form that Prometheus reads.
//!
//! Names follow its conventions: base units, `_total` on what only rises. Of labels, `network` and `service` alone have
//! values that people choose; there is one series of each such family for each network or endpoint that is on this host,
//! and it goes with it.

mod process;
mod text;

use std::time::SystemTime;

use netctl_common::Outcome;

use self::text::{Kind, Labels, Text, seconds};
use crate::{
    controller::{Activity, Observation, Sync},
    dataplane::Usage,
    model::CarriedView,
};

/// What the text is, for those who are given it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All of them, with those of this process.
pub fn render(seen: &Observation) -> String {
    let mut text = Text::default();
    build(&mut text);
    traffic(&mut text, &seen.activity);
    dataplane(&mut text, &seen.usage);
    objects(&mut text, seen);
    store(&mut text, seen);
    sync(&mut text, &seen.sync);
    names(&mut text, seen);
    process::write(&mut text);
    text.finish()
}

fn build(text: &mut Text) {
    let abi = netctl_common::ABI_VERSION.to_string();
    text.family("netctl_build_info", Kind::Gauge, "The running version of netctl; always 1.")
        .value(&[("version", env!("CARGO_PKG_VERSION")), ("abi", &abi)], 1);
}

/// Of each endpoint both directions, as its sandbox sees them.
fn traffic(text: &mut Text, Activity { endpoints, gateways }: &Activity) {
    type Of = fn(&CarriedView) -> u64;
    let families: [(&str, &str, Of); 3] = [
        (
            "netctl_endpoint_packets_total",
            "Packets that an endpoint of this host received or sent; a packet of many segments counts once.",
            |carried| carried.packets,
        ),
        (
            "netctl_endpoint_bytes_total",
            "Bytes that an endpoint of this host received or sent, from the Ethernet header on.",
            |carried| carried.bytes,
        ),
        (
            "netctl_endpoint_dropped_packets_total",
            "Packets at an endpoint's interface that the kernel had no room or no taker for.",
            |carried| carried.dropped,
        ),
    ];
    for (name, help, of) in families {
        let mut family = text.family(name, Kind::Counter, help);
        for endpoint in endpoints {
            let whose =
                [("network", endpoint.network.as_str()), ("service", endpoint.service.as_str())];
            for (direction, carried) in
                [("receive", &endpoint.received), ("transmit", &endpoint.sent)]
            {
                family.value(&[whose[0], whose[1], ("direction", direction)], of(carried));
            }
        }
    }
    let families: [(&str, &str, Of); 2] = [
        (
            "netctl_gateway_transmit_packets_total",
            "Packets that the network's gateway on this host sent into the network.",
            |carried| carried.packets,
        ),
        (
            "netctl_gateway_transmit_bytes_total",
            "Bytes that the network's gateway on this host sent into the network, from the Ethernet header on.",
            |carried| carried.bytes,
        ),
    ];
    for (name, help, of) in families {
        let mut family = text.family(name, Kind::Counter, help);
        for gateway in gateways {
            family.value(&[("network", gateway.network.as_str())], of(&gateway.sent));
        }
    }
}

fn dataplane(text: &mut Text, Usage { maps, counters, programs }: &Usage) {
    let drops = counters.iter().filter(|row| matches!(row.outcome, Outcome::Dropped(_)));
    let verdicts = counters.iter().filter(|row| !matches!(row.outcome, Outcome::Dropped(_)));
    let (mut packets, mut bytes) = (Vec::new(), Vec::new());
    for row in verdicts {
        let labels = [("program", row.direction.as_str()), ("outcome", row.outcome.as_str())];
        packets.push((labels, row.packets));
        bytes.push((labels, row.bytes));
    }
    let help = "Packets that ended well in a program, by how.";
    all(text, "netctl_packets_total", Kind::Counter, help, &packets);
    let help = "Bytes of the packets that ended well in a program, from the Ethernet header on.";
    all(text, "netctl_bytes_total", Kind::Counter, help, &bytes);
    let dropped: Vec<_> = drops
        .map(|row| {
            let labels = [("program", row.direction.as_str()), ("reason", row.outcome.as_str())];
            (labels, row.packets)
        })
        .collect();
    let help = "Packets that a program dropped, by reason; `netctl counters --all` explains each.";
    all(text, "netctl_dropped_packets_total", Kind::Counter, help, &dropped);
    let entries: Vec<_> = maps.iter().map(|map| ([("map", map.name)], map.entries)).collect();
    let help = "Entries that a BPF map has.";
    all(text, "netctl_map_entries", Kind::Gauge, help, &entries);
    let sizes: Vec<_> = maps.iter().map(|map| ([("map", map.name)], map.capacity)).collect();
    let help = "Entries that a BPF map takes at most.";
    all(text, "netctl_map_max_entries", Kind::Gauge, help, &sizes);
    if programs.is_empty() {
        return;
    }
    let runs: Vec<_> = programs.iter().map(|row| ([("program", row.name)], row.runs)).collect();
    let help = "Runs of a program since the daemon loaded it.";
    all(text, "netctl_program_runs_total", Kind::Counter, help, &runs);
    let times: Vec<_> =
        programs.iter().map(|row| ([("program", row.name)], seconds(row.time))).collect();
    let help = "Time that a program ran since the daemon loaded it, on all processors, in seconds.";
    all(text, "netctl_program_run_seconds_total", Kind::Counter, help, &times);
}

fn objects(text: &mut Text, seen: &Observation) {
    let mut family = text.family(
        "netctl_endpoints",
        Kind::Gauge,
        "Attached endpoints of the networks that have one on this host, by where they are.",
    );
    for network in &seen.networks {
        let name = ("network", network.name.as_str());
        family.value(&[name, ("location", "local")], network.local);
        family.value(&[name, ("location", "remote")], network.remote);
    }
    one(
        text,
        "netctl_networks",
        "Networks that have an endpoint on this host.",
        seen.networks.len(),
    );
    one(text, "netctl_sandboxes", "Sandboxes on this host.", seen.sandboxes);
    if let Some(hosts) = seen.hosts {
        one(
            text,
            "netctl_hosts",
            "Hosts of the cluster that are alive, this one among them.",
            hosts,
        );
    }
}

fn store(text: &mut Text, seen: &Observation) {
    if let Some(connection) = seen.connection {
        let help = "Whether the store answered the last call, be it with an error.";
        one(text, "netctl_store_connected", help, u8::from(connection.connected));
        let since =
            connection.since.by_wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let help =
            "Since when netctl_store_connected is what it is, since the Unix epoch, in seconds.";
        one(text, "netctl_store_connection_changed_timestamp_seconds", help, seconds(since));
    }
    let mut family = text.family(
        "netctl_store_request_duration_seconds",
        Kind::Histogram,
        "Time that calls to the store took, those that failed too, in seconds.",
    );
    for (verb, took) in &seen.calls {
        family.distribution(&[("operation", verb)], took);
    }
    let errors: Vec<_> =
        seen.failed_calls.iter().map(|&(kind, count)| ([("kind", kind)], count)).collect();
    let help = "Calls to the store and watches of it that failed.";
    all(text, "netctl_store_errors_total", Kind::Counter, help, &errors);
}

fn sync(text: &mut Text, sync: &Sync) {
    text.family(
        "netctl_sync_duration_seconds",
        Kind::Histogram,
        "Time from a change of the store being heard of to the maps holding what follows, in seconds.",
    )
    .distribution(&[], &sync.syncs);
    let help = "Age of the oldest change that was heard of and is not in the maps yet, in seconds.";
    one(text, "netctl_sync_lag_seconds", help, seconds(sync.lag));
    text.family(
        "netctl_reconcile_duration_seconds",
        Kind::Histogram,
        "Time that passes of the reconcile loop took, by whether they looked at all or at what is new, in seconds.",
    )
    .distribution(&[("scope", "all")], &sync.full)
    .distribution(&[("scope", "new")], &sync.wakes);
    text.family(
        "netctl_reconcile_failures_total",
        Kind::Counter,
        "Passes of the reconcile loop that could not do all, and are tried again.",
    )
    .value(&[], sync.failures);
}

fn names(text: &mut Text, seen: &Observation) {
    let queries: Vec<_> =
        seen.queries.iter().map(|&(end, count)| ([("result", end)], count)).collect();
    let help = "Queries for names, by what became of them.";
    all(text, "netctl_dns_queries_total", Kind::Counter, help, &queries);
    text.family(
        "netctl_dns_answer_duration_seconds",
        Kind::Histogram,
        "Time that answers took for which no other name server was asked, in seconds.",
    )
    .distribution(&[], &seen.answering);
}

/// A gauge of one series.
fn one(text: &mut Text, name: &str, help: &str, value: impl std::fmt::Display) {
    text.family(name, Kind::Gauge, help).value(&[], value);
}

/// A family of series that have the same labels.
fn all<'a, const N: usize, V: std::fmt::Display + Copy>(
    text: &mut Text,
    name: &str,
    kind: Kind,
    help: &str,
    series: &[([(&'a str, &'a str); N], V)],
) {
    let mut family = text.family(name, kind, help);
    for (labels, value) in series {
        let labels: Labels<'_> = labels;
        family.value(labels, *value);
    }
}
