//! What came of it, for people and for programs.

use serde::Serialize;

use super::findings::Finding;
use crate::bench::{Kind, Outcome};

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The host that measured.
    pub(super) from: String,
    /// The host that served.
    pub(super) to: String,
    /// The overlay network.
    pub(super) network: String,
    /// Of the overlay's interface, in bytes.
    pub(super) mtu: u32,
    /// How often each load ran on each path.
    pub(super) rounds: usize,
    /// For how long.
    pub(super) milliseconds: u64,
    pub(super) figures: Vec<Figure>,
    /// What limits the path, or could make it faster.
    pub(super) findings: Vec<Finding>,
}

/// One load: medians of its rounds.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Figure {
    pub(super) kind: Kind,
    pub(super) streams: usize,
    /// `Gb/s`, or `1/s` of turns and packets.
    pub(super) unit: &'static str,
    pub(super) overlay: Values,
    pub(super) underlay: Values,
    /// The overlay's rate as a share of the underlay's.
    pub(super) ratio: f64,
}

/// On one path.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Values {
    /// In the figure's unit.
    pub(super) rate: f64,
    /// How long half of the turns took at most, in microseconds.
    pub(super) p50_us: Option<f64>,
    /// How long 99 of 100 turns took at most, in microseconds.
    pub(super) p99_us: Option<f64>,
}

impl Figure {
    pub(super) fn new(
        kind: Kind,
        streams: usize,
        overlay: &[Outcome],
        underlay: &[Outcome],
    ) -> Self {
        let (scale, unit) = if kind == Kind::TcpStream { (1e9, "Gb/s") } else { (1.0, "1/s") };
        let values = |outcomes: &[Outcome]| Values {
            rate: median(outcomes.iter().map(|outcome| outcome.rate / scale)).unwrap_or(0.0),
            p50_us: median(outcomes.iter().filter_map(|outcome| outcome.p50_us)),
            p99_us: median(outcomes.iter().filter_map(|outcome| outcome.p99_us)),
        };
        let (overlay, underlay) = (values(overlay), values(underlay));
        let ratio = overlay.rate / underlay.rate;
        Self { kind, streams, unit, overlay, underlay, ratio }
    }

    fn title(&self) -> String {
        match self.kind {
            Kind::TcpStream if self.streams == 1 => "TCP, 1 stream".to_owned(),
            Kind::TcpStream => format!("TCP, {} streams", self.streams),
            Kind::TcpRr => "TCP request/response".to_owned(),
            Kind::TcpCrr => "TCP connections".to_owned(),
            Kind::UdpRr => "UDP request/response".to_owned(),
            Kind::UdpPps => "UDP, packets of 18 bytes".to_owned(),
        }
    }

    fn line(&self) -> String {
        let rate = |values: &Values| {
            if self.kind == Kind::TcpStream {
                format!("{:.2} Gb/s", values.rate)
            } else {
                format!("{:.0} /s", values.rate)
            }
        };
        let times = self.overlay.p50_us.zip(self.underlay.p50_us);
        let times = times.map(|(overlay, underlay)| {
            format!("   half within {overlay:.1} µs, without netctl {underlay:.1} µs")
        });
        format!(
            "{:<26}{:>14}{:>14}{:>8.2}{}\n",
            self.title(),
            rate(&self.overlay),
            rate(&self.underlay),
            self.ratio,
            times.unwrap_or_default()
        )
    }
}

impl Report {
    pub(super) fn text(&self) -> String {
        let Self { from, to, network, mtu, rounds, .. } = self;
        let seconds = std::time::Duration::from_millis(self.milliseconds).as_secs_f64();
        let mut text = format!(
            "{from} to {to} by network {network}, mtu {mtu}; medians of {rounds} rounds of {seconds} s\n\n\
             {:<26}{:>14}{:>14}{:>8}\n",
            "", "OVERLAY", "UNDERLAY", "RATIO"
        );
        text.extend(self.figures.iter().map(Figure::line));
        text += "\n";
        if self.findings.is_empty() {
            text += "Nothing was found that holds this path back, beyond what its CPUs can do.\n";
        }
        text.extend(
            self.findings.iter().map(|Finding { what, advice }| format!("- {what}\n  {advice}\n")),
        );
        text
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::Busy;

    pub(in crate::cli::bench) fn outcome(kind: Kind, rate: f64) -> Outcome {
        Outcome {
            kind,
            seconds: 1.0,
            count: 1000,
            rate,
            p50_us: (kind != Kind::TcpStream).then_some(10.0),
            p99_us: (kind != Kind::TcpStream).then_some(20.0),
            lost: None,
            sent: None,
            retransmits: (kind == Kind::TcpStream).then_some(0),
            congestion: None,
            segment: Some(1398),
            client: Busy::default(),
            server: Busy::default(),
            device: None,
        }
    }

    #[test]
    fn a_report_is_a_table_and_what_was_found() {
        let stream = |rate| outcome(Kind::TcpStream, rate);
        let turns = |rate| outcome(Kind::TcpRr, rate);
        let figures = vec![
            Figure::new(
                Kind::TcpStream,
                1,
                &[stream(9e9), stream(1e9), stream(8e9)],
                &[stream(1e10)],
            ),
            Figure::new(Kind::TcpRr, 1, &[turns(50_000.0)], &[turns(60_000.0)]),
        ];
        let mut report = Report {
            from: "h1".to_owned(),
            to: "h2".to_owned(),
            network: "dev".to_owned(),
            mtu: 1450,
            rounds: 3,
            milliseconds: 500,
            figures,
            findings: vec![Finding { what: "it rains".to_owned(), advice: "go in".to_owned() }],
        };
        assert_eq!(
            report.text(),
            "h1 to h2 by network dev, mtu 1450; medians of 3 rounds of 0.5 s\n\
             \n\
             \x20                                OVERLAY      UNDERLAY   RATIO\n\
             TCP, 1 stream                  8.00 Gb/s    10.00 Gb/s    0.80\n\
             TCP request/response            50000 /s      60000 /s    0.83   half within 10.0 µs, without netctl 10.0 µs\n\
             \n\
             - it rains\n\
             \x20 go in\n"
        );
        report.findings.clear();
        assert!(report.text().ends_with("beyond what its CPUs can do.\n"), "{}", report.text());
    }
}
