//! Running the programs that do the work.

use std::fs::{self, File};
use std::io::{IsTerminal as _, stdout};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use testbed::Forward;

use crate::say;

/// The workspace that this program was built from.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Where cargo puts things: this program lies in `<target>/debug`.
pub(crate) fn target() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let target = own.ancestors().nth(2).context("this program is in no target directory")?;
    Ok(target.to_owned())
}

/// A command of the cargo that runs this program, in the workspace.
///
/// What cargo tells this program about its own package is kept from it: some build scripts run again,
/// and all that depends on them is compiled again, wherever that differs from the last time.
pub(crate) fn cargo(words: &[&str]) -> Command {
    const OWN: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(words).current_dir(root());
    for (name, _) in std::env::vars_os() {
        if OWN.iter().any(|own| name.to_string_lossy().starts_with(own)) {
            command.env_remove(name);
        }
    }
    command
}

/// Builds the `netctl` binary, with cargo's own progress on stderr.
pub(crate) fn build_netctl() -> Result<()> {
    let status = wait(cargo(&["build", "--package", "netctl"]))?;
    ensure!(status.success(), "netctl does not build: cargo says why above");
    Ok(())
}

/// Builds `netctl` as it is installed, and gives its path: what is measured is what runs. A binary
/// that `NETCTL_BIN` names is taken as it is.
pub(crate) fn build_release() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("NETCTL_BIN") {
        return fs::canonicalize(&path)
            .with_context(|| format!("NETCTL_BIN is {}", Path::new(&path).display()));
    }
    let status = wait(cargo(&["build", "--release", "--package", "netctl"]))?;
    ensure!(status.success(), "netctl does not build: cargo says why above");
    Ok(target()?.join("release").join("netctl"))
}

/// Builds the cluster of hosts that exist in a store alone, and gives its path.
pub(crate) fn build_fleet() -> Result<PathBuf> {
    let status = wait(cargo(&["build", "--package", "netctl-tests", "--bin", "fleet"]))?;
    ensure!(status.success(), "the fleet does not build: cargo says why above");
    Ok(target()?.join("debug").join("fleet"))
}

/// Runs a command to its end in a process group of its own, to which signals are passed on.
pub(crate) fn wait(mut command: Command) -> Result<ExitStatus> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).process_group(0);
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    let forward = Forward::to(child.id());
    let status = child.wait()?;
    drop(forward);
    Ok(status)
}

/// Runs something that takes long, and shows what it is, for how long it has run, and its latest
/// words. All that it says goes to `<target>/xtask/<log>.log`, whose end is shown if it fails.
pub(crate) fn long(what: &str, log: &str, mut command: Command) -> Result<()> {
    let path = target()?.join("xtask").join(format!("{log}.log"));
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
    let name = command.get_program().to_string_lossy().into_owned();
    let begin = Instant::now();
    let mut progress = Progress::new(what);
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    let forward = Forward::to(child.id());
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(100));
        progress.tick(begin.elapsed(), &path);
    };
    drop(forward);
    progress.end();
    if !status.success() {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n");
        bail!("{what}: {name} failed ({status}); all it said is in {}\n{tail}", path.display());
    }
    say::done(&format!("{what} ({} s)", begin.elapsed().as_secs()));
    Ok(())
}

/// One line that changes on a terminal, and a line now and then elsewhere.
struct Progress {
    what: String,
    terminal: bool,
    shown: Duration,
}

impl Progress {
    fn new(what: &str) -> Self {
        let terminal = stdout().is_terminal();
        if !terminal {
            out!("… {what}");
        }
        Self { what: what.to_owned(), terminal, shown: Duration::ZERO }
    }

    fn tick(&mut self, elapsed: Duration, log: &Path) {
        let pause = Duration::from_secs(15);
        if !self.terminal && elapsed < self.shown + pause {
            return;
        }
        self.shown = elapsed;
        let text = fs::read_to_string(log).unwrap_or_default();
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let last: String = last.trim().chars().filter(|c| !c.is_control()).take(50).collect();
        let line = format!("… {} {:>3} s  {}", self.what, elapsed.as_secs(), say::faint(&last));
        if self.terminal {
            say::write(format_args!("\r\x1b[K{line}"));
        } else {
            out!("{line}");
        }
    }

    fn end(&self) {
        if self.terminal {
            say::write(format_args!("\r\x1b[K"));
        }
    }
}
