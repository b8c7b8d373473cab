//! What befalls etcd while containers talk: nothing of it costs them a packet, and all converges when it is over.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{DEADLINE, Etcd, Host, Lab, Options, Signal, Store, eventually};

use crate::{
    state,
    traffic::{Traffic, tell},
};

fn stage(store: Store) -> Result<(Lab, Traffic)> {
    let lab = Lab::start(Options { store, ..Options::default() })?;
    Traffic::furnish(&lab)?;
    let traffic = Traffic::start(&lab, "0.01")?;
    Ok((lab, traffic))
}

/// What a host says is wrong with the store, and since when, in seconds since the epoch; nothing where all is well.
fn trouble(host: &Host) -> Result<Option<(String, u64)>> {
    let status: Value = serde_json::from_str(&host.ok(["status", "--format", "json"])?)?;
    let Some(error) = status["store_error"].as_str() else { return Ok(None) };
    let since = status["store_error_since"].as_u64().context("it does not say since when")?;
    Ok(Some((error.to_owned(), since)))
}

/// Seconds since the epoch.
fn now() -> Result<u64> {
    Ok(SystemTime::UNIX_EPOCH.elapsed()?.as_secs())
}

/// Waits until each host says that the store is not usable for this reason.
fn is_said(lab: &Lab, reason: &str) -> Result<()> {
    eventually("each host says what is wrong", DEADLINE, || {
        for host in lab.hosts() {
            let (error, _) = trouble(host)?.context("all is well")?;
            ensure!(error.contains(reason), "{error}");
        }
        Ok(())
    })
}

/// Waits until a service that is made on one host is reached from the other, and all agrees; says how long that took.
fn converges(lab: &Lab, what: &str) -> Result<Duration> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    let begun = Instant::now();
    eventually("a service is made", DEADLINE, || {
        h1.ok(["run", "--name", "new", "--publish-service", "new.dev", "true"])
    })?;
    eventually("the other host knows it", DEADLINE, || {
        h2.run(["netctl", "exec", "box2", "ping", "-c", "1", "-W", "1", "new"])?.ok()
    })?;
    let took = begun.elapsed();
    tell(format_args!("{what}: converged after {took:?}"));
    h1.ok(["sandbox", "rm", "new"])?;
    eventually("all agrees", DEADLINE, || state::check(lab))?;
    for host in lab.hosts() {
        let trouble = trouble(host)?;
        ensure!(trouble.is_none(), "{}: {trouble:?}", host.name());
    }
    Ok(took)
}

/// The member that leads the others.
fn leader(lab: &Lab) -> Result<&Etcd> {
    let leads = |etcd: &&Etcd| leads(etcd);
    eventually("there is a leader", DEADLINE, || lab.etcds().iter().find(leads).context("none"))
}

fn leads(etcd: &Etcd) -> bool {
    let status = etcd.ctl(["endpoint", "status", "--write-out", "json"]).unwrap_or_default();
    let status: Value = serde_json::from_str(&status).unwrap_or_default();
    let status = &status[0]["Status"];
    !status["leader"].is_null() && status["leader"] == status["header"]["member_id"]
}

#[test]
fn a_member_and_a_leader_may_die() -> Result<()> {
    let (lab, mut traffic) = stage(Store::Etcds)?;
    let first = leader(&lab)?.own_url();
    let other = lab.etcds().iter().find(|etcd| etcd.own_url() != first).context("one")?;
    for (what, member) in [("a member killed", other), ("the leader killed", leader(&lab)?)] {
        member.stop(Signal::SIGKILL)?;
        // The two that are left are enough.
        converges(&lab, what)?;
        traffic.goes_on()?;
        member.start()?;
        converges(&lab, "a member is back")?;
    }
    traffic.end_whole()?;
    lab.end()
}

/// One that is frozen answers nobody, and keeps its connections. Nothing can be changed before the others have another
/// leader, which takes them 1 to 2 s by etcd's defaults (`--election-timeout`, and as much again by chance).
#[test]
fn a_leader_may_be_frozen() -> Result<()> {
    let (lab, mut traffic) = stage(Store::Etcds)?;
    for round in 1..=3 {
        let frozen = leader(&lab)?;
        let others: Vec<_> =
            lab.etcds().iter().filter(|etcd| etcd.own_url() != frozen.own_url()).collect();
        frozen.signal(Signal::SIGSTOP)?;
        let begun = Instant::now();
        let (elected, took) = thread::scope(|scope| -> Result<_> {
            let electing = scope.spawn(|| {
                eventually("another leads", DEADLINE, || {
                    others.iter().find(|etcd| leads(etcd)).context("none").map(|_| begun.elapsed())
                })
            });
            let took = converges(&lab, "the leader frozen")?;
            Ok((electing.join().expect("the thread ended by itself")?, took))
        })?;
        tell(format_args!(
            "round {round}: another led after {elected:?}, and all converged {:?} later",
            took.saturating_sub(elected)
        ));
        frozen.signal(Signal::SIGCONT)?;
        converges(&lab, "a member goes on")?;
        traffic.goes_on()?;
    }
    traffic.end_whole()?;
    lab.end()
}

/// 60 s: longer than the hosts' leases.
#[test]
fn all_members_may_be_away_under_traffic() -> Result<()> {
    let (lab, mut traffic) = stage(Store::Etcds)?;
    let killed = now()?;
    // Without a majority nothing is decided.
    for member in &lab.etcds()[1..] {
        member.stop(Signal::SIGKILL)?;
    }
    is_said(&lab, "cannot be reached")?;
    let said = now()?;
    lab.etcds()[0].stop(Signal::SIGTERM)?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_mins(1) {
        traffic.goes_on()?;
        lab.host(2).run(["netctl", "exec", "box2", "ping", "-c", "1", "-W", "1", "a"])?.ok()?;
    }
    is_said(&lab, "cannot be reached")?;
    for host in lab.hosts() {
        // It began after the kill, and before it was said first; and that is told to the nearest second.
        let (error, since) = trouble(host)?.context("all is well")?;
        ensure!((killed - 1..=said + 1).contains(&since), "{killed}, {since}, {said}: {error}");
        let shown = host.ok(["status"])?;
        ensure!(shown.contains(", not usable for "), "{shown}");
    }
    lab.etcds().iter().try_for_each(Etcd::launch)?;
    lab.etcds().iter().try_for_each(Etcd::wait)?;
    converges(&lab, "all members back")?;
    traffic.goes_on()?;
    traffic.end_whole()?;
    lab.end()
}

#[test]
fn a_compaction_is_caught_up_with_by_a_host_that_was_cut_off() -> Result<()> {
    let (lab, mut traffic) = stage(Store::Etcds)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["service", "publish", "old.dev"])?;
    let routes = |verb: &str| {
        h2.netns().ip((251..=253).map(|last| format!("route {verb} blackhole 192.0.2.{last}/32")))
    };
    routes("add")?;
    eventually("it is cut off", DEADLINE, || trouble(h2)?.context("all is well"))?;
    h1.ok(["service", "unpublish", "old.dev"])?;
    for number in 0..10 {
        let name = format!("c{number}");
        h1.ok(["run", "--name", &name, "--publish-service", &format!("{name}.dev"), "true"])?;
    }
    h1.ok(["sandbox", "rm", "c0"])?;
    let etcd = lab.etcd().context("the lab has an etcd")?;
    let status = etcd.ctl(["endpoint", "status", "--write-out", "json"])?;
    let status: Value = serde_json::from_str(&status)?;
    let revision = status[0]["Status"]["header"]["revision"].to_string();
    etcd.ctl(["compact", &revision])?;
    routes("del")?;
    converges(&lab, "after a compaction")?;
    h2.run(["netctl", "exec", "box2", "ping", "-c", "1", "c9"])?.ok()?;
    traffic.goes_on()?;
    traffic.end_whole()?;
    lab.end()
}

/// Its revisions go back, and then on by other changes, past those that the hosts wait for.
#[test]
fn what_was_put_back_to_an_earlier_state_is_followed() -> Result<()> {
    let (lab, mut traffic) = stage(Store::Etcds)?;
    let (h1, h2) = (lab.host(1), lab.host(2));
    let etcd = lab.etcd().context("the lab has an etcd")?;
    let file = lab.dir().join("snapshot");
    etcd.ctl(["snapshot", "save", &file.display().to_string()])?;
    h2.ok(["run", "--name", "late", "--publish-service", "late.dev", "true"])?;
    h1.run(["netctl", "exec", "box1", "ping", "-c", "1", "late"])?.ok()?;
    for member in lab.etcds() {
        member.stop(Signal::SIGTERM)?;
        member.restore(&file)?;
    }
    // What others write before the hosts are back is what they wait for by its number, and something else.
    let cut = |host: &Host, verb: &str| {
        host.netns().ip((251..=253).map(|last| format!("route {verb} blackhole 192.0.2.{last}/32")))
    };
    lab.hosts().iter().try_for_each(|host| cut(host, "add"))?;
    lab.etcds().iter().try_for_each(Etcd::launch)?;
    lab.etcds().iter().try_for_each(Etcd::wait)?;
    for number in 0..50 {
        etcd.ctl(["put", "/other", &number.to_string()])?;
    }
    lab.hosts().iter().try_for_each(|host| cut(host, "del"))?;
    eventually("it is gone", DEADLINE, || {
        let services = h1.ok(["service", "ls"])?;
        ensure!(!services.contains("late"), "{services}");
        state::check(&lab)
    })?;
    converges(&lab, "after a restore")?;
    traffic.goes_on()?;
    traffic.end_whole()?;
    lab.end()
}

#[test]
fn a_lease_that_ends_is_had_again_at_once() -> Result<()> {
    let (lab, mut traffic) = stage(Store::Etcd)?;
    let etcd = lab.etcd().context("the lab has an etcd")?;
    for _ in 0..3 {
        let leases = etcd.ctl(["lease", "list"])?;
        for lease in leases.lines().skip(1) {
            etcd.ctl(["lease", "revoke", lease])?;
        }
        let begun = Instant::now();
        eventually("both hosts are there", DEADLINE, || {
            let keys = etcd.ctl(["get", "--prefix", "--keys-only", "/netctl/v1/hosts/"])?;
            ensure!(keys.contains("hosts/h1") && keys.contains("hosts/h2"), "{keys}");
            Ok(())
        })?;
        tell(format_args!("a lease that ended was had again after {:?}", begun.elapsed()));
        traffic.goes_on()?;
    }
    converges(&lab, "after the end of leases")?;
    traffic.end_whole()?;
    lab.end()
}

#[test]
fn an_etcd_that_is_slow_makes_all_slow_and_nothing_wrong() -> Result<()> {
    let (lab, mut traffic) = stage(Store::Etcd)?;
    let etcd = lab.etcd().context("the lab has an etcd")?;
    // It stands still two thirds of the time.
    let done = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        let slow = scope.spawn(|| -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                etcd.signal(Signal::SIGSTOP)?;
                thread::sleep(Duration::from_millis(200));
                etcd.signal(Signal::SIGCONT)?;
                thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        });
        let worked = (|| {
            for number in 0..3 {
                let name = format!("slow{number}");
                lab.host(1).ok(["network", "create", &name])?;
                lab.host(2).ok([
                    "run",
                    "--rm",
                    "--publish-service",
                    &format!("s.{name}"),
                    "true",
                ])?;
                lab.host(2).ok(["network", "rm", &name])?;
                traffic.goes_on()?;
            }
            Ok(())
        })();
        done.store(true, Ordering::Relaxed);
        slow.join().expect("the thread ended by itself")?;
        worked
    })?;
    converges(&lab, "after a slow etcd")?;
    for _ in 0..3 {
        etcd.signal(Signal::SIGSTOP)?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(4) {
            traffic.goes_on()?;
        }
        etcd.signal(Signal::SIGCONT)?;
        traffic.goes_on()?;
    }
    converges(&lab, "after an etcd that paused")?;
    traffic.end_whole()?;
    lab.end()
}

#[test]
fn credentials_may_be_taken_away_and_given_again() -> Result<()> {
    let password = tempfile::NamedTempFile::new()?;
    std::fs::write(&password, "secret\n")?;
    let file = password.path().display().to_string();
    let lab = Lab::start(Options {
        store: Store::Etcd,
        daemons: false,
        arguments: ["--store-user", "netctl", "--store-password-file", &file]
            .map(String::from)
            .into(),
        ..Options::default()
    })?;
    let etcd = lab.etcd().context("the lab has an etcd")?;
    for words in [
        "user add root:root",
        "user grant-role root root",
        "role add netctl",
        "role grant-permission netctl --prefix=true readwrite /netctl/v1/",
        "user add netctl:secret",
        "user grant-role netctl netctl",
        "auth enable",
    ] {
        etcd.ctl(words.split(' '))?;
    }
    let root = |words: &str| etcd.ctl(["--user", "root:root"].into_iter().chain(words.split(' ')));
    lab.hosts().iter().try_for_each(|host| lab.start_daemon(host))?;
    Traffic::furnish(&lab)?;
    let mut traffic = Traffic::start(&lab, "0.01")?;
    for (take, give) in [
        ("user revoke-role netctl netctl", "user grant-role netctl netctl"),
        ("user delete netctl", "user add netctl:secret"),
    ] {
        root(take)?;
        eventually("each host says so", DEADLINE, || {
            lab.hosts().iter().try_for_each(|host| trouble(host)?.context("all is well").map(drop))
        })?;
        let refused = lab.host(1).netctl(["network", "create", "new"])?;
        ensure!(refused.code() == 1 && refused.stderr.contains(" refuses: "), "{refused:?}");
        traffic.goes_on()?;
        root(give)?;
        if give.starts_with("user add") {
            root("user grant-role netctl netctl")?;
        }
        eventually("all is well", DEADLINE, || {
            lab.hosts().iter().try_for_each(|host| {
                let trouble = trouble(host)?;
                ensure!(trouble.is_none(), "{trouble:?}");
                Ok(())
            })
        })?;
        let (h1, h2) = (lab.host(1), lab.host(2));
        h1.ok(["run", "--name", "new", "--publish-service", "new.dev", "true"])?;
        eventually("the other host knows it", DEADLINE, || {
            h2.run(["netctl", "exec", "box2", "ping", "-c", "1", "-W", "1", "new"])?.ok()
        })?;
        h1.ok(["sandbox", "rm", "new"])?;
        traffic.goes_on()?;
    }
    traffic.end_whole()?;
    lab.end()
}

#[test]
fn an_etcd_that_is_full_is_said_and_mended() -> Result<()> {
    let (lab, mut traffic) = stage(Store::Etcd)?;
    let etcd = lab.etcd().context("the lab has an etcd")?;
    etcd.stop(Signal::SIGTERM)?;
    etcd.set_arguments(&["--quota-backend-bytes=1048576"]);
    etcd.start()?;
    converges(&lab, "with a quota")?;
    let piece = "x".repeat(60_000);
    let filled =
        (0..100).find(|number| etcd.ctl(["put", &format!("/other/{number}"), &piece]).is_err());
    ensure!(filled.is_some(), "it is not full");
    let refused = lab.host(1).netctl(["network", "create", "new"])?;
    ensure!(
        refused.code() == 1
            && refused
                .stderr
                .contains(" refuses: its database is full (mvcc: database space exceeded)"),
        "{refused:?}"
    );
    let (error, _) = trouble(lab.host(1))?.context("all is well")?;
    ensure!(error.contains("its database is full"), "{error}");
    traffic.goes_on()?;

    etcd.ctl(["del", "--prefix", "/other/"])?;
    let status: Value =
        serde_json::from_str(&etcd.ctl(["endpoint", "status", "--write-out", "json"])?)?;
    etcd.ctl(["compact", &status[0]["Status"]["header"]["revision"].to_string()])?;
    etcd.ctl(["defrag"])?;
    etcd.ctl(["alarm", "disarm"])?;
    converges(&lab, "after room was made")?;
    traffic.end_whole()?;
    lab.end()
}
