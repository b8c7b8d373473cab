//! One host: a namespace on the underlay, with or without a daemon.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::command::{DEADLINE, Output, output};
use crate::daemon::{Home, tail};
use crate::netns::Netns;
use crate::process::{Identity, Process};
use crate::underlay::{address, address6};

/// Passes stdin and stdout on as systemd does what it listens on for a daemon (`sd_listen_fds(3)`).
const PASS: &str =
    "exec 3<&0 4>&1 0</dev/null 1>&2; export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$@\"";

/// A host of the lab. All methods take `&self`, so that one thread can restart the daemon while
/// others run commands.
#[derive(Debug)]
pub struct Host {
    netns: Netns,
    last: u8,
    run: PathBuf,
    home: Home,
    daemon: Mutex<Option<Process>>,
    /// Variables of each daemon that is started.
    variables: Mutex<BTreeMap<String, String>>,
    /// What is listened on for the daemon.
    listening: Mutex<Option<[UnixListener; 2]>>,
}

impl Host {
    pub(crate) fn new(run: &Path, netns: Netns, last: u8) -> Self {
        let home = Home::new(run, netns.name());
        let run = run.to_owned();
        let (daemon, variables, listening) = Default::default();
        Self { netns, last, run, home, daemon, variables, listening }
    }

    pub(crate) fn open(run: &Path, name: &str, last: u8, daemon: Option<Identity>) -> Self {
        let host = Self::new(run, Netns::open(run, &run.join("ns").join(name)), last);
        *host.daemon() =
            daemon.and_then(|id| Process::adopt(id, "netctl daemon", &host.log_path()));
        host
    }

    /// `h1`, `h2`, …, or `external`.
    pub fn name(&self) -> &str {
        self.netns.name()
    }

    /// The last byte of its address on the underlay.
    pub(crate) fn number(&self) -> u8 {
        self.last
    }

    /// Its IPv4 address on the underlay, where that has any.
    pub fn address(&self) -> String {
        address(self.last)
    }

    /// Its IPv6 address on the underlay, where that has any.
    pub fn address6(&self) -> String {
        address6(self.last)
    }

    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The daemon's socket, for `netctl --socket`.
    pub fn socket(&self) -> PathBuf {
        self.home.socket()
    }

    /// One of the daemon's own directories: `run`, `state`, `bpf`, `netns`, `plugin`.
    pub fn dir(&self, name: &str) -> PathBuf {
        self.home.dir(name)
    }

    /// A command on this host, with `netctl` on the PATH and pointed at the host's daemon.
    pub fn command<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.netns.command(words);
        for (name, _) in std::env::vars_os() {
            // Settings of a daemon of the machine are not those of this host's.
            if name.to_string_lossy().starts_with("NETCTL_") {
                command.env_remove(name);
            }
        }
        let mut path = OsString::from(self.run.join("bin"));
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        command.env("PATH", path).env("NETCTL_SOCKET", self.socket());
        command
    }

    /// Runs a command on this host, for at most [`DEADLINE`].
    pub fn run<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Result<Output> {
        self.run_within(DEADLINE, words)
    }

    /// Runs a command on this host, for at most `deadline`.
    pub fn run_within<A: AsRef<OsStr>>(
        &self,
        deadline: Duration,
        words: impl IntoIterator<Item = A>,
    ) -> Result<Output> {
        output(self.command(words), deadline).with_context(|| format!("on {}", self.name()))
    }

    /// Starts a command on this host in the background; its output goes to a log file, whose
    /// name `log` must be unique in the lab.
    pub fn spawn<A: AsRef<OsStr>>(
        &self,
        log: &str,
        words: impl IntoIterator<Item = A>,
    ) -> Result<Process> {
        Process::start(self.command(words), &self.netns.file(&format!("{log}.log")))
    }

    /// Runs `netctl` with these arguments, whatever comes of it.
    pub fn netctl<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Output> {
        let mut words = vec![OsString::from("netctl")];
        words.extend(arguments.into_iter().map(|word| word.as_ref().to_owned()));
        self.run(words)
    }

    /// Runs `netctl` with these arguments, which must succeed, and gives its stdout.
    pub fn ok<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        self.netctl(arguments)?.ok().with_context(|| format!("on {}", self.name()))
    }

    /// Starts the daemon without waiting for it.
    pub(crate) fn launch(&self, store: &str, further: &[String]) -> Result<()> {
        let mut daemon = self.daemon();
        ensure!(
            !daemon.as_mut().is_some_and(Process::alive),
            "the daemon of {} is running already",
            self.name()
        );
        self.home.make()?;
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let process = match &*listening {
            None => Process::start(self.daemon_command(store, further), &self.log_path())?,
            Some([first, second]) => {
                let pass = ["sh", "-c", PASS, "sh"].map(OsString::from);
                let words = self.home.words(self.name(), store, further);
                let command = self.crashing(pass.into_iter().chain(words).collect());
                let [first, second] = [first.try_clone()?, second.try_clone()?].map(OwnedFd::from);
                Process::start_with(command, [first.into(), second.into()], &self.log_path())?
            }
        };
        *daemon = Some(process);
        Ok(())
    }

    pub(crate) fn daemon_command(&self, store: &str, further: &[String]) -> Command {
        self.crashing(self.home.words(self.name(), store, further))
    }

    /// A command that kills itself where a test asks for it.
    fn crashing(&self, words: Vec<OsString>) -> Command {
        let mut command = self.command(words);
        command.env("NETCTL_CRASH_FILE", self.crash_file());
        command.envs(&*self.variables.lock().unwrap_or_else(PoisonError::into_inner));
        command
    }

    /// Gives each daemon that is started from now on a variable.
    pub fn set_variable(&self, name: &str, value: &str) {
        let mut variables = self.variables.lock().unwrap_or_else(PoisonError::into_inner);
        variables.insert(name.to_owned(), value.to_owned());
    }

    /// Listens for the daemon from now on, as systemd would: on its own socket, and on `plugin`, where an engine calls. Each
    /// one that is started is passed both.
    pub fn listen_for_daemon(&self, plugin: &Path) -> Result<()> {
        let listen = |path: &Path| {
            UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))
        };
        let sockets = [listen(&self.socket())?, listen(plugin)?];
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(sockets);
        Ok(())
    }

    /// Waits until the daemon answers; an error holds the end of its log.
    pub(crate) fn wait(&self) -> Result<()> {
        let mut daemon = self.daemon();
        let Some(process) = daemon.as_mut() else {
            bail!("{} has no daemon", self.name());
        };
        let probe = || self.netctl(["status"])?.ok().map(drop);
        self.home.wait(process, probe).with_context(|| format!("on {}", self.name()))
    }

    /// Ends the daemon by `signal` (SIGTERM is the orderly way) and waits until it is gone.
    pub fn stop_daemon(&self, signal: Signal) -> Result<()> {
        let Some(mut process) = self.daemon().take() else {
            bail!("the daemon of {} is not running", self.name());
        };
        process.stop(signal, Duration::from_secs(40)).with_context(|| format!("on {}", self.name()))
    }

    /// The daemon's process id, while it runs.
    pub fn daemon_pid(&self) -> Option<i32> {
        let mut daemon = self.daemon();
        daemon.as_mut().and_then(|process| process.alive().then(|| process.pid()))
    }

    /// The file that tells the daemon, in a debug build, to kill itself after so many of its steps; it holds the step's
    /// name then.
    pub fn crash_file(&self) -> PathBuf {
        self.home.crash_file()
    }

    /// All that the daemon has written.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub fn log_path(&self) -> PathBuf {
        self.run.join(format!("{}.log", self.name()))
    }

    /// The end of the daemon's log under a heading; nothing if it has none.
    pub(crate) fn epilogue(&self) -> String {
        let log = self.log();
        if log.is_empty() {
            return String::new();
        }
        format!("--- the daemon of {} said last:\n{}\n", self.name(), tail(&log))
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.daemon().as_ref().map(Process::identity)
    }

    pub(crate) fn keep(mut self) {
        self.daemon().take().into_iter().for_each(Process::keep);
        self.netns.keep();
    }

    fn daemon(&self) -> MutexGuard<'_, Option<Process>> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the test harness shows it with the panic")]
            {
                eprint!("{}", self.epilogue());
            }
        }
    }
}
