//! The wall clock of a host is set while it works: forwards and back, by hours and by years. Nothing follows from that but
//! what people read.
//!
//! No namespace has a wall clock of its own, so that of host 1's daemon is faked by a library that is loaded before the C
//! library (libfaketime); the monotonic clock stays the kernel's, as it does where a clock is set.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{DEADLINE, Host, Lab, Options, Signal, Store, eventually};

use crate::{state, traffic::Traffic};

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

/// How long each time holds: longer than a host's lease.
const HOLDS: Duration = Duration::from_secs(18);

/// A clock for the programs that are started with its variables.
struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    fn new(dir: &Path) -> Result<Self> {
        let mut libraries = fs::read_dir("/usr/lib")?;
        let library = libraries.find_map(|entry| {
            let library = entry.ok()?.path().join("faketime/libfaketimeMT.so.1");
            library.exists().then_some(library)
        });
        let clock = Self { library: library.context("no libfaketime")?, file: dir.join("clock") };
        clock.set(0)?;
        Ok(clock)
    }

    /// Puts it so many seconds before or behind the right time, at once.
    fn set(&self, seconds: i64) -> Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        Ok(fs::rename(new, &self.file)?)
    }

    fn variables(&self) -> [(&str, String); 5] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            // The times of files are the kernel's.
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }

    /// What `netctl` says on `host` to somebody with this clock.
    fn netctl(&self, host: &Host, words: &[&str]) -> Result<String> {
        let mut command = host.command(["netctl"].iter().chain(words));
        command.envs(self.variables());
        testbed::output(command, DEADLINE)?.ok()
    }
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| text.to_owned())
}

fn now() -> Result<i64> {
    Ok(i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs())?)
}

/// Whether host 1, which has been up for less than ten minutes, says so by its own clock, and its cluster too.
fn ages_are_right(clock: &Clock, host: &Host, ahead: i64) -> Result<()> {
    let young = |started: &Value| -> Result<()> {
        let age = now()? + ahead - started.as_i64().context("no time")?;
        ensure!((-2..600).contains(&age), "up for {age} s");
        Ok(())
    };
    young(&json(&clock.netctl(host, &["status", "--format", "json"])?)?["started"])?;
    let up = clock.netctl(host, &["status"])?;
    let up = up.lines().find_map(|line| line.strip_prefix("Up")).context("no line of it")?.trim();
    ensure!(up.ends_with(" s") || up.ends_with(" min"), "up for {up}");
    let hosts = json(&host.ok(["host", "ls", "--format", "json"])?)?;
    let hosts = hosts.as_array().context("no list")?;
    ensure!(hosts.len() == 2, "{hosts:?}");
    let own = hosts.iter().find(|host| host["name"] == "h1").context("no h1")?;
    young(&own["started"]).context("as others see it")?;
    Ok(())
}

fn is_set_under_traffic(store: Store) -> Result<()> {
    let arguments = ["--reap-after", "30s"].map(String::from).into();
    let lab = Lab::start(Options { store, arguments, daemons: false, ..Options::default() })?;
    let clock = Clock::new(lab.dir())?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    for (name, value) in clock.variables() {
        h1.set_variable(name, &value);
    }
    lab.hosts().iter().try_for_each(|host| lab.start_daemon(host))?;
    Traffic::furnish(&lab)?;
    let mut traffic = Traffic::start(&lab, "0.01")?;
    let services = h2.ok(["service", "ls", "-q"])?;
    for (round, ahead) in [5 * HOUR, -5 * HOUR, 20 * YEAR, 0].into_iter().enumerate() {
        clock.set(ahead)?;
        // So it is seen that the daemon takes that for the time.
        let name = format!("c{round}.dev");
        h1.ok(["service", "publish", &name])?;
        let made = json(&h1.ok(["service", "inspect", &name])?)?;
        let created = made[0]["created"].as_i64().context("no time")?;
        ensure!((created - now()? - ahead).abs() < 60, "{created} is not {ahead} s ahead");
        let set = Instant::now();
        while set.elapsed() < HOLDS {
            traffic.goes_on()?;
            for (host, sandbox, other) in [(h1, "box1", "b"), (h2, "box2", "a")] {
                host.run(["netctl", "exec", sandbox, "ping", "-c", "1", "-W", "1", other])?
                    .ok()
                    .with_context(|| format!("{ahead} s ahead"))?;
                let hosts = json(&host.ok(["host", "ls", "--format", "json"])?)?;
                ensure!(hosts.as_array().is_some_and(|all| all.len() == 2), "{hosts}");
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        eventually("ages are right", DEADLINE, || ages_are_right(&clock, h1, ahead))
            .with_context(|| format!("{ahead} s ahead"))?;
        h1.ok(["service", "unpublish", &name])?;
    }
    ensure!(h2.ok(["service", "ls", "-q"])? == services, "other services than before");
    traffic.end_whole()?;
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    lab.end()
}

#[test]
fn it_is_set_while_a_file_is_the_store() -> Result<()> {
    is_set_under_traffic(Store::File)
}

#[test]
fn it_is_set_while_etcd_is_the_store() -> Result<()> {
    is_set_under_traffic(Store::Etcd)
}

/// What is said of a store that is away is how long that has been, not by how much the clock was set meanwhile.
#[test]
fn it_is_set_while_etcd_is_away() -> Result<()> {
    let lab = Lab::start(Options { store: Store::Etcd, daemons: false, ..Options::default() })?;
    let clock = Clock::new(lab.dir())?;
    let (h1, etcd) = (lab.host(1), lab.etcd().context("the lab has an etcd")?);
    for (name, value) in clock.variables() {
        h1.set_variable(name, &value);
    }
    lab.hosts().iter().try_for_each(|host| lab.start_daemon(host))?;
    Traffic::furnish(&lab)?;
    let mut traffic = Traffic::start(&lab, "0.01")?;
    etcd.stop(Signal::SIGKILL)?;
    eventually("it is said", DEADLINE, || {
        let said = clock.netctl(h1, &["status"])?;
        ensure!(said.contains(", not usable for "), "{said}");
        Ok(())
    })?;
    for ahead in [5 * HOUR, -5 * HOUR] {
        clock.set(ahead)?;
        let said = clock.netctl(h1, &["status"])?;
        let since = said.split(", not usable for ").nth(1).context("all is well")?;
        let since = since.split(':').next().unwrap_or_default();
        ensure!(since.ends_with(" s") || since.ends_with(" min"), "{ahead} s ahead: for {since}");
        traffic.goes_on()?;
    }
    etcd.start()?;
    eventually("all agrees", DEADLINE, || state::check(&lab))?;
    traffic.end_whole()?;
    lab.end()
}

/// The kernel stamps packets by its clock, and whoever captures them waits by that until none can be earlier: where it was set
/// back, those of before would be waited with for as long as that was.
#[test]
fn it_is_set_back_while_packets_are_captured() -> Result<()> {
    let lab = Lab::start(Options::default())?;
    let clock = Clock::new(lab.dir())?;
    let h1 = lab.host(1);
    Traffic::furnish(&lab)?;
    let mut traffic = Traffic::start(&lab, "0.01")?;
    clock.set(-5 * HOUR)?;
    let file = lab.dir().join("captured.pcapng").display().to_string();
    let words = ["capture", "--service", "a.dev", "-c", "50", "-w", &file, "icmp"];
    clock.netctl(h1, &words).context("it does not end")?;
    let seen = h1.run(["tcpdump", "-n", "-r", &file])?.ok()?;
    ensure!(seen.lines().filter(|line| line.contains("ICMP echo")).count() == 50, "{seen}");
    traffic.goes_on()?;
    traffic.end_whole()?;
    lab.end()
}
