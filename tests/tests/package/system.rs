//! The life of the package by dpkg itself, with what it has dpkg run, on a system with systemd: a copy of this machine's
//! files, which is gone afterwards.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use testbed::{DEADLINE, Lab, Options, System, eventually, output_of};

use super::{make, text};

/// The units that the package brings.
const UNITS: [&str; 3] = ["netctl.service", "netctl.socket", "netctl-docker.socket"];
/// Where the machine's own bpf file system is.
const BPF_FS: &str = "/sys/fs/bpf";
const SETTINGS: &str = "/etc/netctl/netctl.toml";
/// Lists all of netctl's that a host can have, and where others have theirs.
const LOOK: &str = "
ip -o link | sed 's/^[0-9]*: \\([^:@]*\\).*/link \\1/'
nft list tables
ip netns
ip rule
find /sys/fs/bpf /run/netns /run/netctl /var/lib/netctl /usr/bin/netctl /etc/netctl -mindepth 1 2>/dev/null
cut -d' ' -f5 /proc/self/mountinfo
grep -H . /proc/sys/net/ipv4/conf/*/forwarding
systemctl list-unit-files --no-legend 'netctl*'
ls /etc/systemd/system
";

/// Has one container reach the other until that is to end, or far longer than all else here may take.
const PING: &str = "echo $$ >/run/ping; exec netctl exec box-a -- ping -i 0.01 -c 100000 b";
/// Has it say how many were answered.
const END_PING: &str = "kill -INT $(cat /run/ping)";

/// The same package as a later version.
fn later(package: &Path, dir: &Path) -> Result<PathBuf> {
    let (tree, made) = (dir.join("tree"), dir.join("later.deb"));
    output_of("dpkg-deb", ["--raw-extract", text(package)?, text(&tree)?])?.ok()?;
    let control = fs::read_to_string(tree.join("DEBIAN/control"))?;
    let lines = control.lines().map(|line| match line.strip_prefix("Version: ") {
        Some(version) => format!("Version: {version}+later\n"),
        None => format!("{line}\n"),
    });
    fs::write(tree.join("DEBIAN/control"), lines.collect::<String>())?;
    let words = ["--root-owner-group", "-Znone", "--build", text(&tree)?, text(&made)?];
    output_of("dpkg-deb", words)?.ok()?;
    Ok(made)
}

/// What dpkg, and what it runs, say. Triggers, of which manual pages have some, take long and are not the package's.
fn dpkg(system: &System, words: &[&str]) -> Result<String> {
    let done = system.run(["dpkg", "--no-triggers"].iter().chain(words))?;
    let said = format!("{}{}", done.stdout, done.stderr);
    done.ok()?;
    Ok(said)
}

fn netctl(system: &System, words: &str) -> Result<String> {
    system.ok(["netctl"].into_iter().chain(words.split(' ')))
}

/// Fails unless all units are there, now and after the next boot.
fn is_on(system: &System) -> Result<()> {
    for unit in UNITS {
        system.ok(["systemctl", "is-active", unit]).with_context(|| system.log())?;
        system.ok(["systemctl", "is-enabled", unit])?;
    }
    Ok(())
}

/// The daemon's process.
fn daemon(system: &System) -> Result<String> {
    system.ok(["systemctl", "show", "--property=MainPID", "--value", UNITS[0]])
}

/// Two containers, one of which reaches the other.
fn furnish(system: &System) -> Result<()> {
    netctl(system, "network create --subnet 10.1.0.0/24 dev")?;
    for name in ["a", "b"] {
        netctl(system, &format!("sandbox create box-{name}"))?;
        netctl(system, &format!("service publish {name}.dev"))?;
        netctl(system, &format!("service attach box-{name} {name}.dev"))?;
    }
    netctl(system, "exec box-a -- ping -c 1 -W 10 b").map(drop)
}

/// The number of the last echo that was answered.
fn last_answered(log: &str) -> Option<u32> {
    log.rsplit_once("icmp_seq=")?.1.split(' ').next()?.parse().ok()
}

/// Installs packages over what is installed: each brings another daemon, under which packets flow.
fn upgraded(system: &System, packages: [&str; 2], log: &Path) -> Result<()> {
    let links = system.ok(["ip", "-o", "link"])?;
    let mut ping = system.spawn(log, ["sh", "-c", PING])?;
    let mut daemons = BTreeSet::from([daemon(system)?]);
    for package in packages {
        dpkg(system, &["--install", package])?;
        ensure!(daemons.insert(daemon(system)?), "{daemons:?}");
        netctl(system, "status")?;
    }
    let before = last_answered(&ping.log());
    eventually("packets flow", DEADLINE, || {
        ensure!(ping.alive(), "it has ended: {}", ping.log());
        ensure!(last_answered(&ping.log()) > before.map(|last| last + 10), "none is answered");
        Ok(())
    })?;
    system.ok(["sh", "-c", END_PING])?;
    ping.wait(DEADLINE)?;
    // Of the last ones, some may have been on their way when ping was told to end.
    let said = ping.log();
    let answered = said.lines().find_map(|line| {
        line.split_once(" packets transmitted, ")?.1.split(' ').next()?.parse::<u32>().ok()
    });
    let last = last_answered(&said);
    ensure!(answered.is_some() && answered == last, "{answered:?} answered up to {last:?}");
    ensure!(system.ok(["ip", "-o", "link"])? == links, "links were {links}");
    let version = system.ok(["dpkg-query", "--show", "--showformat=${Version}", "netctl"])?;
    ensure!(version.ends_with("+later"), "{version}");
    Ok(())
}

/// All of netctl's that there is, and of others in the same places.
fn look(system: &System) -> Result<BTreeSet<String>> {
    Ok(system.ok(["sh", "-c", LOOK])?.lines().map(str::to_owned).collect())
}

/// Fails unless there is what there was before, but for what may be kept.
fn only_kept(system: &System, before: &BTreeSet<String>, kept: &[&str]) -> Result<()> {
    let now = look(system)?;
    let differing = now.symmetric_difference(before);
    let wrong: Vec<_> = differing.filter(|line| !kept.contains(&line.as_str())).collect();
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn a_package_is_installed_upgraded_removed_and_purged() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let [package, _archive] = make(&dir.path().join("out"))?;
    let later = later(&package, dir.path())?;
    let (package, later) = (text(&package)?, text(&later)?);
    let lab = Lab::start(Options { hosts: 1, daemons: false, ..Options::default() })?;
    let system = System::start(lab.host(1))?;
    // There is none for the machine, so that the daemon mounts one.
    system.ok(["umount", BPF_FS])?;
    let before = look(&system)?;

    dpkg(&system, &["--install", package])?;
    is_on(&system)?;
    furnish(&system)?;
    system.ok(["sh", "-c", &format!("echo '# mine' >>{SETTINGS}")])?;
    upgraded(&system, [package, later], &dir.path().join("ping"))?;

    // Others' things beside what is removed; `ip netns` mounts its directory over itself.
    let mine = |verbs: [&str; 4]| {
        let [link, table, netns, file] = verbs;
        let words = [
            format!("ip link {link}"),
            format!("nft {table} table inet mine"),
            format!("ip netns {netns} mine"),
            format!("{file} /run/netctl/mine"),
        ];
        words.iter().try_for_each(|words| system.ok(words.split(' ')).map(drop))
    };
    mine(["add mine type bridge", "add", "add", "touch"])?;
    let said = dpkg(&system, &["--remove", "netctl"])?;
    ensure!(said.contains("removed: device netctl-vx") && !said.contains("error"), "{said}");
    ensure!(said.contains(&format!("removed: bpf file system {BPF_FS}\n")), "{said}");
    mine(["delete mine", "delete", "delete", "rm"]).with_context(|| said.clone())?;
    let kept = ["host-id", "removed", "sandboxes", "store.db"]
        .map(|name| format!("/var/lib/netctl/{name}"));
    let kept = kept.iter().map(String::as_str).chain([SETTINGS, "/run/netns"]);
    only_kept(&system, &before, &kept.collect::<Vec<_>>()).context(said)?;
    ensure!(system.ok(["cat", SETTINGS])?.ends_with("# mine\n"), "the settings are others");

    // Who installs it again has the networks, and who purges it has nothing. What others mounted stays.
    system.ok(["mount", "-t", "bpf", "bpf", BPF_FS])?;
    dpkg(&system, &["--install", later])?;
    is_on(&system)?;
    ensure!(netctl(&system, "network ls -q")?.lines().count() == 1, "the network is gone");
    netctl(&system, "run --publish-service c.dev -- true")?;
    let said = dpkg(&system, &["--purge", "netctl"])?;
    ensure!(!said.contains("error"), "{said}");
    // Some kernels have files of their own in it (`kernel/bpf/preload`).
    let kept = ["/run/netns", BPF_FS, "/sys/fs/bpf/maps.debug", "/sys/fs/bpf/progs.debug"];
    only_kept(&system, &before, &kept).context(said)?;
    system.ok(["mountpoint", "--quiet", BPF_FS])?;
    drop(system);
    lab.end()
}
