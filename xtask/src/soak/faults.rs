//! What happens.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::random::Random;
use testbed::{Etcd, Host, Lab, Signal, eventually};

use super::HOSTS;

fn host(random: &Random) -> usize {
    random.below(HOSTS)
}

fn seconds(random: &Random, least: usize, most: usize) -> Duration {
    let milliseconds = least * 1000 + random.below((most - least) * 1000 + 1);
    Duration::from_millis(milliseconds as u64)
}

/// A fault; hosts and members are counted from 0.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// A daemon dies, and is started again after a while.
    DaemonKilled { host: usize },
    /// A daemon is restarted in good order.
    DaemonRestarted { host: usize },
    /// A member of etcd is held up.
    MemberPaused { member: usize },
    /// A member of etcd dies, and is started again.
    MemberKilled { member: usize },
    /// All of etcd dies, and is started again.
    StoreKilled,
    /// A host is cut off from the underlay.
    CutOff { host: usize },
    /// A host's own device goes down and up.
    DeviceFlapped { host: usize },
    /// An endpoint is published, attached, detached and removed, on hosts of its own.
    Churn { host: usize, other: usize },
    /// Somebody removes the host's table of the packet filter.
    TableRemoved { host: usize },
    /// The store forgets its history.
    Compacted,
    /// Somebody removes all that a daemon has pinned, while it runs.
    PinsRemoved { host: usize },
    /// Somebody removes the pins of all maps while the daemon is away.
    MapsRemoved { host: usize },
}

impl Fault {
    pub(super) fn any(random: &Random) -> Self {
        let (host, member) = (host(random), host(random));
        match random.below(15) {
            0 | 1 => Self::DaemonKilled { host },
            2 => Self::DaemonRestarted { host },
            3 => Self::MemberPaused { member },
            4 => Self::MemberKilled { member },
            5 => Self::StoreKilled,
            6 => Self::CutOff { host },
            7 => Self::DeviceFlapped { host },
            8..=10 => Self::Churn { host, other: member },
            11 => Self::TableRemoved { host },
            12 => Self::PinsRemoved { host },
            13 => Self::MapsRemoved { host },
            _ => Self::Compacted,
        }
    }

    /// The host that can send and receive nothing meanwhile.
    pub(super) fn cuts(self) -> impl Iterator<Item = usize> {
        let cut = match self {
            Self::CutOff { host } | Self::DeviceFlapped { host } => Some(host),
            Self::DaemonKilled { .. }
            | Self::DaemonRestarted { .. }
            | Self::MemberPaused { .. }
            | Self::MemberKilled { .. }
            | Self::StoreKilled
            | Self::Churn { .. }
            | Self::TableRemoved { .. }
            | Self::Compacted
            | Self::PinsRemoved { .. }
            | Self::MapsRemoved { .. } => None,
        };
        cut.into_iter()
    }

    pub(super) fn bring_about(self, lab: &Lab, random: &Random) -> Result<()> {
        match self {
            Self::DaemonKilled { host } => {
                let host = &lab.hosts()[host];
                host.stop_daemon(Signal::SIGKILL)?;
                sleep(seconds(random, 0, 3));
                lab.start_daemon(host)
            }
            Self::DaemonRestarted { host } => {
                lab.restart_daemon(&lab.hosts()[host], Signal::SIGTERM)
            }
            Self::MemberPaused { member } => {
                let member = &lab.etcds()[member];
                member.signal(Signal::SIGSTOP)?;
                sleep(seconds(random, 1, 8));
                member.signal(Signal::SIGCONT)
            }
            Self::MemberKilled { member } => {
                let member = &lab.etcds()[member];
                member.stop(Signal::SIGKILL)?;
                sleep(seconds(random, 0, 5));
                member.start()
            }
            Self::StoreKilled => {
                lab.etcds().iter().try_for_each(|member| member.stop(Signal::SIGKILL))?;
                sleep(seconds(random, 1, 10));
                lab.etcds().iter().try_for_each(Etcd::launch)?;
                lab.etcds().iter().try_for_each(Etcd::wait)
            }
            Self::CutOff { host } => {
                let (underlay, port) = (lab.underlay(), lab.hosts()[host].name());
                underlay.ip([format!("link set {port} down")])?;
                sleep(seconds(random, 1, 6));
                underlay.ip([format!("link set {port} up")])
            }
            Self::DeviceFlapped { host } => {
                let netns = lab.hosts()[host].netns();
                netns.ip(["link set eth0 down"])?;
                sleep(seconds(random, 0, 2));
                netns.ip(["link set eth0 up"])
            }
            Self::Churn { host, other } => churn(lab, host, other, random),
            Self::TableRemoved { host } => {
                // Where it is being made anew at this moment, there is none.
                lab.hosts()[host].run(["nft", "delete", "table", "inet", "netctl"]).map(drop)
            }
            Self::Compacted => compact(lab),
            Self::PinsRemoved { host } => {
                let host = &lab.hosts()[host];
                let pins = pins(host)?;
                fs::remove_dir_all(&pins)?;
                eventually("the pins are back", super::PATIENCE, || {
                    ensure!(pins.join("links").exists(), "there is no {}", pins.display());
                    Ok(())
                })
            }
            Self::MapsRemoved { host } => {
                let host = &lab.hosts()[host];
                host.stop_daemon(Signal::SIGTERM)?;
                fs::remove_dir_all(pins(host)?.join("maps"))?;
                lab.start_daemon(host)
            }
        }
    }
}

/// Where a daemon's own pins are: below `v` and a number, the lowest where what is set aside is there too.
fn pins(host: &Host) -> Result<PathBuf> {
    let number = |entry: io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let number = path.file_name()?.to_str()?.strip_prefix('v')?.parse::<u32>().ok()?;
        Some((number, path))
    };
    let versions = fs::read_dir(host.dir("bpf"))?.filter_map(number);
    versions.min().map(|(_, path)| path).context("nothing is pinned")
}

fn churn(lab: &Lab, host: usize, other: usize, random: &Random) -> Result<()> {
    let name = format!("guest-{:x}.soak", random.next());
    lab.hosts()[other].ok(["service", "publish", &name])?;
    let (host, guest) = (&lab.hosts()[host % HOSTS], format!("guest{}", host + 1));
    host.ok(["service", "attach", &guest, &name])?;
    super::state::converged(lab, super::PATIENCE)?;
    host.ok(["service", "detach", &guest, &name])?;
    lab.hosts()[other].ok(["service", "unpublish", &name]).map(drop)
}

fn compact(lab: &Lab) -> Result<()> {
    let member = lab.etcds().first().context("no etcd")?;
    let status: Value = serde_json::from_str(&member.ctl(["endpoint", "status", "-w", "json"])?)?;
    let revision = status.pointer("/0/Status/header/revision").and_then(Value::as_u64);
    let revision = revision.with_context(|| format!("no revision in {status}"))?;
    // Where nothing has happened since the last time, etcd refuses.
    drop(member.ctl(["compaction", &revision.to_string()]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::mem::discriminant;

    use super::*;

    #[test]
    fn a_seed_has_the_same_faults_again_and_all_kinds_come() {
        let faults = |seed| {
            let random = Random::new(seed);
            let names = |_| format!("{:?}", Fault::any(&random));
            (0..300).map(names).collect::<Vec<_>>()
        };
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
        let kinds: BTreeSet<_> = faults(7)
            .into_iter()
            .filter_map(|name| name.split(' ').next().map(str::to_owned))
            .collect();
        assert_eq!(kinds.len(), 12, "{kinds:?}");
    }

    #[test]
    fn only_hosts_without_a_way_may_lose_packets() {
        let random = Random::new(7);
        for fault in (0..300).map(|_| Fault::any(&random)) {
            let cut = [Fault::CutOff { host: 0 }, Fault::DeviceFlapped { host: 0 }];
            let may = cut.iter().any(|cut| discriminant(cut) == discriminant(&fault));
            assert_eq!(fault.cuts().next().is_some(), may, "{fault:?}");
        }
    }
}
