//! `netctl config show`: each setting with its source, and settings that are unusable.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Lab, Options, Output, output};

/// Runs `netctl` with these words and variables on a host without a daemon.
fn netctl(host: &Host, words: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    let mut command = host.command(["netctl"].iter().chain(words));
    command.envs(variables.iter().copied());
    output(command, Duration::from_secs(10))
}

#[test]
fn each_setting_is_shown_with_where_it_is_from() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, daemons: false, ..Options::default() })?;
    let host = lab.host(1);
    let file = lab.dir().join("netctl.toml");
    let path = file.to_str().context("a path in UTF-8")?;
    fs::write(
        &file,
        "host-name = \"of-file\"\nvxlan-port = 4790\nlog = \"debug\"\nbig-tcp = \"off\"\n",
    )?;
    let words = ["config", "show", "--config", path, "--vxlan-port", "4791"];
    let variables = [("NETCTL_LOG", "warn"), ("NETCTL_VXLAN_PORT", "4792")];
    let expected = [
        ("host-name", "of-file", "file"),
        ("vxlan-port", "4791", "command line"),
        ("log", "warn", "environment"),
        ("big-tcp", "off", "file"),
        ("xdp", "auto", "default"),
        ("netns-dir", "/run/netns", "default"),
        ("store", "file", "default"),
        ("bind-interface", "-", "default"),
    ];
    let text = netctl(host, &words, &variables)?.ok()?;
    for (name, value, source) in expected {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        let shown: Vec<&str> = line.unwrap_or_default().split_whitespace().skip(1).collect();
        ensure!(shown.join(" ") == format!("{value} {source}"), "{name}: {shown:?}");
    }
    let json = netctl(host, &[&["--format", "json"], &words[..]].concat(), &variables)?.ok()?;
    let settings: Vec<serde_json::Value> = serde_json::from_str(&json)?;
    ensure!(settings.len() == text.lines().count() - 1, "{json}");
    for (name, value, source) in expected {
        let setting = settings.iter().find(|setting| setting["setting"] == name);
        let setting = setting.with_context(|| format!("no {name}"))?;
        let value = Some(value).filter(|value| *value != "-");
        ensure!(
            setting["value"].as_str() == value && setting["source"] == source.replace(' ', "-"),
            "{setting}"
        );
    }
    // A file can be named by a variable too.
    let text = netctl(host, &["config", "show"], &[("NETCTL_CONFIG", path)])?.ok()?;
    ensure!(text.contains("of-file"), "{text}");
    lab.end()
}

#[test]
fn unusable_settings_are_named_with_their_source() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, daemons: false, ..Options::default() })?;
    let host = lab.host(1);
    let file = lab.dir().join("netctl.toml");
    let path = file.to_str().context("a path in UTF-8")?;
    let of_file = |why: &str| format!("settings file {path}, line {why}");
    for (text, sentence) in [
        ("vxlan-port = 1\nvxlan = 2\n", "2: key vxlan: unknown field `vxlan`"),
        ("host-name = \"a b\"\n", "1: key host-name: name \"a b\" must consist of"),
        ("\nxdp = \"yes\"\n", "2: key xdp: unknown variant `yes`, expected"),
        ("vxlan-port = \n", "1: "),
    ] {
        fs::write(&file, text)?;
        let shown = netctl(host, &["config", "show", "--config", path], &[])?;
        let expected = format!("error: {}", of_file(sentence));
        ensure!(shown.code() == 2 && shown.stderr.starts_with(&expected), "{shown:?}, {expected}");
        // The daemon says the same.
        let started = netctl(host, &["daemon", "--config", path], &[])?;
        ensure!((started.code(), &started.stderr) == (2, &shown.stderr), "{started:?}");
    }
    fs::write(&file, "vxlan-port = 0\n")?;
    for (words, variables, sentence) in [
        (
            vec!["config", "show", "--config", "/none.toml"],
            None,
            "settings file /none.toml cannot be read: No such file or directory (os error 2)",
        ),
        (
            vec!["config", "show", "--config", path],
            None,
            "--vxlan-port \"0\" is not usable: a port is from 1 to 65535",
        ),
        (
            vec!["config", "show"],
            Some(("NETCTL_STORE", "redis:x")),
            "--store \"redis:x\" is not usable: ",
        ),
        (
            vec!["config", "show"],
            Some(("NETCTL_BIG_TCP", "yes")),
            "invalid value 'yes' for '--big-tcp <WHEN>': it is none of auto, on and off",
        ),
    ] {
        let shown = netctl(host, &words, &Vec::from_iter(variables))?;
        let right = shown.stderr.starts_with(&format!("error: {sentence}"));
        ensure!(shown.code() == 2 && right && shown.stdout.is_empty(), "{shown:?}, {sentence}");
    }
    lab.end()
}
