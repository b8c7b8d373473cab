//! What was found out, in a form for people and for programs.

use std::fmt;

use serde::Serialize;

use super::{
    packet::Packet,
    parties::{Destination, Sender},
};

/// What a hop does with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It passes.
    Pass,
    /// It stops here.
    Stop,
    /// That cannot be told from here.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Stop => "STOP",
            Self::Unknown => "?",
        })
    }
}

/// One place on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Where: a sandbox, a device, a program, a host.
    pub at: String,
    /// What it does.
    pub verdict: Verdict,
    /// Which way it ends there, by one word: a program's verdict or drop reason, or the fault.
    pub reason: Option<String>,
    /// That in a sentence.
    pub what: String,
    /// What mends it, where that is known.
    pub mend: Option<String>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Who sends: a service with its network.
    pub source: String,
    /// Whom it is for.
    pub destination: String,
    /// The packet in words.
    pub packet: String,
    /// The hops, as far as it would come.
    pub hops: Vec<Hop>,
    /// Whether it would arrive, as far as can be told from here.
    pub arrives: bool,
    /// The hops of the answer, where the packet arrives and there may be one.
    pub back: Vec<Hop>,
    /// Whether that would come back, as far as can be told from here; of none that is said.
    pub returns: bool,
}

impl Report {
    /// A line for each hop, and one for the end; and the same of the answer.
    pub fn text(&self) -> String {
        let all = self.hops.iter().chain(&self.back);
        let wide = all.map(|hop| hop.at.chars().count()).max().unwrap_or(0);
        let mut lines =
            vec![format!("{} from {} to {}", self.packet, self.source, self.destination)];
        show(&mut lines, &self.hops, wide, "arrive");
        if !self.back.is_empty() {
            lines.push(format!("The answer from {} to {}", self.destination, self.source));
            show(&mut lines, &self.back, wide, "come back");
        }
        lines.join("\n") + "\n"
    }
}

fn show(lines: &mut Vec<String>, hops: &[Hop], wide: usize, ends: &str) {
    for Hop { at, verdict, reason, what, mend } in hops {
        let reason = reason.as_ref().map(|reason| format!("{reason}: ")).unwrap_or_default();
        lines.push(format!("  {verdict:<4}  {at:<wide$}  {reason}{what}"));
        let mend = mend.as_ref();
        lines.extend(mend.map(|mend| format!("{:1$}Mend it: {mend}", "", wide + 10)));
    }
    let is = |verdict| hops.iter().any(|hop| hop.verdict == verdict);
    lines.push(if is(Verdict::Stop) {
        let last = hops.last().map(|hop| hop.at.as_str()).unwrap_or_default();
        format!("It would stop at {last}.")
    } else if is(Verdict::Unknown) {
        format!("It would {ends}, unless what cannot be told from here stops it.")
    } else {
        format!("It would {ends}.")
    });
}

/// The hops so far.
#[derive(Debug, Default)]
pub(super) struct Hops(Vec<Hop>);

impl Hops {
    fn add(
        &mut self,
        at: impl Into<String>,
        verdict: Verdict,
        reason: Option<&str>,
        what: impl Into<String>,
        mend: Option<String>,
    ) {
        let reason = reason.map(ToOwned::to_owned);
        self.0.push(Hop { at: at.into(), verdict, reason, what: what.into(), mend });
    }

    /// It passes there.
    pub(super) fn pass(&mut self, at: impl Into<String>, what: impl Into<String>) {
        self.add(at, Verdict::Pass, None, what, None);
    }

    /// It passes a program, in this way.
    pub(super) fn passes_by(&mut self, at: &str, way: &str, what: &str) {
        self.add(at, Verdict::Pass, Some(way), what, None);
    }

    /// That cannot be told.
    pub(super) fn doubt(&mut self, at: impl Into<String>, what: impl Into<String>) {
        self.add(at, Verdict::Unknown, None, what, None);
    }

    /// It stops there, for this reason.
    pub(super) fn stop(
        &mut self,
        at: impl Into<String>,
        reason: &str,
        what: impl Into<String>,
        mend: impl Into<Option<String>>,
    ) {
        self.add(at, Verdict::Stop, Some(reason), what, mend.into());
    }

    /// Whether it has stopped.
    pub(super) fn stopped(&self) -> bool {
        self.0.iter().any(|hop| hop.verdict == Verdict::Stop)
    }

    pub(super) fn report(
        self,
        back: Self,
        sender: &Sender<'_>,
        destination: &Destination,
        packet: &Packet,
    ) -> Report {
        Report {
            source: sender.to_string(),
            destination: destination.to_string(),
            packet: packet.to_string(),
            arrives: !self.stopped(),
            hops: self.0,
            returns: !back.stopped(),
            back: back.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_a_line_for_each_hop_and_one_for_the_end() {
        let mut hops = Hops::default();
        hops.pass("sandbox box1", "it leaves");
        hops.stop("program", "unknown-vtep", "nobody knows", "restart it".to_owned());
        let report = |hops: Hops, back: Hops| Report {
            source: "a.dev".to_owned(),
            destination: "b.dev".to_owned(),
            packet: "A ping".to_owned(),
            arrives: !hops.stopped(),
            hops: hops.0,
            returns: !back.stopped(),
            back: back.0,
        };
        let none = Hops::default;
        assert_eq!(
            report(hops, none()).text(),
            "A ping from a.dev to b.dev\n\
             \x20 pass  sandbox box1  it leaves\n\
             \x20 STOP  program       unknown-vtep: nobody knows\n\
             \x20                     Mend it: restart it\n\
             It would stop at program.\n"
        );
        let mut hops = Hops::default();
        hops.doubt("host h2", "who knows");
        let doubted = report(hops, none()).text();
        assert!(doubted.ends_with("unless what cannot be told from here stops it.\n"));
        assert!(report(none(), none()).text().ends_with("\nIt would arrive.\n"));
        let mut back = Hops::default();
        back.stop("from-underlay", "not-member", "it is none", None);
        assert_eq!(
            report(none(), back).text(),
            "A ping from a.dev to b.dev\n\
             It would arrive.\n\
             The answer from b.dev to a.dev\n\
             \x20 STOP  from-underlay  not-member: it is none\n\
             It would stop at from-underlay.\n"
        );
    }
}
