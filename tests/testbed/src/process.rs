//! A process in the background, ended when its owner goes.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::command::{ignore, shown};
use crate::interrupt::gate;

/// What `/proc/PID/stat` tells.
pub(crate) struct Stat {
    pub(crate) parent: i32,
    /// In clock ticks since boot: with the process id, this is never another process.
    pub(crate) start: u64,
    zombie: bool,
}

pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc_pid_stat(5): the name is in brackets and may hold anything; fields 3, 4 and 22 follow.
    let rest: Vec<&str> = line.rsplit_once(") ")?.1.split(' ').collect();
    Some(Stat {
        parent: rest.get(1)?.parse().ok()?,
        start: rest.get(19)?.parse().ok()?,
        zombie: *rest.first()? == "Z",
    })
}

/// The process that another one has started; one of them, where there are several.
pub(crate) fn child_of(parent: i32) -> Option<i32> {
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|&pid| stat(pid).is_some_and(|stat| stat.parent == parent && !stat.zombie))
}

/// Whether a process is the first of a PID namespace below this one's.
pub(crate) fn is_first(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // proc_pid_status(5): its numbers in this namespace, and in each down to its own.
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_whitespace().skip(1).last() == Some("1"))
}

/// A process with its output in a file. It leads a process group of its own, so a Ctrl-C at the
/// terminal does not reach it.
#[derive(Debug)]
pub struct Process {
    identity: Identity,
    child: Option<Child>,
    command: String,
    log: PathBuf,
    owned: bool,
}

/// Which process it is, for one who did not start it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Identity {
    pid: i32,
    start: u64,
}

impl Process {
    /// Starts `command`; its stdout and stderr are appended to `log`.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = appended(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Self::begin(command, log)
    }

    /// Starts `command`, with what it is to pass on as its stdin and stdout; its stderr is appended to `log`.
    pub(crate) fn start_with(
        mut command: Command,
        [stdin, stdout]: [Stdio; 2],
        log: &Path,
    ) -> Result<Self> {
        command.stdin(stdin).stdout(stdout).stderr(appended(log)?);
        Self::begin(command, log)
    }

    fn begin(mut command: Command, log: &Path) -> Result<Self> {
        let shown = shown(&command);
        command.process_group(0);
        let _gate = gate();
        let child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
        let pid = child.id().cast_signed();
        let start = stat(pid).map_or(0, |stat| stat.start);
        let identity = Identity { pid, start };
        let log = log.to_owned();
        Ok(Self { identity, child: Some(child), command: shown, log, owned: true })
    }

    /// A process that another run of the program has started and kept. [`None`] if it is gone.
    pub(crate) fn adopt(identity: Identity, command: &str, log: &Path) -> Option<Self> {
        let mut process = Self {
            identity,
            child: None,
            command: command.to_owned(),
            log: log.to_owned(),
            owned: false,
        };
        process.alive().then_some(process)
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub fn pid(&self) -> i32 {
        self.identity.pid
    }

    /// All that it has written so far.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    pub fn alive(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => stat(self.identity.pid)
                .is_some_and(|stat| stat.start == self.identity.start && !stat.zombie),
        }
    }

    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        ensure!(self.alive(), "`{}` has ended already", self.command);
        kill(Pid::from_raw(self.identity.pid), signal)
            .with_context(|| format!("cannot send {signal} to `{}`", self.command))
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self, deadline: Duration) -> Result<()> {
        let end = Instant::now() + deadline;
        while self.alive() {
            ensure!(Instant::now() < end, "`{}` has not ended within {deadline:?}", self.command);
            drop(gate());
            sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Sends `signal` and waits for the end.
    pub fn stop(&mut self, signal: Signal, deadline: Duration) -> Result<()> {
        self.signal(signal)?;
        self.wait(deadline)
    }

    /// Leaves it running when this value goes.
    pub(crate) fn keep(mut self) {
        self.owned = false;
    }
}

fn appended(log: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.with_context(|| format!("cannot open {}", log.display()))
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.owned && self.alive() {
            ignore(kill(Pid::from_raw(self.identity.pid), Signal::SIGKILL));
            ignore(self.wait(Duration::from_secs(5)));
        }
    }
}
