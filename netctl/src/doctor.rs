//! `netctl doctor`: finds what keeps packets from flowing, and says what mends it.
//!
//! Each family of checks has a file: it gathers facts first, and a judge, which does no I/O, says what is wrong with them.
//! All of it runs in the command, in the host's own namespaces, so that it works while the daemon is down; the daemon is
//! asked where it knows better. Nothing is changed but for what a probe of the path and one of the store leave for
//! seconds.

mod clock;
mod daemon;
mod devices;
mod finding;
mod hosts;
mod machine;
mod offloads;
mod paths;
mod probe;
mod programs;
mod sandboxes;
mod store;
mod transfer;
mod ways;

use std::{fmt::Display, path::Path};

pub use self::{
    finding::{Examined, Family, Finding, Report},
    offloads::{OffloadOff, offloads_off},
    paths::{Peer, Verdict, try_way},
    transfer::Transfer,
};
use crate::{
    api::Client,
    controller,
    kernel::{self, Netlink, Netns, check_privileges},
    model::{DaemonNote, Host, HostName, ServiceView},
};

/// What all families look with.
struct Patient<'a> {
    client: &'a Client,
    netlink: Netlink,
    /// Where the daemon's things are.
    note: DaemonNote,
    /// Whether it answers.
    alive: bool,
    cluster: Option<Cluster>,
}

/// What the store says, as far as it can be reached.
struct Cluster {
    hosts: Vec<Host>,
    services: Vec<ServiceView>,
}

/// Examines this host, whose daemon listens where `client` calls. Where that daemon has left no word of itself, its
/// things are where `otherwise` says.
///
/// # Errors
/// The process lacks capabilities, or the kernel does not let it look at all.
pub async fn examine(client: &Client, otherwise: DaemonNote) -> Result<Report, kernel::Error> {
    check_privileges()?;
    let run_dir = client.socket().parent().unwrap_or(Path::new("/"));
    let note = controller::noted(run_dir).unwrap_or(otherwise);
    let netlink = Netlink::open(&Netns::current()?).await?;
    let version = client.version().await;
    let alive = version.is_ok();
    let cluster = if alive { cluster(client).await } else { None };
    let patient = Patient { client, netlink, note, alive, cluster };
    let mut report = Report::new(patient.note.host.clone());
    report.add(Family::Daemon, Ok(daemon::judge(patient.host(), version, client.socket())));
    report.add(Family::Machine, machine::examine(&patient.note).await);
    report.add(Family::Devices, devices::examine(&patient).await);
    report.add(Family::Programs, programs::examine(&patient).await);
    report.add(Family::Store, store::examine(&patient).await);
    report.add(Family::Hosts, hosts::examine(&patient));
    report.add(Family::Paths, paths::examine(&patient).await);
    report.add(Family::Ways, ways::examine(&patient).await);
    report.add(Family::Sandboxes, sandboxes::examine(&patient).await);
    Ok(report)
}

async fn cluster(client: &Client) -> Option<Cluster> {
    let hosts = client.hosts().await.ok()?.into_iter().map(|view| view.host).collect();
    Some(Cluster { hosts, services: client.services(None).await.ok()? })
}

impl Patient<'_> {
    fn host(&self) -> &HostName {
        &self.note.host
    }
}

/// Why a family was not examined.
fn unseen(why: impl Display) -> String {
    why.to_string()
}

/// How much two clocks may differ, in seconds.
const SKEW: u64 = 5;

/// What has a daemon make its host anew as it is to be.
pub(crate) const RESTART: &str = "systemctl restart netctl";

/// What a daemon with nothing out of the ordinary leaves.
#[cfg(test)]
fn sound_note() -> DaemonNote {
    DaemonNote {
        host: "h1".parse().expect("a name"),
        state_dir: "/s".into(),
        bpf_dir: "/b".into(),
        underlay: Some("eth0".to_owned()),
        addresses: Vec::new(),
        vxlan_port: 4789,
    }
}
