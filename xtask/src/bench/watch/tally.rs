//! What was measured, and how it stands beside nobody looking.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::looks::Look;
use crate::bench::generator::Cpus;
use crate::bench::report::Spread;
use crate::bench::table;
use crate::measure::median;
use crate::say;

/// One thing that is measured while each looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Figure {
    Packets,
    PacketsTwo,
    Stream,
    Connections,
    /// What the whole machine spends on a packet, who looks and the daemons included.
    Machine,
    /// What a run of the program takes that puts outer headers on, or takes them off, while packets are sent.
    CountedOut,
    CountedIn,
    /// What the programs take by themselves: to a container of the same host, for a packet that is dropped, to another
    /// host, and from there.
    Beside,
    Astray,
    Across,
    Back,
}

impl Figure {
    const ALL: [Self; 11] = [
        Self::Packets,
        Self::PacketsTwo,
        Self::Stream,
        Self::Connections,
        Self::Machine,
        Self::CountedOut,
        Self::CountedIn,
        Self::Beside,
        Self::Astray,
        Self::Across,
        Self::Back,
    ];

    /// That of a load's rate.
    pub(super) fn rate(kind: &str, cpus: Cpus) -> Self {
        match (kind, cpus) {
            ("udp_pps", Cpus::One) => Self::Packets,
            ("udp_pps", _) => Self::PacketsTwo,
            ("tcp_crr", _) => Self::Connections,
            _ => Self::Stream,
        }
    }

    /// Its name and unit.
    fn words(self) -> [&'static str; 2] {
        match self {
            Self::Packets => ["udp64_pps_same_cpu", "packets/s"],
            Self::PacketsTwo => ["udp64_pps", "packets/s"],
            Self::Stream => ["tcp_stream_1", "b/s"],
            Self::Connections => ["tcp_crr", "1/s"],
            Self::Machine => ["machine_ns_per_packet", "ns (less is better)"],
            Self::CountedOut => ["counted_encap_ns", "ns (less is better)"],
            Self::CountedIn => ["counted_decap_ns", "ns (less is better)"],
            Self::Beside => ["alone_local_ns", "ns (less is better)"],
            Self::Astray => ["alone_drop_ns", "ns (less is better)"],
            Self::Across => ["alone_encap_ns", "ns (less is better)"],
            Self::Back => ["alone_decap_ns", "ns (less is better)"],
        }
    }
}

/// All values, in the order in which they were taken.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<(Figure, Look), Vec<f64>>);

impl Tally {
    pub(super) fn add(&mut self, figure: Figure, look: Look, value: f64) {
        self.0.entry((figure, look)).or_default().push(value);
    }

    fn of(&self, figure: Figure, look: Look) -> &[f64] {
        self.0.get(&(figure, look)).map_or(&[], Vec::as_slice)
    }

    /// The median of what each round gives beside nobody looking in the same round: the machine's mood goes with rounds.
    fn ratio(&self, figure: Figure, look: Look) -> f64 {
        let rounds = self.of(figure, look).iter().zip(self.of(figure, Look::Nobody));
        median(rounds.map(|(value, nobody)| value / nobody))
    }

    /// Prints each figure while nobody looks, and what it is times that while each does.
    pub(super) fn show(&self, of: &str) {
        out!(
            "\n{} ({of})",
            say::strong("While somebody looks, as times what it is while nobody does")
        );
        table::print(&self.ratios());
        out!("\n{}", say::strong("Half the range from lowest to highest, of the median"));
        table::print(&self.spreads());
    }

    fn figures(&self) -> impl Iterator<Item = Figure> {
        let taken = |figure: &Figure| !self.of(*figure, Look::Nobody).is_empty();
        Figure::ALL.into_iter().filter(taken)
    }

    fn ratios(&self) -> Vec<table::Row> {
        let mut rows = vec![head()];
        for figure in self.figures() {
            let mut row: table::Row = figure.words().map(str::to_owned).into();
            let nobody = median(self.of(figure, Look::Nobody).iter().copied());
            row.push(table::number(nobody));
            let others = Look::ALL.into_iter().filter(|look| *look != Look::Nobody);
            row.extend(others.map(|look| format!("{:.3}", self.ratio(figure, look))));
            rows.push(row);
        }
        rows
    }

    fn spreads(&self) -> Vec<table::Row> {
        let mut rows = vec![head()];
        for figure in self.figures() {
            let [name, _] = figure.words();
            let mut row = vec![name.to_owned(), String::new()];
            row.extend(Look::ALL.map(|look| {
                let spread = Spread::of(self.of(figure, look));
                spread.map_or_else(String::new, |s| format!("{:.1} %", s.relative() * 100.0))
            }));
            rows.push(row);
        }
        rows
    }

    /// All values, for programs.
    pub(super) fn raw(&self) -> Value {
        let figure = |figure: Figure| {
            let [name, unit] = figure.words();
            let values =
                Look::ALL.map(|look| (look.title().to_owned(), json!(self.of(figure, look))));
            let values: Map<String, Value> = values.into_iter().collect();
            (name.to_owned(), json!({ "unit": unit, "values": values }))
        };
        Value::Object(self.figures().map(figure).collect())
    }
}

fn head() -> table::Row {
    let titles = Look::ALL.map(Look::title);
    ["FIGURE", "UNIT"].into_iter().chain(titles).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_is_held_against_nobody_in_the_same_round() {
        let mut tally = Tally::default();
        for (nobody, monitor) in [(100.0, 90.0), (50.0, 45.0), (1000.0, 900.0)] {
            tally.add(Figure::Packets, Look::Nobody, nobody);
            tally.add(Figure::Packets, Look::Monitor, monitor);
        }
        assert!((tally.ratio(Figure::Packets, Look::Monitor) - 0.9).abs() < 1e-9);
        let rows = tally.ratios();
        assert_eq!(rows.len(), 2);
        let row = &rows[1];
        assert_eq!(row[..3], ["udp64_pps_same_cpu", "packets/s", "100.0"]);
        let monitor = Look::ALL.iter().position(|look| *look == Look::Monitor);
        assert_eq!(row[2 + monitor.expect("a look")], "0.900");
        assert_eq!(tally.raw()["udp64_pps_same_cpu"]["values"]["monitor"][2], 900.0);
    }
}
