//! The figures: what each is, and of which load it is made.

use anyhow::{Result, bail};

use super::generator::{Cpus, Outcome, Traffic};

/// One thing that is measured on every path.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) load: Load,
    pub(super) value: fn(&Outcome) -> f64,
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
}

const fn across(kind: &'static str, streams: u8, cpus: Cpus) -> Load {
    Load::Across(Traffic { kind, streams, cpus })
}

fn gigabits(outcome: &Outcome) -> f64 {
    outcome.rate / 1e9
}

fn rate(outcome: &Outcome) -> f64 {
    outcome.rate
}

/// What the whole machine spent while it was counted.
fn cpu_per_gigabit(outcome: &Outcome) -> f64 {
    outcome.server.seconds / (gigabits(outcome) * outcome.seconds)
}

const fn more(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    load: Load,
    value: fn(&Outcome) -> f64,
) -> Figure {
    Figure { name, title, unit, better: Better::More, load, value }
}

const STREAM: Load = across("tcp_stream", 1, Cpus::Two);

/// A new figure is one more line here.
pub(super) const FIGURES: &[Figure] = &[
    more("tcp_stream_1", "TCP, 1 stream, a CPU for each end", "Gb/s", STREAM, gigabits),
    more(
        "tcp_stream_4",
        "TCP, 4 streams, a CPU for each end",
        "Gb/s",
        across("tcp_stream", 4, Cpus::Two),
        gigabits,
    ),
    more(
        "tcp_stream_1_same_cpu",
        "TCP, 1 stream, one CPU",
        "Gb/s",
        across("tcp_stream", 1, Cpus::One),
        gigabits,
    ),
    Figure {
        name: "cpu_s_per_gbit",
        title: "CPU time for a gigabit, 1 TCP stream, a CPU for each end",
        unit: "s/Gb",
        better: Better::Less,
        load: STREAM,
        value: cpu_per_gigabit,
    },
    more("tcp_rr", "TCP request/response, one CPU", "/s", across("tcp_rr", 1, Cpus::One), rate),
    more("udp_rr", "UDP request/response, one CPU", "/s", across("udp_rr", 1, Cpus::One), rate),
    more(
        "tcp_rr_2cpu",
        "TCP request/response, a CPU for each end",
        "/s",
        across("tcp_rr", 1, Cpus::Two),
        rate,
    ),
    more(
        "udp_rr_2cpu",
        "UDP request/response, a CPU for each end",
        "/s",
        across("udp_rr", 1, Cpus::Two),
        rate,
    ),
    more(
        "udp64_pps",
        "UDP, frames of 64 bytes, a CPU for each end",
        "packets/s",
        across("udp_pps", 1, Cpus::Two),
        rate,
    ),
    more(
        "udp64_pps_same_cpu",
        "UDP, frames of 64 bytes, one CPU",
        "packets/s",
        across("udp_pps", 1, Cpus::One),
        rate,
    ),
    more("tcp_crr", "TCP connections, one CPU", "/s", across("tcp_crr", 1, Cpus::One), rate),
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
}
