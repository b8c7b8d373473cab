//! Plugins that are not there, or not what they should be, or do not answer.

use std::{fs, thread, time::Duration};

use anyhow::{Result, ensure};
use testbed::eventually;

use crate::{Plugin, Resting, container, exec, lab, ok, refused};

#[test]
fn who_is_no_driver_is_told_apart() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let dir = host.dir("plugin").display().to_string();
    refused(
        host,
        "network create -d cable far",
        &format!(
            "there is no driver cable: use one of bridge, host, null, overlay, or a plugin, of which none is called so in {dir}"
        ),
    )?;
    fs::write(host.dir("plugin").join("cable.spec"), "cable")?;
    refused(
        host,
        "network create -d cable far",
        &format!(
            "plugin cable: {dir}/cable.spec is not usable: \"cable\" is no URL such as unix:///run/plugin.sock or \
             tcp://host:port"
        ),
    )?;
    let shown = ok(host, &format!("config show --plugin-dir {dir}:/b"))?;
    ensure!(
        shown.lines().any(|line| line.starts_with("plugin-dir") && line.contains("/b")),
        "{shown}"
    );
    lab.end()
}

/// A plugin that is away holds up nobody else, and what it carries stays; what it has to remove it removes when it is
/// back.
#[test]
fn a_plugin_that_is_away_holds_up_nobody_else() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let resting = Resting::of(&lab)?;
    let mut plugin = Plugin::start(host, "cable")?;
    ok(host, "network create -d cable --subnet 10.77.0.0/24 far")?;
    ok(host, "network create -d bridge near")?;
    container(host, "a")?;
    container(host, "b")?;
    plugin.behave("NetworkDriver.CreateEndpoint", "stall")?;
    ok(host, "service publish c.far")?;
    ok(host, "sandbox create box-c")?;
    thread::scope(|scope| -> Result<()> {
        let slow = scope.spawn(|| {
            host.run_within(
                Duration::from_mins(1),
                ["netctl", "service", "attach", "box-c", "c.far"],
            )
        });
        eventually("the plugin is asked", Duration::from_secs(10), || {
            let calls = plugin.calls()?;
            ensure!(calls.iter().any(|(method, _)| method == "CreateEndpoint"), "{calls:?}");
            Ok(())
        })?;
        // The loop goes on: another network of this host is served meanwhile.
        ok(host, "service publish d.near")?;
        ok(host, "service attach box-a d.near")?;
        exec(host, "box-a", "ping -c 1 -W 1 10.77.0.3")?;
        ensure!(!slow.is_finished(), "it has not waited for the plugin");
        let output = slow.join().expect("the thread ended by itself")?;
        ensure!(
            output.stderr
                == "error: plugin cable has not answered NetworkDriver.CreateEndpoint within 30 s\n",
            "{output:?}"
        );
        Ok(())
    })?;
    plugin.be_good()?;
    plugin.kill()?;
    exec(host, "box-a", "ping -c 1 -W 1 10.77.0.3")?;
    ok(host, "service detach box-a d.near")?;
    let socket = host.dir("plugin").join("cable.sock").display().to_string();
    plugin.run(host, "cable", &socket)?;
    for words in [
        "sandbox rm box-a",
        "sandbox rm box-b",
        "sandbox rm box-c",
        "service unpublish a.far",
        "service unpublish b.far",
        "service unpublish c.far",
        "service unpublish d.near",
        "network rm far",
        "network rm near",
    ] {
        ok(host, words)?;
    }
    eventually("nothing is left", Duration::from_mins(1), || resting.check(&lab, &plugin))?;
    lab.end()
}

/// It has done what it was asked, and has not said so.
#[test]
fn a_plugin_that_dies_in_the_middle_of_an_answer_is_told_to_undo_it() -> Result<()> {
    let lab = lab()?;
    let host = lab.host(1);
    let resting = Resting::of(&lab)?;
    let mut plugin = Plugin::start(host, "cable")?;
    let socket = host.dir("plugin").join("cable.sock").display().to_string();
    for words in ["network create -d cable far", "sandbox create box", "service publish a.far"] {
        ok(host, words)?;
    }
    for method in ["CreateEndpoint", "Join"] {
        plugin.behave(&format!("NetworkDriver.{method}"), "die")?;
        let output = thread::scope(|scope| {
            let attaching = scope.spawn(|| host.netctl(["service", "attach", "box", "a.far"]));
            eventually("the plugin is dead", Duration::from_secs(10), || {
                let sockets = host.run(["ss", "-lxnH"])?.ok()?;
                ensure!(!sockets.contains(&socket), "{sockets}");
                Ok(())
            })?;
            plugin.be_good()?;
            plugin.run(host, "cable", &socket)?;
            attaching.join().expect("the thread ended by itself")
        })?;
        // Asked once more, it says what it knows; that is an error of CreateEndpoint, and none of Join.
        ensure!(output.success() == (method == "Join"), "{method}: {output:?}");
        if !output.success() {
            let refusal = "error: plugin cable refuses NetworkDriver.CreateEndpoint: endpoint ";
            ensure!(output.stderr.starts_with(refusal), "{output:?}");
        }
    }
    exec(host, "box", "ip addr show dev eth0")?;
    for words in ["sandbox rm box", "service unpublish a.far", "network rm far"] {
        ok(host, words)?;
    }
    resting.check(&lab, &plugin)?;
    lab.end()
}
