//! What was found, in a form for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::model::HostName;

/// What is looked at together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// The daemon itself.
    Daemon,
    /// The kernel and the machine's means.
    Machine,
    /// The underlay and the vxlan device.
    Devices,
    /// The eBPF programs and their pins.
    Programs,
    /// Where the state is.
    Store,
    /// The hosts of the cluster, as the store has them.
    Hosts,
    /// The way to each other host, by probes.
    Paths,
    /// Large TCP to one host, where that was asked for.
    Transfer,
    /// The way out, and the packet filter.
    Ways,
    /// Sandboxes, their interfaces and names, and what is left of them.
    Sandboxes,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Daemon => "daemon",
            Self::Machine => "machine",
            Self::Devices => "devices",
            Self::Programs => "programs",
            Self::Store => "store",
            Self::Hosts => "hosts",
            Self::Paths => "paths",
            Self::Transfer => "transfer",
            Self::Ways => "ways",
            Self::Sandboxes => "sandboxes",
        })
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which fault it is: one word for all time.
    pub id: &'static str,
    /// What has it: a device, a host, a sandbox, a file.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// Why that matters.
    pub why: &'static str,
    /// The host on which it is mended.
    pub on: HostName,
    /// What mends it.
    pub mend: String,
}

impl Finding {
    /// A finding that is mended on the host `on`, by `mend`.
    pub(super) fn new(
        id: &'static str,
        object: impl Into<String>,
        what: impl Into<String>,
        why: &'static str,
        on: &HostName,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            id,
            object: object.into(),
            what: what.into(),
            why,
            on: on.clone(),
            mend: mend.into(),
        }
    }
}

/// A family, and what became of looking at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Examined {
    /// Which.
    pub family: Family,
    /// Why it was not looked at, if so.
    pub skipped: Option<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The host that was examined.
    pub host: HostName,
    /// Every family, in the order of looking.
    pub families: Vec<Examined>,
}

impl Report {
    pub(super) fn new(host: HostName) -> Self {
        Self { host, families: Vec::new() }
    }

    pub(super) fn add(&mut self, family: Family, found: Result<Vec<Finding>, String>) {
        let (findings, skipped) = match found {
            Ok(findings) => (findings, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        self.families.push(Examined { family, skipped, findings });
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.families.iter().all(|examined| examined.findings.is_empty())
    }

    /// A line for each finding, and one for the families in which there is none.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        for Examined { family, findings, .. } in &self.families {
            for Finding { what, why, on, mend, .. } in findings {
                let on = if *on == self.host { String::new() } else { format!("on {on}: ") };
                lines.push(format!("{family}: {what}; {why}. Mend it: {on}{mend}\n"));
            }
        }
        for Examined { family, skipped, .. } in &self.families {
            lines.extend(skipped.iter().map(|why| format!("{family}: not looked at: {why}\n")));
        }
        let sound = self.families.iter().filter(|e| e.findings.is_empty() && e.skipped.is_none());
        let sound: Vec<String> = sound.map(|examined| examined.family.to_string()).collect();
        if !sound.is_empty() {
            lines.push(format!("ok: {}\n", sound.join(", ")));
        }
        lines.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_line_for_each_finding_and_one_for_what_is_sound() {
        let [h1, h2] = ["h1", "h2"].map(|name| name.parse::<HostName>().expect("a name"));
        let mut report = Report::new(h1.clone());
        report.add(Family::Daemon, Ok(vec![]));
        assert!(report.is_clean());
        let here = Finding::new("a", "eth0", "eth0 is down", "all is lost", &h1, "ip link");
        let there = Finding { on: h2, ..here.clone() };
        report.add(Family::Devices, Ok(vec![here, there]));
        report.add(Family::Store, Err("the daemon is down".to_owned()));
        report.add(Family::Machine, Ok(vec![]));
        assert_eq!(
            report.text(),
            "devices: eth0 is down; all is lost. Mend it: ip link\n\
             devices: eth0 is down; all is lost. Mend it: on h2: ip link\n\
             store: not looked at: the daemon is down\n\
             ok: daemon, machine\n"
        );
        assert!(!report.is_clean());
    }
}
