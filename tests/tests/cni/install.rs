//! `netctl cni install` and `uninstall`.

use std::{fs, os::unix::fs::symlink, path::Path};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::{Host, Lab, Options};

use crate::stage::refused;

/// Where a test has its plugins and network configurations.
struct Dirs {
    bin: String,
    conf: String,
}

impl Dirs {
    fn of(lab: &Lab) -> Self {
        let dir = |name: &str| lab.dir().join("cni").join(name).display().to_string();
        Self { bin: dir("bin"), conf: dir("net.d") }
    }

    fn words<'a>(&'a self, verb: &'a str, further: &[&'a str]) -> Vec<&'a str> {
        let words = ["cni", verb, "--bin-dir", &self.bin, "--conf-dir", &self.conf];
        words.into_iter().chain(further.iter().copied()).collect()
    }

    fn ok(&self, host: &Host, verb: &str, further: &[&str]) -> Result<String> {
        host.ok(self.words(verb, further))
    }

    fn plugin(&self) -> String {
        format!("{}/netctl-cni", self.bin)
    }

    fn configuration(&self, network: &str) -> String {
        format!("{}/10-netctl-{network}.conflist", self.conf)
    }
}

#[test]
fn what_is_installed_is_what_is_removed() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, daemons: false, ..Options::default() })?;
    let (host, dirs) = (lab.host(1), Dirs::of(&lab));
    let (plugin, dev, back) =
        (dirs.plugin(), dirs.configuration("dev"), dirs.configuration("back"));

    // Nothing is there: there is nothing to remove.
    ensure!(dirs.ok(host, "uninstall", &[])?.is_empty());
    let options = ["--network", "dev", "--subnet", "10.1.0.0/24", "--subnet", "fd01::/64"];
    ensure!(dirs.ok(host, "install", &options)? == format!("wrote {plugin}\nwrote {dev}\n"));
    let expected = json!({
        "cniVersion": "1.0.0",
        "cniVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"],
        "name": "dev",
        "plugins": [{
            "type": "netctl-cni",
            "network": "dev",
            "subnet": ["10.1.0.0/24", "fd01::/64"],
            "socket": host.socket(),
            "capabilities": {"portMappings": true, "ips": true, "mac": true, "aliases": true},
        }],
    });
    let written: Value = serde_json::from_str(&fs::read_to_string(&dev)?)?;
    ensure!(written == expected, "{written:#}");
    // It is a copy, which needs nothing else to be there.
    let version = ["env", "CNI_COMMAND=VERSION", &plugin];
    let output = host.run(version)?;
    ensure!(fs::symlink_metadata(&plugin)?.is_file(), "it is no file of its own");
    // Without anything on standard input it answers all the same.
    ensure!(output.ok()?.contains("\"1.1.0\""), "it does not answer");

    // Again, and for another network, by the socket that a daemon has where nothing is said.
    ensure!(dirs.ok(host, "install", &options)? == format!("kept {plugin}\nkept {dev}\n"));
    let words = dirs.words("install", &["--network", "back", "--driver", "bridge", "--internal"]);
    let socket = ["--socket", "/run/netctl/netctl.sock"];
    let said = host.ok(words.into_iter().chain(socket))?;
    ensure!(said == format!("kept {plugin}\nwrote {back}\n"), "{said}");
    let written: Value = serde_json::from_str(&fs::read_to_string(&back)?)?;
    let plugins = &written["plugins"][0];
    ensure!(plugins["driver"] == "bridge" && plugins["internal"] == true, "{written:#}");
    ensure!(plugins["socket"].is_null() && plugins["subnet"].is_null(), "{written:#}");

    // What people changed stays. The plugin goes with the last configuration that has it.
    let changed = fs::read_to_string(&dev)?.replace("10.1.0.0/24", "10.2.0.0/24");
    fs::write(&dev, &changed)?;
    ensure!(dirs.ok(host, "install", &options)? == format!("kept {plugin}\nkept {dev}\n"));
    ensure!(fs::read_to_string(&dev)? == changed, "it was changed back");
    let said = dirs.ok(host, "uninstall", &["--network", "back"])?;
    ensure!(said == format!("removed {back}\nkept {plugin}\n"), "{said}");
    let said = dirs.ok(host, "uninstall", &["--format", "json"])?;
    let said: Value = serde_json::from_str(&said)?;
    let expected = json!([{"path": dev, "done": "removed"}, {"path": plugin, "done": "removed"}]);
    ensure!(said == expected, "{said}");
    for dir in [&dirs.bin, &dirs.conf] {
        ensure!(fs::read_dir(dir)?.next().is_none(), "something is left in {dir}");
    }
    lab.end()
}

#[test]
fn what_others_put_there_stays() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, daemons: false, ..Options::default() })?;
    let (host, dirs) = (lab.host(1), Dirs::of(&lab));
    let (plugin, dev) = (dirs.plugin(), dirs.configuration("dev"));
    fs::create_dir_all(&dirs.bin)?;
    fs::create_dir_all(&dirs.conf)?;
    let install = dirs.words("install", &["--network", "dev"]);
    let not_ours =
        |path: &str| format!("{path} is not netctl's: remove it, or choose another place");
    let empty = |dir: &str| -> Result<()> {
        ensure!(fs::read_dir(dir)?.next().is_none(), "something was put into {dir}");
        Ok(())
    };

    // A plugin of that name.
    fs::write(&plugin, "#!/bin/sh\n")?;
    refused(host, &install, &[&not_ours(&plugin)])?;
    refused(host, &dirs.words("uninstall", &[]), &[&not_ours(&plugin)])?;
    empty(&dirs.conf)?;
    fs::remove_file(&plugin)?;
    symlink("/nowhere/netctl-cni", &plugin)?;
    refused(host, &install, &[&not_ours(&plugin)])?;
    fs::remove_file(&plugin)?;
    fs::create_dir(&plugin)?;
    refused(host, &install, &[&format!("cannot read {plugin}: Is a directory")])?;
    fs::remove_dir(&plugin)?;

    // A file of the configuration's name, and a configuration of its name in another file.
    for (path, text, sentence) in [
        (&*dev, r#"{"name": "dev", "plugins": [{"type": "bridge"}]}"#, not_ours(&dev)),
        (
            &dev,
            r#"{"name": "dev", "plugins": [{"type": "netctl-cni"}, {"type": "tuning"}]}"#,
            not_ours(&dev),
        ),
        (&dev, "no JSON", not_ours(&dev)),
        (
            &format!("{}/87-podman.conf", dirs.conf),
            r#"{"name": "dev", "type": "bridge"}"#,
            format!(
                "{}/87-podman.conf has the name dev already: remove it, or choose another --network",
                dirs.conf
            ),
        ),
    ] {
        fs::write(path, text)?;
        refused(host, &install, &[&sentence])?;
        empty(&dirs.bin)?;
        ensure!(dirs.ok(host, "uninstall", &[])?.is_empty(), "{text} was taken for ours");
        ensure!(fs::read_to_string(path)? == text, "{path} was changed");
        fs::remove_file(path)?;
    }

    // A chain of others that ends in ours keeps the plugin there.
    dirs.ok(host, "install", &["--network", "dev"])?;
    let chain = Path::new(&dirs.conf).join("20-chain.conflist");
    fs::write(
        &chain,
        r#"{"name": "x", "plugins": [{"type": "loopback"}, {"type": "netctl-cni"}]}"#,
    )?;
    let said = dirs.ok(host, "uninstall", &[])?;
    ensure!(said == format!("removed {dev}\nkept {plugin}\n"), "{said}");

    // Where nothing can be written, nothing is.
    let words = ["cni", "install", "--bin-dir", &dirs.bin, "--conf-dir", "/proc/cni"];
    for there in [true, false] {
        refused(host, &words, &["cannot write /proc/cni/10-netctl-netctl.conflist: "])?;
        ensure!(Path::new(&plugin).exists() == there, "the plugin was installed or removed");
        fs::remove_file(&plugin).or_else(|error| if there { Err(error) } else { Ok(()) })?;
    }
    lab.end()
}
