//! Somebody removes what a daemon has pinned, while it runs or while it is away: containers go on talking, and the pins come
//! back.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use testbed::{DEADLINE, Host, Lab, Options, Signal, Store, eventually};

use crate::{
    state,
    traffic::{Traffic, tell},
    upgrade::{OTHER, becomes, has_alone},
};

const SOON: Duration = Duration::from_secs(10);

/// The maps by which programs tell what they have seen; versions before 0.1 had none of them.
const EVENTS: [&str; 4] = ["EVENTS", "EVENTS_UNTIL", "LOOKS_UNTIL", "EVENT_BUDGETS"];

fn pins(host: &Host) -> PathBuf {
    host.dir("bpf").join(state::pins_dir())
}

/// What is pinned, by its path below the directory of pins.
fn pinned(host: &Host) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for kind in ["maps", "links"] {
        for entry in fs::read_dir(pins(host).join(kind))? {
            found.insert(PathBuf::from(kind).join(entry?.file_name()));
        }
    }
    Ok(found)
}

/// What somebody removes: a kind of pins, or all.
fn remove(host: &Host, kind: Option<&str>) -> Result<()> {
    let dir = pins(host);
    let dir = kind.map_or(dir.clone(), |kind| dir.join(kind));
    fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))
}

/// Takes away all that is pinned on a host. To unmount it is not enough: whoever made a mount namespace meanwhile has a copy.
pub(crate) fn unpin(host: &Host) -> Result<()> {
    // The file system has files of its own beside them.
    for version in fs::read_dir(host.dir("bpf"))? {
        let version = version?.path();
        if version.is_dir() {
            fs::remove_dir_all(version)?;
        }
    }
    Ok(())
}

#[test]
fn those_of_a_daemon_that_runs_are_put_back() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    Traffic::furnish(&lab)?;
    let mut traffic = Traffic::start(&lab, "0.01")?;
    for host in lab.hosts() {
        let before = pinned(host)?;
        for (number, kind) in [None, Some("maps"), Some("links")].into_iter().enumerate() {
            remove(host, kind)?;
            traffic.goes_on()?;
            eventually("the pins are back", SOON, || {
                let found = pinned(host)?;
                ensure!(found == before, "{found:?}, not {before:?}");
                Ok(())
            })?;
            // What takes their place is what was there: the next daemon finds it.
            lab.restart_daemon(host, Signal::SIGKILL)?;
            traffic.goes_on()?;
            // What is removed just before the end comes back with it.
            remove(host, kind)?;
            lab.restart_daemon(host, Signal::SIGTERM)?;
            traffic.goes_on()?;
            // What is made meanwhile is pinned too.
            remove(host, kind)?;
            let name = format!("new{number}");
            let service = format!("{name}.dev");
            host.ok(["run", "--name", &name, "--publish-service", &service, "true"])?;
            host.run(["netctl", "exec", &name, "ping", "-c", "1", "-W", "1", "a"])?.ok()?;
            host.ok(["sandbox", "rm", &name])?;
        }
    }
    traffic.end_whole()?;
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    lab.end()
}

/// What is attached has its maps still, and serves by them until new ones are filled.
#[test]
fn maps_of_a_daemon_that_is_away_are_made_anew_beside_the_old() -> Result<()> {
    let lab = Lab::start(Options { store: Store::Etcd, ..Options::default() })?;
    let etcd = lab.etcd().context("the lab has an etcd")?;
    Traffic::furnish(&lab)?;
    let mut traffic = Traffic::start(&lab, "0.01")?;
    let mut exchanges = 0;
    for host in lab.hosts() {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            for maps in [&["FDB"][..], &[]] {
                host.stop_daemon(signal)?;
                for map in maps {
                    fs::remove_file(pins(host).join("maps").join(map))?;
                }
                if maps.is_empty() {
                    remove(host, Some("maps"))?;
                }
                lab.start_daemon(host)?;
                eventually("it has taken over", DEADLINE, || has_alone(host, &state::pins_dir()))?;
                traffic.goes_on()?;
                exchanges += 1;
            }
        }
    }
    // Nobody knows what belongs into them before the store is there.
    let host = lab.host(1);
    host.stop_daemon(Signal::SIGTERM)?;
    remove(host, Some("maps"))?;
    etcd.stop(Signal::SIGKILL)?;
    lab.start_daemon(host)?;
    traffic.goes_on()?;
    // Twice in a row: what was half filled is whole, and stays beside what serves.
    host.stop_daemon(Signal::SIGKILL)?;
    remove(host, Some("maps"))?;
    lab.start_daemon(host)?;
    traffic.goes_on()?;
    etcd.start()?;
    eventually("it has taken over", DEADLINE, || has_alone(host, &state::pins_dir()))?;
    let (sent, lost) = traffic.end()?;
    tell(format_args!("{lost} of {sent} echoes were lost in {} exchanges", exchanges + 1));
    ensure!(lost == 0, "{lost} of {sent} echoes were lost");
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    lab.end()
}

/// As those of a version that had no such maps: it is adopted, and taken over from, as any other.
#[test]
fn maps_that_an_earlier_version_did_not_have_are_made() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    Traffic::furnish(&lab)?;
    let mut traffic = Traffic::start(&lab, "0.01")?;
    let tells = |host: &Host, log: &str, sandbox: &str, other: &str| -> Result<()> {
        let mut monitor = host.spawn(log, ["netctl", "monitor", "--flows"])?;
        let send = format!("echo > /dev/udp/{other}/9");
        eventually("a flow is told", SOON, || {
            host.run(["netctl", "exec", sandbox, "bash", "-c", &send])?.ok()?;
            ensure!(monitor.log().contains(":9"), "{}", monitor.log());
            Ok(())
        })?;
        monitor.stop(Signal::SIGKILL, SOON)
    };
    let boxes = [("box1", "10.1.0.3"), ("box2", "10.1.0.2")];
    for (host, (sandbox, other)) in lab.hosts().iter().zip(boxes) {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let links: BTreeSet<_> =
                pinned(host)?.into_iter().filter(|pin| pin.starts_with("links")).collect();
            host.stop_daemon(signal)?;
            for map in EVENTS {
                fs::remove_file(pins(host).join("maps").join(map))?;
            }
            lab.start_daemon(host)?;
            traffic.goes_on()?;
            has_alone(host, &state::pins_dir())?;
            let found = pinned(host)?;
            ensure!(
                EVENTS.iter().all(|map| found.contains(&PathBuf::from("maps").join(map)))
                    && links.is_subset(&found),
                "{found:?}"
            );
            tells(host, &format!("monitor-{sandbox}-{signal}"), sandbox, other)?;
        }
        // The same where another layout comes after it, and where that goes back.
        for layout in [OTHER.to_owned(), state::pins_dir()] {
            host.stop_daemon(Signal::SIGTERM)?;
            let before =
                fs::read_dir(host.dir("bpf"))?.filter_map(|entry| Some(entry.ok()?.path())).find(
                    |path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('v')),
                );
            let maps = before.context("nothing is pinned")?.join("maps");
            for map in EVENTS {
                fs::remove_file(maps.join(map))?;
            }
            becomes(host, &layout);
            lab.start_daemon(host)?;
            eventually("it has taken over", DEADLINE, || has_alone(host, &layout))?;
            traffic.goes_on()?;
            tells(host, &format!("monitor-{sandbox}-{layout}"), sandbox, other)?;
        }
    }
    let (sent, lost) = traffic.end()?;
    tell(format_args!("{lost} of {sent} echoes were lost in 4 exchanges and 4 adoptions"));
    // As long as so many echoes take, in each exchange.
    ensure!(lost < 4 * 100, "{lost} of {sent} echoes were lost");
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    lab.end()
}
