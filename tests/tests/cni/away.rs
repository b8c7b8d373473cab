//! The daemon or its store away, or not for this user.

use anyhow::{Context as _, Result, ensure};
use nix::{sys::signal::kill, unistd::Pid};
use serde_json::{Value, json};
use testbed::{Lab, Netns, Options, Signal, Store};

use crate::plugin::Attachment;

const TRY_AGAIN_LATER: u32 = 11;

#[test]
fn who_is_away_is_told_apart() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, store: Store::Etcd, ..Options::default() })?;
    let host = lab.host(1);
    let netns = Netns::new(lab.dir(), "c")?;
    let mut c = Attachment::new(host, "c", netns.path());
    c.add()?;
    c.silent("STATUS")?;
    let other = Netns::new(lab.dir(), "d")?;
    let mut d = Attachment::new(host, "d", other.path());

    let etcd = lab.etcd().context("the lab has an etcd")?;
    etcd.stop(Signal::SIGKILL)?;
    let later = |verb: &str, code: u32, part: &str| -> Result<()> {
        let said = if verb == "ADD" { d.ask(verb)? } else { c.ask(verb)? }.said;
        let sentence = said["msg"].as_str().unwrap_or_default();
        ensure!(said["code"] == code && sentence.contains(part), "{verb}: {said}");
        Ok(())
    };
    for (verb, code) in [("ADD", TRY_AGAIN_LATER), ("DEL", TRY_AGAIN_LATER), ("STATUS", 50)] {
        later(verb, code, "etcd")?;
    }
    host.stop_daemon(Signal::SIGTERM)?;
    for (verb, code) in [
        ("ADD", TRY_AGAIN_LATER),
        ("DEL", TRY_AGAIN_LATER),
        ("CHECK", TRY_AGAIN_LATER),
        ("STATUS", 51),
    ] {
        later(verb, code, "netctl daemon cannot be reached at")?;
    }
    etcd.start()?;
    lab.start_daemon(host)?;
    // Only root may ask, and one that does not answer is not waited for, for ever.
    let socket = host.socket().display().to_string();
    let mut command = host.command(["setpriv", "--reuid=65534", "--clear-groups", "netctl-cni"]);
    command.env("CNI_COMMAND", "STATUS");
    let denied = testbed::output_fed(command, &c.configuration.to_string(), testbed::DEADLINE)?;
    let sentence =
        format!("netctl daemon's socket {socket} is not for this user: run netctl as root");
    let said: Value = serde_json::from_str(&denied.stdout)?;
    ensure!(said["code"] == 5 && said["msg"] == sentence, "{denied:?}");
    let daemon = host.daemon_pid().context("no daemon")?;
    kill(Pid::from_raw(daemon), Signal::SIGSTOP)?;
    let stopped = c.clone().with(&json!({"timeout": 1})).ask("STATUS");
    kill(Pid::from_raw(daemon), Signal::SIGCONT)?;
    let sentence = format!("netctl daemon at {socket} has not answered within 1 s: see its log");
    stopped?.refused(51, &sentence)?;
    c.silent("STATUS")?;
    c.silent("CHECK")?;
    c.silent("DEL")?;
    d.add()?;
    d.silent("DEL")?;
    lab.end()
}
