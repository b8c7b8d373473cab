//! A daemon that is told to end does so, whatever it waits for at that moment; the testbed waits for it for 20 s. What is
//! not waited for any longer is said, and the next daemon goes on from there.

use std::{
    fs,
    io::Write as _,
    os::unix::net::{UnixListener, UnixStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{sys::stat::Mode, unistd::mkfifo};
use testbed::{DEADLINE, Host, Lab, Options, Signal, Store, eventually};

use crate::state;

const SOON: Duration = Duration::from_secs(10);

/// Ends the daemon in good order, and gives what it has said since it was told to.
fn ended(host: &Host) -> Result<String> {
    let before = host.log().len();
    host.stop_daemon(Signal::SIGTERM).with_context(|| host.log())?;
    let said = host.log().split_off(before);
    ensure!(said.contains("stopping"), "it did not end in good order: {said}");
    Ok(said)
}

fn goes_on(lab: &Lab, host: &Host) -> Result<()> {
    lab.start_daemon(host)?;
    eventually("all agrees", DEADLINE, || state::check(lab))
}

/// In many networks, so that each look at them would wait for the store anew.
#[test]
fn while_etcd_is_frozen_and_a_request_waits_for_it() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, store: Store::Etcd, ..Options::default() })?;
    let host = lab.host(1);
    let etcd = lab.etcd().context("the lab has an etcd")?;
    let mut services = Vec::new();
    for number in 0..12 {
        host.ok(["network", "create", &format!("n{number}")])?;
        services.extend(["--publish-service".to_owned(), format!("a.n{number}")]);
    }
    let run = ["run", "--name", "box"].map(str::to_owned).into_iter();
    host.ok(run.chain(services).chain(["true".to_owned()]))?;
    etcd.signal(Signal::SIGSTOP)?;
    let mut request = host.spawn("request", ["netctl", "network", "create", "late"])?;
    // In the next full pass, which is due in 30 s at most, each network is looked at.
    std::thread::sleep(Duration::from_secs(31));
    ended(host)?;
    request.wait(SOON)?;
    // One that has started without the store ends too.
    lab.start_daemon(host)?;
    ended(host)?;
    etcd.signal(Signal::SIGCONT)?;
    goes_on(&lab, host)?;
    lab.end()
}

#[test]
fn while_a_plugin_does_not_answer() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    // It listens, and takes nobody's call.
    let stalled = UnixListener::bind(host.dir("plugin").join("stalled.sock"))?;
    let words = ["netctl", "network", "create", "-d", "stalled", "--subnet", "10.7.0.0/24", "n"];
    let mut request = host.spawn("request", words)?;
    let called = stalled.accept()?;
    let said = ended(host)?;
    ensure!(said.contains("requests are cut off: they took too long"), "{said}");
    request.wait(SOON)?;
    drop((called, stalled));
    fs::remove_file(host.dir("plugin").join("stalled.sock"))?;
    goes_on(&lab, host)?;
    ensure!(host.ok(["network", "ls", "-q"])?.is_empty(), "something is left of it");
    lab.end()
}

/// Who is told of events and reads none, who has asked half a question, and who has said nothing yet.
#[test]
fn while_clients_dawdle() -> Result<()> {
    let lab = Lab::start(Options {
        hosts: 1,
        arguments: ["--web-listen", "127.0.0.1:9090", "--metrics-listen", "127.0.0.1:9091"]
            .map(String::from)
            .into(),
        ..Options::default()
    })?;
    let host = lab.host(1);
    host.ok(["network", "create", "--subnet", "10.1.0.0/24", "dev"])?;
    host.ok(["run", "--name", "box", "--publish-service", "a.dev", "true"])?;
    let ask = |text: &str| -> Result<UnixStream> {
        let mut stream = UnixStream::connect(host.socket())?;
        stream.write_all(text.as_bytes())?;
        Ok(stream)
    };
    let waiting = [
        ask("GET /v1/events?drops=true&flows=true HTTP/1.1\r\nHost: netctl\r\n\r\n")?,
        ask("POST /v1/networks HTTP/1.1\r\nHost: netctl\r\nContent-Length: 9000\r\n\r\n{")?,
        ask("GET /v1/sta")?,
        ask("")?,
    ];
    let half =
        |port: u16| format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET / HT' >&3; sleep 1000");
    let script = [half(9090), half(9091)];
    let mut pages = [
        host.spawn("page", ["bash", "-c", &script[0]])?,
        host.spawn("metrics", ["bash", "-c", &script[1]])?,
    ];
    // Each of these packets begins a flow, of which the first client is told; it takes some hundred KiB of that.
    let flows = "for round in {1..40}; do for port in {1000..1100}; do \
                 echo > /dev/udp/10.1.0.1/$((port + round * 100)); done; sleep 0.1; done";
    host.run(["netctl", "exec", "box", "bash", "-c", flows])?.ok()?;
    let said = ended(host)?;
    ensure!(said.contains("requests are cut off: they took too long"), "{said}");
    drop(waiting);
    pages.iter_mut().try_for_each(|page| page.stop(Signal::SIGKILL, SOON))?;
    goes_on(&lab, host)?;
    lab.end()
}

/// A disk that never ends a write, made of a pipe that nobody reads.
#[test]
fn while_the_disk_does_not_answer() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let host = lab.host(1);
    host.ok(["network", "create", "dev"])?;
    host.ok(["run", "--name", "box", "--publish-service", "a.dev", "true"])?;
    let dir = host.dir("state").join("synced");
    let kept = eventually("the network is kept", SOON, || {
        let entry = fs::read_dir(&dir)?.next().context("nothing is kept")??;
        ensure!(entry.path().extension().is_some_and(|end| end == "json"), "{entry:?}");
        Ok(entry.path())
    })?;
    let pipe = kept.with_extension("new");
    mkfifo(&pipe, Mode::from_bits_truncate(0o600))?;
    host.ok(["run", "--name", "other", "--publish-service", "b.dev", "true"])?;
    eventually("it waits for the disk", SOON, || {
        let pid = host.daemon_pid().context("it is dead")?;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread that opens a pipe waits for who reads it (`wait_for_partner` in the kernel's fs/pipe.c).
            let place = fs::read_to_string(task?.path().join("wchan"))?;
            if place.contains("wait_for_partner") || place.contains("fifo_open") {
                return Ok(());
            }
        }
        anyhow::bail!("no thread waits for the pipe")
    })?;
    let said = ended(host)?;
    ensure!(said.contains("not waited for any longer"), "{said}");
    fs::remove_file(pipe)?;
    goes_on(&lab, host)?;
    lab.end()
}
