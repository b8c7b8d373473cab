//! The figures: what each is, and of which load it is made.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::generator::{Busy, Cpus, Outcome, Traffic};
use super::program::Costs;
use super::rig::Scene;

/// One thing that is measured on every path.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) load: Load,
    /// What it is, of what came of its load.
    pub(super) value: fn(&Measured) -> Option<f64>,
}

/// Which way a figure improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    More,
    Less,
}

/// What has to run for a figure. Figures of the same load are taken from the same run of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Between two hosts.
    Across(Traffic),
    /// Between two hosts whose underlay carries no packet longer than its MTU.
    Segmented(Traffic),
    /// On one host.
    Local(Traffic),
    /// Between containers of two engines.
    Engines(Traffic),
    /// The programs alone, with so many stations known.
    Programs(u32),
    /// Forged tunnel packets to a host.
    Flood(Forged),
    /// Request/response on one CPU, while the other sends and receives forged tunnel packets.
    Beside(Forged),
}

/// What is wrong with a tunnel packet. Its outer source is no host's, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forged {
    /// Its VNI is no network's.
    Network,
    /// Its network is there; its inner source is none of that.
    Source,
    /// The same, with a checksum in its outer header.
    Checksum,
}

/// What the generator says came of a flood.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Flooded {
    pub(super) sent: u64,
    pub(super) seconds: f64,
    pub(super) busy: Busy,
}

impl Load {
    /// Whether it runs on this path.
    pub(super) fn runs_on(self, path: &str) -> bool {
        match self {
            Self::Across(_) | Self::Segmented(_) | Self::Local(_) | Self::Engines(_) => true,
            Self::Programs(_) => path == "netctl",
            Self::Flood(_) | Self::Beside(_) => ["kernel_vxlan", "netctl"].contains(&path),
        }
    }

    /// Where it runs.
    pub(super) fn scene(self) -> Scene {
        match self {
            Self::Local(_) => Scene::OneHost,
            Self::Engines(_) => Scene::Engines,
            Self::Across(_)
            | Self::Segmented(_)
            | Self::Programs(_)
            | Self::Flood(_)
            | Self::Beside(_) => Scene::Hosts,
        }
    }
}

/// What came of one run of a load on one path.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Measured {
    Traffic(Outcome),
    Programs(Costs),
    Flood(Flooded),
    Beside { share: f64 },
}

impl Measured {
    fn traffic(&self) -> Option<&Outcome> {
        match self {
            Self::Traffic(outcome) => Some(outcome),
            Self::Programs(_) | Self::Flood(_) | Self::Beside { .. } => None,
        }
    }

    fn programs(&self) -> Option<Costs> {
        match self {
            Self::Programs(costs) => Some(*costs),
            Self::Traffic(_) | Self::Flood(_) | Self::Beside { .. } => None,
        }
    }
}

fn encap(measured: &Measured) -> Option<f64> {
    Some(measured.programs()?.encap_ns)
}

fn decap(measured: &Measured) -> Option<f64> {
    Some(measured.programs()?.decap_ns)
}

/// What the receiver spent on each, in nanoseconds.
fn cost_of_forged(measured: &Measured) -> Option<f64> {
    let Measured::Flood(flooded) = measured else { return None };
    #[expect(clippy::cast_precision_loss, reason = "some million packets")]
    Some(flooded.busy.softirq_seconds / flooded.sent as f64 * 1e9)
}

fn share(measured: &Measured) -> Option<f64> {
    let Measured::Beside { share } = measured else { return None };
    Some(*share)
}

const fn cost(
    name: &'static str,
    title: &'static str,
    load: Load,
    value: fn(&Measured) -> Option<f64>,
) -> Figure {
    Figure { name, title, unit: "ns", better: Better::Less, load, value }
}

const fn traffic(kind: &'static str, streams: u8, cpus: Cpus) -> Traffic {
    Traffic { kind, streams, cpus }
}

const STREAM: Traffic = traffic("tcp_stream", 1, Cpus::Two);
const STREAM_ONE_CPU: Traffic = traffic("tcp_stream", 1, Cpus::One);

const fn across(kind: &'static str, cpus: Cpus) -> Load {
    Load::Across(traffic(kind, 1, cpus))
}

const fn engines(kind: &'static str, cpus: Cpus) -> Load {
    Load::Engines(traffic(kind, 1, cpus))
}

const fn local(kind: &'static str) -> Load {
    Load::Local(traffic(kind, 1, Cpus::One))
}

fn gigabits(measured: &Measured) -> Option<f64> {
    Some(measured.traffic()?.rate / 1e9)
}

fn rate(measured: &Measured) -> Option<f64> {
    Some(measured.traffic()?.rate)
}

/// What the whole machine spent while it was counted.
fn cpu_per_gigabit(measured: &Measured) -> Option<f64> {
    let outcome = measured.traffic()?;
    Some(outcome.server.seconds / (outcome.rate / 1e9 * outcome.seconds))
}

const fn tcp(name: &'static str, title: &'static str, load: Load) -> Figure {
    Figure { name, title, unit: "Gb/s", better: Better::More, load, value: gigabits }
}

const fn turns(name: &'static str, title: &'static str, load: Load) -> Figure {
    Figure { name, title, unit: "1/s", better: Better::More, load, value: rate }
}

const fn packets(name: &'static str, title: &'static str, load: Load) -> Figure {
    Figure { name, title, unit: "packets/s", better: Better::More, load, value: rate }
}

/// A new figure is one more line here.
pub(super) const FIGURES: &[Figure] = &[
    tcp("tcp_stream_1", "TCP, 1 stream", Load::Across(STREAM)),
    tcp("tcp_stream_4", "TCP, 4 streams", Load::Across(traffic("tcp_stream", 4, Cpus::Two))),
    tcp("tcp_stream_1_same_cpu", "TCP, 1 stream, one CPU", Load::Across(STREAM_ONE_CPU)),
    Figure {
        name: "cpu_s_per_gbit",
        title: "CPU time per gigabit of TCP",
        unit: "s/Gb",
        better: Better::Less,
        load: Load::Across(STREAM),
        value: cpu_per_gigabit,
    },
    tcp(
        "tcp_stream_1_segmented",
        "TCP, 1 stream, one CPU, segmented underlay",
        Load::Segmented(STREAM_ONE_CPU),
    ),
    turns("tcp_rr", "TCP request/response, one CPU", across("tcp_rr", Cpus::One)),
    turns("udp_rr", "UDP request/response, one CPU", across("udp_rr", Cpus::One)),
    turns("tcp_rr_2cpu", "TCP request/response", across("tcp_rr", Cpus::Two)),
    turns("udp_rr_2cpu", "UDP request/response", across("udp_rr", Cpus::Two)),
    turns("tcp_crr", "TCP connections, one CPU", across("tcp_crr", Cpus::One)),
    packets("udp64_pps", "UDP in frames of 64 bytes", across("udp_pps", Cpus::Two)),
    packets(
        "udp64_pps_same_cpu",
        "UDP in frames of 64 bytes, one CPU",
        across("udp_pps", Cpus::One),
    ),
    cost("encap_ns", "encapsulation, 10 stations", Load::Programs(10), encap),
    cost("decap_ns", "decapsulation, 10 stations", Load::Programs(10), decap),
    cost("encap_ns_100k", "encapsulation, 100,000 stations", Load::Programs(100_000), encap),
    cost("decap_ns_100k", "decapsulation, 100,000 stations", Load::Programs(100_000), decap),
    cost(
        "forged_vni_ns",
        "a forged packet of an unknown network",
        Load::Flood(Forged::Network),
        cost_of_forged,
    ),
    cost(
        "forged_source_ns",
        "a forged packet from an unknown source",
        Load::Flood(Forged::Source),
        cost_of_forged,
    ),
    cost(
        "forged_checksum_ns",
        "the same, with an outer checksum",
        Load::Flood(Forged::Checksum),
        cost_of_forged,
    ),
    Figure {
        name: "beside_flood",
        title: "TCP request/response beside a flood",
        unit: "share",
        better: Better::More,
        load: Load::Beside(Forged::Source),
        value: share,
    },
    tcp("local_tcp_stream_1", "one host: TCP, 1 stream", local("tcp_stream")),
    turns("local_tcp_rr", "one host: TCP request/response", local("tcp_rr")),
    turns("local_tcp_crr", "one host: TCP connections", local("tcp_crr")),
    packets("local_udp64_pps", "one host: UDP in frames of 64 bytes", local("udp_pps")),
];

/// Those of `bench docker`.
pub(super) const OF_ENGINES: &[&Figure] = &[
    &tcp("tcp_stream_1", "TCP, 1 stream", engines("tcp_stream", Cpus::Two)),
    &tcp("tcp_stream_1_same_cpu", "TCP, 1 stream, one CPU", engines("tcp_stream", Cpus::One)),
    &turns("tcp_rr", "TCP request/response, one CPU", engines("tcp_rr", Cpus::One)),
    &packets("udp64_pps", "UDP in frames of 64 bytes", engines("udp_pps", Cpus::Two)),
    &packets(
        "udp64_pps_same_cpu",
        "UDP in frames of 64 bytes, one CPU",
        engines("udp_pps", Cpus::One),
    ),
];

/// The figures of these names, in the order of the table; all where none is named.
pub(super) fn chosen(names: &[String]) -> Result<Vec<&'static Figure>> {
    for name in names {
        if !FIGURES.iter().any(|figure| figure.name == name) {
            let known: Vec<&str> = FIGURES.iter().map(|figure| figure.name).collect();
            bail!("there is no figure {name}: there are {}", known.join(", "));
        }
    }
    let wanted = |figure: &&Figure| names.is_empty() || names.iter().any(|n| n == figure.name);
    Ok(FIGURES.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_figure_is_named_with_those_there_are() {
        let error = chosen(&["tcp_rr".to_owned(), "speed".to_owned()]).map(drop);
        let error = error.expect_err("unknown").to_string();
        assert!(error.starts_with("there is no figure speed: there are tcp_stream_1, "), "{error}");
    }

    #[test]
    fn figures_are_had_by_name_and_all_of_them_without() {
        let found = chosen(&["udp_rr".to_owned(), "tcp_rr".to_owned()]).expect("known");
        assert_eq!(
            found.iter().map(|figure| figure.name).collect::<Vec<_>>(),
            ["tcp_rr", "udp_rr"]
        );
        assert_eq!(chosen(&[]).expect("all").len(), FIGURES.len());
    }

    #[test]
    fn a_name_is_given_once() {
        for figure in FIGURES {
            let same = FIGURES.iter().filter(|other| other.name == figure.name);
            assert_eq!(same.count(), 1, "{}", figure.name);
        }
    }
}
