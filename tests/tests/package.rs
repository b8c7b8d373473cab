//! What people install: made by `cargo xtask package`, installed on a root directory that is empty, and run; and installed,
//! upgraded and removed on a system with systemd.

#[path = "package/system.rs"]
mod system;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Client, DEADLINE, Lab, Options, Signal, Store, output_of};

/// Where cargo puts things: tests lie in `<target>/debug/deps`.
fn target(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.ancestors().nth(2).context("no target directory")?.join(name);
    ensure!(path.exists(), "no {}: cargo build --package {name}", path.display());
    Ok(path)
}

/// dpkg on another root directory than the running system's: nothing outside it changes.
fn dpkg(root: &Path, words: &[&str]) -> Result<String> {
    let mut command = Command::new("dpkg");
    command.arg(format!("--root={}", root.display()));
    command.args(["--force-script-chrootless", "--force-depends"]).args(words);
    testbed::output(command, DEADLINE)?.ok()
}

fn files(root: &Path) -> Result<Vec<String>> {
    let found = output_of("find", [text(root)?, "-not", "-type", "d", "-printf", "%P\n"])?.ok()?;
    let mut files: Vec<String> = found.lines().map(ToOwned::to_owned).collect();
    files.retain(|file| !file.starts_with("var/lib/dpkg/") && !file.starts_with("var/log/"));
    files.sort();
    Ok(files)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not text")
}

/// Makes what people install in a directory: the package, and the archive.
fn make(out: &Path) -> Result<[PathBuf; 2]> {
    let binary = target("netctl")?;
    let mut command = Command::new(target("xtask")?);
    command.args(["package", "--binary", text(&binary)?, "--out", text(out)?]);
    testbed::output(command, DEADLINE * 3)?.ok()?;
    let made = fs::read_dir(out)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let ends = |end: &str| {
        let mut found = made.iter().filter(|path| path.to_string_lossy().ends_with(end));
        found.next().cloned().with_context(|| format!("no {end} among {made:?}"))
    };
    Ok([ends(".deb")?, ends(".tar.gz")?])
}

#[test]
fn what_is_packaged_installs_runs_and_goes_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (out, root) = (dir.path().join("out"), dir.path().join("root"));
    let [package, archive] = make(&out)?;
    fs::create_dir(&root)?;
    dpkg(&root, &["--install", text(&package)?])?;
    let installed = files(&root)?;
    let listed = output_of("tar", ["--list", "--file", text(&archive)?])?.ok()?;
    let mut archived: Vec<String> = listed
        .lines()
        .filter(|line| !line.ends_with('/'))
        .map(|line| line.trim_start_matches("./").to_owned())
        .collect();
    archived.sort();
    ensure!(installed == archived, "installed {installed:?}, archived {archived:?}");
    for file in [
        "usr/share/man/man1/netctl.1.gz",
        "usr/share/man/man1/netctl-network-create.1.gz",
        "usr/share/bash-completion/completions/netctl",
        "usr/share/netctl/grafana/netctl.json",
    ] {
        ensure!(installed.iter().any(|name| name == file), "no {file} in {installed:?}");
    }
    let plugin = fs::canonicalize(root.join("usr/lib/cni/netctl-cni"))?;
    let program = fs::canonicalize(root.join("usr/bin/netctl"))?;
    ensure!(plugin == program, "netctl-cni is {}", plugin.display());
    units_are_right(&root, &program, dir.path())?;
    runs(&root, &program)?;
    is_started_by_the_first_call(&program)?;

    dpkg(&root, &["--purge", "netctl"])?;
    let left = files(&root)?;
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}

/// By the account of systemd itself, which is to run the program where it is here.
fn units_are_right(root: &Path, program: &Path, dir: &Path) -> Result<()> {
    let units = dir.join("units");
    fs::create_dir(&units)?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(root.join("lib/systemd/system"))? {
        let entry = entry?;
        let unit = fs::read_to_string(entry.path())?;
        let path = units.join(entry.file_name());
        fs::write(&path, unit.replace("/usr/bin/netctl", text(program)?))?;
        paths.push(path);
    }
    ensure!(paths.len() == 3, "{paths:?}");
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).args(paths);
    // Those of the system are found behind them.
    command.env("SYSTEMD_UNIT_PATH", format!("{}:", units.display()));
    let output = testbed::output(command, DEADLINE)?;
    let said = output.stderr.clone();
    output.ok()?;
    ensure!(!said.contains("netctl"), "{said}");
    Ok(())
}

/// As by netctl.socket: systemd's own program listens, and starts the daemon when somebody calls.
fn is_started_by_the_first_call(program: &Path) -> Result<()> {
    let lab = Lab::start(Options {
        hosts: 1,
        daemons: false,
        binary: Some(program.to_owned()),
        ..Options::default()
    })?;
    let host = lab.host(1);
    let dir = |name: &str| format!("--{name}-dir={}", host.dir(name).display());
    fs::create_dir_all(host.dir("run"))?;
    let socket = host.socket();
    let mut daemon = host.spawn(
        "activate",
        ["systemd-socket-activate", "--listen", text(&socket)?, "netctl", "daemon"]
            .map(ToOwned::to_owned)
            .into_iter()
            .chain(["run", "state", "bpf", "netns"].map(dir))
            .chain([format!("--store={}", lab.store_of(host))]),
    )?;
    testbed::eventually("somebody listens", DEADLINE, || {
        ensure!(socket.exists(), "{}", daemon.log());
        Ok(())
    })?;
    ensure!(!daemon.log().contains("ready"), "{}", daemon.log());
    host.ok(["status"]).with_context(|| daemon.log())?;
    ensure!(daemon.log().contains("ready"), "{}", daemon.log());
    daemon.stop(Signal::SIGTERM, DEADLINE)?;
    ensure!(socket.exists(), "the daemon removed what is systemd's");
    drop(daemon);
    lab.end()
}

/// The daemon that was installed, with the settings that were.
fn runs(root: &Path, program: &Path) -> Result<()> {
    let settings = root.join("etc/netctl/netctl.toml");
    let lab = Lab::start(Options {
        hosts: 1,
        store: Store::Apart,
        binary: Some(program.to_owned()),
        arguments: ["--config", text(&settings)?, "--docker-plugin-socket", "{home}/docker.sock"]
            .map(ToOwned::to_owned)
            .into(),
        ..Options::default()
    })?;
    let host = lab.host(1);
    let played = (|| {
        host.ok(["network", "create", "--subnet", "10.1.0.0/24", "dev"])?;
        host.ok(["run", "--rm", "--publish-service", "web.dev", "--", "true"])?;
        host.ok(["network", "rm", "dev"])?;
        // Docker's plugin is on, and where the engine is told that it is, but for the option above.
        let mut engine = Client::connect(&host.dir("docker.sock"))?;
        let said = engine.ok("POST", "/Plugin.Activate", &Value::Null)?;
        ensure!(said == json!({ "Implements": ["NetworkDriver", "IpamDriver"] }), "{said}");
        let spec = fs::read_to_string(root.join("usr/lib/docker/plugins/netctl.spec"))?;
        let settings = host.run(["netctl", "config", "show", "--format", "json"])?.ok()?;
        let socket = spec.trim().strip_prefix("unix://").context("no socket")?;
        ensure!(settings.contains(&format!("{socket:?}")), "{socket} is not in {settings}");
        Ok(())
    })();
    played.map_err(|error: anyhow::Error| lab.explain(error))?;
    lab.end()
}
