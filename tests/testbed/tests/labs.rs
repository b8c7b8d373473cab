//! The lab itself, without daemons: what it makes, and that nothing of it stays.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::{
    Capture, Engine, EngineOptions, IMAGE, Lab, Options, Run, Store, Wiring, address, eventually,
    gone, sweep,
};

fn bare(hosts: u8) -> Options {
    Options { hosts, daemons: false, ..Options::default() }
}

#[test]
fn hosts_reach_each_other_and_a_capture_shows_it() -> Result<()> {
    let lab = Lab::start(Options { mtu: 1400, ..bare(3) })?;
    let capture = Capture::start(&lab.underlay(), "underlay", "icmp", "ping")?;
    lab.host(1).run(["ping", "-c", "1", "-W", "2", &lab.host(3).address()])?.ok()?;
    lab.external().run(["ping", "-c", "1", "-W", "2", &address(2)])?.ok()?;
    let link = lab.host(2).run(["ip", "link", "show", "eth0"])?.ok()?;
    assert!(link.contains("mtu 1400"), "{link}");
    let seen = eventually("four packets", Duration::from_secs(5), || {
        let seen = capture.read(&[])?;
        ensure!(seen.lines().count() >= 4, "{seen}");
        Ok(seen)
    })?;
    assert!(seen.contains("192.0.2.1 > 192.0.2.3: ICMP echo request"), "{seen}");
    assert!(capture.stop(&["-e"])?.contains("192.0.2.254 > 192.0.2.2"));
    lab.end()
}

#[test]
fn etcd_keeps_its_data_over_a_kill() -> Result<()> {
    let lab = Lab::start(Options { store: Store::Etcd, ..bare(1) })?;
    let etcd = lab.etcd().expect("the lab has an etcd");
    etcd.ctl(["put", "key", "value"])?;
    etcd.stop(Signal::SIGKILL)?;
    assert!(etcd.ctl(["--command-timeout=1s", "get", "key"]).is_err());
    etcd.start()?;
    assert_eq!(etcd.ctl(["get", "--print-value-only", "key"])?.trim(), "value");
    etcd.stop(Signal::SIGTERM)
}

#[test]
fn two_hosts_wired_directly_reach_each_other() -> Result<()> {
    let lab = Lab::start(Options { wiring: Wiring::Direct, ..bare(2) })?;
    lab.host(2).run(["ping", "-c", "1", "-W", "2", &address(1)])?.ok()?;
    Ok(())
}

#[test]
fn a_panic_leaves_nothing() {
    let (send, receive) = std::sync::mpsc::channel();
    let died = std::thread::spawn(move || {
        let lab = Lab::start(bare(1)).expect("make a lab");
        let process = lab.host(1).spawn("sleep", ["sleep", "1d"]).expect("start a process");
        send.send(lab.dir().to_owned()).expect("tell the directory");
        assert_eq!(process.pid(), 0, "this is the panic");
    });
    let dir = receive.recv().expect("the lab is up");
    assert!(died.join().is_err());
    gone(&dir).expect("nothing is left");
}

#[test]
fn a_command_that_hangs_is_ended_at_its_deadline() -> Result<()> {
    let lab = Lab::start(bare(1))?;
    let error = lab.host(1).run_within(Duration::from_millis(200), ["sleep", "1d"]);
    let error = format!("{:#}", error.expect_err("it cannot end by itself"));
    assert!(error.contains("`sleep 1d` did not end within 200ms"), "{error}");
    Ok(())
}

#[test]
fn a_lab_that_is_kept_is_found_again() -> Result<()> {
    // Not among the runs that another test may sweep: nobody holds this one for a moment.
    let dir = PathBuf::from(format!("/run/netctl-kept-{}", std::process::id()));
    let lock = || Run::lock(&dir).map(|run| run.expect("nobody else holds it"));
    Lab::start_in(lock()?, Options { store: Store::Etcd, ..bare(2) })?.keep()?;
    let run = lock()?;
    let lab = Lab::open(run)?.expect("the lab is there");
    lab.find("h2")?.run(["ping", "-c", "1", "-W", "2", &lab.find("external")?.address()])?.ok()?;
    lab.etcd().expect("the lab has an etcd").ctl(["endpoint", "health"])?;
    lab.end()?;
    gone(&dir)
}

/// Starts this very program again for one test only, which then plays the victim: it makes a lab
/// and writes where into the file that it is given. Gives the victim and the lab's directory.
fn victim(test: &str) -> Result<(Child, PathBuf)> {
    let told = tempfile::NamedTempFile::new()?;
    let child = Command::new(std::env::current_exe()?)
        .args(["--exact", test])
        .env(VICTIM, told.path())
        .stdout(Stdio::null())
        .spawn()?;
    let dir = eventually("the lab is up", Duration::from_secs(20), || {
        let dir = std::fs::read_to_string(told.path())?;
        ensure!(!dir.is_empty(), "nothing is said yet");
        Ok(PathBuf::from(dir))
    })?;
    Ok((child, dir))
}

const VICTIM: &str = "TESTBED_VICTIM";

/// What the victim does: a lab with processes of all kinds, until somebody ends it.
fn suffer(told: &Path) -> Result<()> {
    let lab = Lab::start(bare(2))?;
    let _process = lab.host(1).spawn("sleep", ["setsid", "sleep", "1d"])?;
    // A process that has shed its environment is found by the namespace that it is in.
    let _bare = lab.host(2).spawn("bare", ["env", "-i", "/bin/sleep", "1d"])?;
    // What is in a container has neither, and a control group besides.
    let engine = Engine::start(lab.host(1).netns(), EngineOptions::default())?;
    engine.ok(["run", "-d", IMAGE])?;
    std::fs::write(told, lab.dir().as_os_str().as_encoded_bytes())?;
    lab.host(1).run_within(Duration::from_hours(1), ["sleep", "1d"])?;
    Ok(())
}

#[test]
fn a_run_that_is_killed_is_swept_by_the_next() -> Result<()> {
    if let Some(told) = std::env::var_os(VICTIM) {
        return suffer(Path::new(&told));
    }
    let (mut victim, dir) = victim("a_run_that_is_killed_is_swept_by_the_next")?;
    kill(Pid::from_raw(victim.id().cast_signed()), Signal::SIGKILL)?;
    victim.wait()?;
    // Another test's lab may be the one that sweeps it.
    sweep()?;
    eventually("it is gone", Duration::from_secs(5), || {
        ensure!(!dir.exists(), "{} is left", dir.display());
        Ok(())
    })?;
    gone(&dir)
}

#[test]
fn a_run_that_is_interrupted_cleans_up_and_dies_of_the_signal() -> Result<()> {
    if let Some(told) = std::env::var_os(VICTIM) {
        testbed::clean_on_interrupt(|| drop(sweep()))?;
        return suffer(Path::new(&told));
    }
    let (mut victim, dir) = victim("a_run_that_is_interrupted_cleans_up_and_dies_of_the_signal")?;
    // What it sweeps last, was left by another.
    let (mut killed, left) = self::victim("a_run_that_is_killed_is_swept_by_the_next")?;
    kill(Pid::from_raw(killed.id().cast_signed()), Signal::SIGKILL)?;
    killed.wait()?;
    kill(Pid::from_raw(victim.id().cast_signed()), Signal::SIGINT)?;
    let status =
        eventually("it dies", Duration::from_secs(20), || victim.try_wait()?.context("it lives"))?;
    assert_eq!(status.signal(), Some(Signal::SIGINT as i32));
    gone(&left)?;
    gone(&dir)?;
    assert!(!dir.with_extension("lock").exists());
    Ok(())
}
