//! One network namespace, held by a mount.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::command::{DEADLINE, Output, ignore, output};
use crate::interrupt::gate;
use crate::process::Process;
use crate::run::MARK;

/// A network namespace, held by a bind mount below the run's directory, with `lo` up. It goes
/// when this value goes.
#[derive(Debug)]
pub struct Netns {
    name: String,
    path: PathBuf,
    run: PathBuf,
    owned: bool,
}

impl Netns {
    /// Makes the namespace at `<run>/ns/<name>`.
    pub fn new(run: &Path, name: &str) -> Result<Self> {
        let path = run.join("ns").join(name);
        fs::create_dir_all(run.join("ns"))?;
        {
            let _gate = gate();
            File::create_new(&path)
                .with_context(|| format!("cannot make namespace {}", path.display()))?;
            on_thread(|| {
                unshare(CloneFlags::CLONE_NEWNET)?;
                let own = Some("/proc/thread-self/ns/net");
                mount(own, &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
                Ok(())
            })
            .with_context(|| format!("cannot make namespace {name}"))?;
        }
        let netns = Self { name: name.to_owned(), path, run: run.to_owned(), owned: true };
        netns.ip(["link set lo up"])?;
        Ok(netns)
    }

    /// A namespace that is there already, at `path`; it stays when this value goes.
    pub fn open(run: &Path, path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, path: path.to_owned(), run: run.to_owned(), owned: false }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds the namespace, for `nsenter --net=` and `netctl sandbox --netns`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the run that it belongs to.
    pub(crate) fn run_dir(&self) -> &Path {
        &self.run
    }

    /// A file in the run's directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    /// A command that will run inside: program first, then its arguments.
    ///
    /// `nsenter` and not `ip netns exec`, which mounts /sys anew and so hides the BPF file systems.
    pub fn command<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let mut net = OsString::from("--net=");
        net.push(&self.path);
        let mut command = Command::new("nsenter");
        command.arg(net).arg("--").args(words).env(MARK, &self.run);
        command
    }

    /// Runs a command inside, for at most [`DEADLINE`].
    pub fn run<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Result<Output> {
        output(self.command(words), DEADLINE)
    }

    /// Starts a command inside, in the background; its output goes to `<run>/<log>.log`.
    pub fn spawn<A: AsRef<OsStr>>(
        &self,
        log: &str,
        words: impl IntoIterator<Item = A>,
    ) -> Result<Process> {
        Process::start(self.command(words), &self.file(&format!("{log}.log")))
    }

    /// Runs commands of `ip` inside, each without the leading `ip`, all in one process.
    pub fn ip<A: AsRef<str>>(&self, commands: impl IntoIterator<Item = A>) -> Result<()> {
        let lines: Vec<String> =
            commands.into_iter().map(|line| line.as_ref().to_owned()).collect();
        let batch = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        fs::write(batch.path(), lines.join("\n") + "\n")?;
        let path = batch.path().as_os_str();
        self.run([OsStr::new("ip"), OsStr::new("-batch"), path])?
            .ok()
            .with_context(|| format!("in namespace {}: ip {}", self.name, lines.join("; ip ")))?;
        Ok(())
    }

    /// Runs `work` on a thread inside the namespace: sockets made there belong to it.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = File::open(&self.path)
            .with_context(|| format!("cannot open namespace {}", self.path.display()))?;
        on_thread(move || {
            setns(file, CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }

    /// Sets a kernel parameter inside, given as below /proc/sys: `net/ipv4/ip_forward`.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key);
        self.within(|| fs::write(&path, value).map_err(Into::into))
            .with_context(|| format!("cannot set {key} to {value} in {}", self.name))
    }

    /// Leaves the namespace there when this value goes; it goes with the run's directory then.
    pub fn keep(&mut self) {
        self.owned = false;
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if self.owned {
            let _gate = gate();
            // What cannot be removed here is removed with the run's directory.
            ignore(umount2(&self.path, MntFlags::MNT_DETACH));
            ignore(fs::remove_file(&self.path));
        }
    }
}

/// A thread of its own, because the namespace belongs to the thread and this one dies with it.
fn on_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join())
        .map_err(|_panic| anyhow!("the work inside the namespace panicked"))?
}
