//! What is said where it cannot be looked at all.

use anyhow::{Result, ensure};
use testbed::{Lab, Options, Signal};

#[test]
fn where_the_daemon_is_away_that_comes_first_and_the_rest_is_looked_at() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, ..Options::default() })?;
    let h1 = lab.host(1);
    h1.stop_daemon(Signal::SIGKILL)?;
    let output = h1.netctl(["doctor"])?;
    let lines: Vec<&str> = output.stdout.lines().collect();
    ensure!(output.code() == 1 && output.stderr.is_empty(), "{output:?}");
    ensure!(lines[0].starts_with("daemon: the daemon does not answer at "), "{lines:#?}");
    ensure!(lines[0].ends_with(" Mend it: systemctl start netctl"), "{lines:#?}");
    let skipped = "store: not looked at: the daemon is down, which tries it out";
    ensure!(lines.contains(&skipped), "{lines:#?}");
    ensure!(lines.last() == Some(&"ok: machine, devices, programs, ways, sandboxes"), "{lines:#?}");
    lab.end()
}

#[test]
fn it_takes_root() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, daemons: false, ..Options::default() })?;
    let output = lab.host(1).run([
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "netctl",
        "doctor",
    ])?;
    ensure!(output.code() == 1 && output.stderr.starts_with("error: "), "{output:?}");
    ensure!(output.stderr.contains("CAP_NET_ADMIN"), "{output:?}");
    lab.end()
}
