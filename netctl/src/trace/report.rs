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
}

impl Report {
    /// A line for each hop, and one for the end.
    pub fn text(&self) -> String {
        let wide = self.hops.iter().map(|hop| hop.at.chars().count()).max().unwrap_or(0);
        let mut lines =
            vec![format!("{} from {} to {}", self.packet, self.source, self.destination)];
        for Hop { at, verdict, reason, what, mend } in &self.hops {
            let reason = reason.as_ref().map(|reason| format!("{reason}: ")).unwrap_or_default();
            lines.push(format!("  {verdict:<4}  {at:<wide$}  {reason}{what}"));
            let mend = mend.as_ref();
            lines.extend(mend.map(|mend| format!("{:1$}Mend it: {mend}", "", wide + 10)));
        }
        let last = self.hops.last().map(|hop| hop.at.as_str()).unwrap_or_default();
        let doubts = self.hops.iter().any(|hop| hop.verdict == Verdict::Unknown);
        lines.push(if !self.arrives {
            format!("It would stop at {last}.")
        } else if doubts {
            "It would arrive, unless what cannot be told from here stops it.".to_owned()
        } else {
            "It would arrive.".to_owned()
        });
        lines.join("\n") + "\n"
    }
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
        sender: &Sender<'_>,
        destination: &Destination,
        packet: &Packet,
    ) -> Report {
        Report {
            source: sender.to_string(),
            destination: destination.to_string(),
            packet: packet.to_string(),
            arrives: self.0.iter().all(|hop| hop.verdict != Verdict::Stop),
            hops: self.0,
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
        let report = |hops: Hops| Report {
            source: "a.dev".to_owned(),
            destination: "b.dev".to_owned(),
            packet: "A ping".to_owned(),
            arrives: hops.0.iter().all(|hop| hop.verdict != Verdict::Stop),
            hops: hops.0,
        };
        assert_eq!(
            report(hops).text(),
            "A ping from a.dev to b.dev\n\
             \x20 pass  sandbox box1  it leaves\n\
             \x20 STOP  program       unknown-vtep: nobody knows\n\
             \x20                     Mend it: restart it\n\
             It would stop at program.\n"
        );
        let mut hops = Hops::default();
        hops.doubt("host h2", "who knows");
        assert!(report(hops).text().ends_with("unless what cannot be told from here stops it.\n"));
        assert!(report(Hops::default()).text().ends_with("\nIt would arrive.\n"));
    }
}
