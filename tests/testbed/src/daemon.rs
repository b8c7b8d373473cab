//! One host's `netctl daemon` as a process.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::eventually;
use crate::process::Process;

/// What stands for the host's own directory in the arguments of all daemons.
const HOME: &str = "{home}";

/// What stands in the arguments of daemons that find the underlay by themselves.
const UNDERLAY: &str = "{underlay}";

/// The directories that one daemon has to itself, below `<run>/<host>/`.
#[derive(Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    pub(crate) fn new(run: &Path, host: &str) -> Self {
        Self(run.join(host))
    }

    pub(crate) fn make(&self) -> Result<()> {
        for name in ["run", "state", "bpf", "netns", "plugin"] {
            let dir = self.0.join(name);
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        Ok(())
    }

    /// One of `run`, `state`, `bpf`, `netns` and `plugin`.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir("run").join("netctl.sock")
    }

    /// Where a test says at which of its steps the daemon is to kill itself (`NETCTL_CRASH_FILE`).
    pub(crate) fn crash_file(&self) -> PathBuf {
        self.0.join("crash")
    }

    /// The daemon's command line.
    pub(crate) fn words(&self, host: &str, store: &str, further: &[String]) -> Vec<OsString> {
        let mut words = vec![OsString::from("netctl"), OsString::from("daemon")];
        for name in ["run", "state", "bpf", "netns", "plugin"] {
            words.push(format!("--{name}-dir").into());
            words.push(self.dir(name).into());
        }
        for word in ["--store", store, "--host-name", host] {
            words.push(word.into());
        }
        if !further.iter().any(|word| word == UNDERLAY) {
            words.extend(["--bind-interface", "eth0"].map(OsString::from));
        }
        let home = self.0.display().to_string();
        let further = further.iter().filter(|word| *word != UNDERLAY);
        words.extend(further.map(|word| OsString::from(word.replace(HOME, &home))));
        words
    }

    /// Waits until the daemon accepts a connection and answers `status`, which is tried by
    /// `probe`.
    pub(crate) fn wait(
        &self,
        process: &mut Process,
        mut probe: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let socket = self.socket();
        eventually("the daemon answers", Duration::from_secs(30), || {
            if !process.alive() {
                return Ok(Err(process.log()));
            }
            connect(&socket)?;
            probe()?;
            Ok(Ok(()))
        })?
        .or_else(|log| bail!("the daemon ended:\n{}", tail(&log)))
    }
}

fn connect(socket: &Path) -> Result<()> {
    let connected: io::Result<UnixStream> = UnixStream::connect(socket);
    ensure!(connected.is_ok(), "nothing listens on {}", socket.display());
    Ok(())
}

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
}
